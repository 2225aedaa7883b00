//! The networks that this machine routes packets on to.

use std::{collections::HashMap, fs, net::IpAddr};

use fw_common::Reason;
use ipnet::IpNet;

use crate::host::{interface::Interface, network::Network};

/// The networks behind this machine, as seen from one interface; each address is looked up once.
pub(crate) struct Onward {
    interface: Interface,
    known: HashMap<IpAddr, Option<IpNet>>,
}

impl Onward {
    /// For packets that arrive at an interface.
    pub(crate) fn from(interface: Interface) -> Self {
        Self { interface, known: HashMap::new() }
    }

    /// The network of the route for a packet to an address. For containers and guests behind a bridge, and for the default route, it is the single
    /// address.
    pub(crate) fn network(&mut self, to: IpAddr, reason: Reason) -> Option<IpNet> {
        let Self { interface, known } = self;
        let is_routed_on = match reason {
            Reason::Forwarded => true,
            Reason::ClosedPort | Reason::ClosedProtocol => forwards(&interface.name, to),
            _ => false,
        };
        if is_routed_on { *known.entry(to).or_insert_with(|| network(interface, to)) } else { None }
    }
}

fn network(interface: &Interface, to: IpAddr) -> Option<IpNet> {
    let (route, out) = Network::route_network(to)?;
    let here = Network::ask().ok()?;
    if here.fed_by(interface.index).contains(&out) {
        return None;
    }
    let is_bridge = here.interfaces.iter().any(|one| one.index == out && one.kind.as_deref() == Some("bridge"));
    Some(if is_bridge || route.prefix_len() == 0 { IpNet::from(to) } else { route })
}

/// Whether Linux routes packets of a family on: for IPv4 the setting of the interface counts, for IPv6 that of `all`.
fn forwards(name: &str, to: IpAddr) -> bool {
    let path = match to {
        IpAddr::V4(_) => format!("/proc/sys/net/ipv4/conf/{name}/forwarding"),
        IpAddr::V6(_) => "/proc/sys/net/ipv6/conf/all/forwarding".to_owned(),
    };
    fs::read_to_string(path).is_ok_and(|value| value.trim() == "1")
}
