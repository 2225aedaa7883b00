//! `fw-user exposed`.

pub(crate) mod args;
pub(crate) mod exposure;
pub(crate) mod report;

use std::{fs, ops::RangeInclusive};

use crate::{
    cmd::exposed::{
        args::ExposedArgs,
        exposure::{ExposureFacts, Filter, Filters, Ruling},
    },
    error::Result,
    host::{
        interface::{self, Interface},
        network::Network,
        privilege,
        targets::{self, Targets},
    },
    kernel::{
        attach::{
            foreign,
            state::{self, State},
        },
        maps::{counters::Counters, policy_map::PolicyMap},
        meta::AttachmentRecord,
        pins::Pins,
    },
    output::{json, print},
};

pub(crate) async fn run(pins: &Pins, args: &ExposedArgs) -> Result<()> {
    privilege::check()?;
    interface::named(&args.interfaces)?;
    let network = Network::ask()?;
    let mut filters = Filters::new();
    for interface in &network.interfaces {
        filters.extend(filter(pins, interface)?.map(|filter| (interface.name.clone(), filter)));
    }
    let targets = Targets::read(&targets::docker_socket()).await?;
    let facts = ExposureFacts {
        network: &network,
        filters,
        endpoints: targets.endpoints(),
        chosen_by_kernel: chosen_by_kernel(),
    };
    let exposure = facts.judge(&args.interfaces);
    print(&if args.json {
        json(&report::ExposedJson::new(&exposure, &targets))?
    } else {
        report::text(&exposure, &targets)
    })
}

fn filter(pins: &Pins, interface: &Interface) -> Result<Option<Filter>> {
    let name = &interface.name;
    Ok(match state::of(pins, name, Some(interface))? {
        State::Ours | State::Damaged => {
            let map = PolicyMap::open(pins, name)?;
            Some(Filter::Ours(Box::new(Ruling {
                policy: map.read()?,
                monitors: map.in_force()?.monitors(),
                mode: AttachmentRecord::read(pins, name)?.mode,
                counters: Counters::read(pins, name)?,
            })))
        }
        State::OtherAbi(abi) => Some(Filter::Unknown(format!("the filter of another version of fw-user (ABI {abi})"))),
        State::Foreign(id) => {
            Some(Filter::Unknown(format!("another XDP program, {}", foreign::examine(interface, id))))
        }
        State::Free | State::Stale(_) => None,
    })
}

/// The ports from which the kernel chooses for who does not name one. Where it does not say, those that it has by default.
pub(crate) fn chosen_by_kernel() -> RangeInclusive<u16> {
    let text = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let mut ends = text.split_whitespace().map(str::parse);
    match (ends.next(), ends.next()) {
        (Some(Ok(first)), Some(Ok(last))) => first..=last,
        _ => 32_768..=60_999,
    }
}
