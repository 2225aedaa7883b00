//! The filters of all interfaces, read once.

use crate::{
    cmd::exposed::exposure::{Filter, Filters, Ruling},
    error::Result,
    host::{interface::Interface, network::Network},
    kernel::{
        attach::{
            foreign,
            state::{self, State},
        },
        maps::{counters::Counters, policy_map::PolicyMap},
        meta::AttachmentRecord,
        pins::Pins,
    },
};

/// The filters of a network's interfaces.
pub(crate) fn read(pins: &Pins, network: &Network) -> Result<Filters> {
    let mut filters = Filters::new();
    for interface in &network.interfaces {
        filters.extend(filter(pins, interface)?.map(|filter| (interface.name.clone(), filter)));
    }
    Ok(filters)
}

fn filter(pins: &Pins, interface: &Interface) -> Result<Option<Filter>> {
    let name = &interface.name;
    Ok(match state::of(pins, name, Some(interface))? {
        // It is active, even if its maps cannot be read.
        state @ (State::Ours | State::Damaged) => Some(match ruling(pins, name) {
            Ok(ruling) => Filter::Ours(Box::new(ruling)),
            Err(error) => Filter::Unknown(format!("{}: {error}", state.words())),
        }),
        State::OtherAbi(abi) => Some(Filter::Unknown(format!("the filter of another version of fw-user (ABI {abi})"))),
        State::Foreign(id) => {
            Some(Filter::Unknown(format!("another XDP program, {}", foreign::examine(interface, id))))
        }
        State::Free | State::Stale(_) => None,
    })
}

fn ruling(pins: &Pins, name: &str) -> Result<Ruling> {
    let map = PolicyMap::open(pins, name)?;
    Ok(Ruling {
        policy: map.read()?,
        monitors: map.in_force()?.monitors(),
        mode: AttachmentRecord::read(pins, name)?.mode,
        counters: Counters::read(pins, name)?,
    })
}
