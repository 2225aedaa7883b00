//! `fw-user status`.

use fw_common::abi::map;

use super::{json, print};
use crate::{
    Result,
    bpf::{
        attachment::{self, State},
        deadline, flows,
        meta::Record,
        pins::Pins,
        policy_map::PolicyMap,
    },
    cli::StatusArgs,
    interface, privilege,
    report::{
        self,
        status::{InterfaceStatus, Status},
    },
};

pub(super) async fn run(pins: &Pins, args: &StatusArgs) -> Result<()> {
    privilege::check()?;
    let here = interface::all().await?;
    let mut interfaces = Vec::new();
    for name in pins.interfaces()? {
        let present = here.iter().find(|interface| interface.name == name);
        let state = attachment::state(pins, &name, present)?;
        let memory = attachment::map_memory(map::PER_INTERFACE.iter().map(|map| pins.map(&name, map)));
        let map = PolicyMap::open(pins, &name)?;
        let in_force = map.in_force()?;
        interfaces.push(InterfaceStatus {
            state: match (state, present) {
                (State::Ours, _) => "active",
                (_, None) => "interface is gone",
                _ => "not attached any more",
            },
            record: Record::read(pins, &name)?,
            policy: map.read()?,
            monitors: in_force.monitors(),
            confirm_within: (in_force.deadline() != 0).then(|| deadline::left(in_force)).transpose()?,
            memory,
            name,
        });
    }
    let status = Status {
        shared_memory: attachment::map_memory(map::SHARED.iter().map(|map| pins.shared_map(map))),
        flow_capacity: flows::capacity(pins),
        interfaces,
    };
    print(&if args.json { json(&report::status::Json::new(&status))? } else { report::status::text(&status) })
}
