//! The interfaces with their addresses, and the paths of inbound packets.

use std::{
    collections::{BTreeSet, HashMap},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::Path,
};

use fw_common::abi::MAX_MACS;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use netlink_sys::protocols::NETLINK_ROUTE;
use rtnetlink::{
    RouteMessageBuilder,
    packet_route::{
        RouteNetlinkMessage,
        route::{RouteAttribute, RouteFlags, RouteMessage, RouteType},
    },
};

use crate::{
    error::Result,
    host::{
        bridge_ports::BridgeNetfilter,
        interface::{self, Interface},
        netlink, routes,
    },
};

/// The addresses of every link (RFC 4291, 2.5.6).
const LINK_LOCAL: IpNet = IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10));

/// The networks that nobody on the Internet has (RFC 1918; RFC 4193, 3.1).
const PRIVATE: [IpNet; 4] = [
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(10, 0, 0, 0), 8)),
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(172, 16, 0, 0), 12)),
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(192, 168, 0, 0), 16)),
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7)),
];

/// The interfaces, their addresses, and the routes to some peers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Network {
    pub(crate) interfaces: Vec<Interface>,
    /// With the index of the interface, and the prefix length of its link.
    pub(crate) addresses: Vec<(u32, IpNet)>,
    /// The interfaces of default routes, by index.
    pub(crate) default_routes: BTreeSet<u32>,
    /// The networks that routes lead to without a gateway, each with the interface, by index.
    pub(crate) on_link: BTreeSet<(u32, IpNet)>,
    /// Whether this is the machine's own network namespace, and no container's.
    pub(crate) is_initial_namespace: bool,
    /// Which bridges' packets netfilter rewrites at the ports.
    pub(crate) bridge_netfilter: BridgeNetfilter,
    /// The interface of the route from a local address to a peer.
    pub(crate) routes: HashMap<(IpAddr, IpAddr), u32>,
}

impl Network {
    pub(crate) fn ask() -> Result<Self> {
        let interfaces = interface::all()?;
        let addresses = interface::addresses()?;
        let routes = routes::all()?;
        Ok(Self {
            interfaces,
            addresses,
            default_routes: routes.iter().flat_map(routes::ways_of_default).collect(),
            on_link: routes.iter().flat_map(routes::on_link).collect(),
            // The kernel has this setting once, and shows it only in the initial network namespace (net/core/sysctl_net_core.c).
            is_initial_namespace: Path::new("/proc/sys/net/core/netdev_budget").exists(),
            bridge_netfilter: BridgeNetfilter::here(),
            routes: HashMap::new(),
        })
    }

    /// The addresses of an interface.
    pub(crate) fn addresses_of(&self, index: u32) -> impl Iterator<Item = IpAddr> {
        self.addresses.iter().filter(move |(at, _)| *at == index).map(|(_, net)| net.addr())
    }

    /// Ask for the routes to peers, each from the local address in the second place. Peers without a route are left out.
    pub(crate) fn find_routes(&mut self, pairs: impl Iterator<Item = (IpAddr, IpAddr)>) {
        let pairs: BTreeSet<_> = pairs.collect();
        for (peer, local) in pairs {
            let whole = |address: IpAddr| if address.is_ipv4() { 32 } else { 128 };
            let question = RouteMessageBuilder::<IpAddr>::new()
                .destination_prefix(peer, whole(peer))
                .and_then(|builder| builder.source_prefix(local, whole(local)));
            let Ok(question) = question else { continue };
            let out = leaves_by(question.build());
            self.routes.extend(out.map(|index| ((peer, local), index)));
        }
    }

    /// The interface where packets to a peer leave, by index.
    pub(crate) fn route_to(peer: IpAddr) -> Option<u32> {
        let whole = if peer.is_ipv4() { 32 } else { 128 };
        let question = RouteMessageBuilder::<IpAddr>::new().destination_prefix(peer, whole).ok()?;
        leaves_by(question.build())
    }

    /// The network of the route to another machine, and the interface, by index. The network of a default route is all addresses.
    pub(crate) fn route_network(to: IpAddr) -> Option<(IpNet, u32)> {
        let whole = if to.is_ipv4() { 32 } else { 128 };
        let mut question = RouteMessageBuilder::<IpAddr>::new().destination_prefix(to, whole).ok()?.build();
        question.header.flags = RouteFlags::FibMatch;
        let route = answer(question).filter(|route| route.header.kind == RouteType::Unicast)?;
        Some((IpNet::new(to, route.header.destination_prefix_length).ok()?.trunc(), way_out(&route)?))
    }

    pub(crate) fn index(&self, name: &str) -> Option<u32> {
        self.interfaces.iter().find(|interface| interface.name == name).map(|interface| interface.index)
    }

    /// The interfaces whose packets arrive through one: itself, the bridge or bond that it is a port of, VLANs on any of these.
    pub(crate) fn fed_by(&self, index: u32) -> BTreeSet<u32> {
        let mut fed = BTreeSet::from([index]);
        loop {
            let before = fed.len();
            for interface in &self.interfaces {
                if fed.contains(&interface.index) {
                    fed.extend(interface.master);
                } else if interface.below.is_some_and(|below| fed.contains(&below)) {
                    fed.insert(interface.index);
                }
            }
            if fed.len() == before {
                return fed;
            }
        }
    }

    /// The networks on the link of an interface: of its own routes, and of those of the bridge or bond that it is a port of and of VLANs on any of
    /// these. Private ones until any is known, as at boot: a rule for the link must not lock out who is on it. None where packets go to the next
    /// machine without a question for its address: nobody is beside this machine there.
    pub(crate) fn on_link_of(&self, name: &str) -> BTreeSet<IpNet> {
        let Some(interface) = self.interfaces.iter().find(|interface| interface.name == name && !interface.is_line)
        else {
            return BTreeSet::new();
        };
        let lines = self.interfaces.iter().filter(|interface| interface.is_line).map(|interface| interface.index);
        let fed = &self.fed_by(interface.index) - &lines.collect();
        let networks = self.on_link.iter().filter(|(index, _)| fed.contains(index)).map(|(_, network)| *network);
        let mut networks: Vec<IpNet> = networks.collect();
        if networks.iter().all(|network| is_link_local(network.addr())) {
            networks.extend(PRIVATE);
        }
        networks.push(LINK_LOCAL);
        IpNet::aggregate(&networks).into_iter().collect()
    }

    /// The MAC addresses of an interface and of those above it, its own first and again in each place to spare.
    pub(crate) fn macs_of(&self, name: &str) -> [u64; MAX_MACS] {
        let fed = self.index(name).map(|index| self.fed_by(index)).unwrap_or_default();
        let mut above = self.interfaces.iter().filter(|interface| fed.contains(&interface.index)).collect::<Vec<_>>();
        above.sort_by_key(|interface| interface.name != name);
        let mut macs = Vec::new();
        for [a, b, c, d, e, f] in above.into_iter().filter_map(|interface| interface.mac) {
            let mac = u64::from_ne_bytes([a, b, c, d, e, f, 0, 0]);
            if !macs.contains(&mac) {
                macs.push(mac);
            }
        }
        std::array::from_fn(|place| macs.get(place).or(macs.first()).copied().unwrap_or(u64::MAX))
    }

    /// Whether no connection can be open through an interface: neither it nor the interfaces above it have an address, except those that each
    /// interface gives itself.
    pub(crate) fn is_unused(&self, index: u32) -> bool {
        let fed = self.fed_by(index);
        !self.addresses.iter().any(|(at, net)| fed.contains(at) && !is_link_local(net.addr()))
    }

    /// Whether the address is one of this network namespace.
    pub(crate) fn has(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|(_, net)| net.addr() == address)
    }

    /// Whether one of these interfaces has the address, or the address is unspecified.
    pub(crate) fn have(&self, fed: &BTreeSet<u32>, address: IpAddr) -> bool {
        address.is_unspecified() || self.addresses.iter().any(|(at, net)| fed.contains(at) && net.addr() == address)
    }

    /// Whether packets of a peer to an address arrive through these interfaces, for a socket that uses only the interface `device`, or any if that is
    /// 0. If several interfaces are possible, each counts.
    pub(crate) fn lead_in(&self, fed: &BTreeSet<u32>, peer: IpAddr, target: IpAddr, device: u32) -> bool {
        if !self.has(target) || self.has(peer) || peer.is_loopback() {
            return false;
        }
        if device != 0 {
            return fed.contains(&device);
        }
        let route = self.routes.get(&(peer, target));
        if route.is_some_and(|out| fed.contains(out)) {
            return true;
        }
        // Packets to an address may arrive on any path. Those of a neighbour on another link, such as a container, arrive there.
        let on_link = |is_meant: &dyn Fn(&u32) -> bool| {
            self.addresses.iter().any(|(at, net)| is_meant(at) && net.contains(&peer))
        };
        let is_elsewhere = route.is_some_and(|out| on_link(&|at| at == out)) && !on_link(&|at| fed.contains(at));
        self.have(fed, target) && !is_elsewhere
    }
}

/// Whether it is an address that every interface can give itself.
pub(crate) fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

/// Who is around this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Surroundings {
    /// The machines that routes go by.
    pub(crate) gateways: BTreeSet<IpAddr>,
    /// The networks to which packets go without any.
    pub(crate) on_link: BTreeSet<IpNet>,
}

/// Who is around this machine, by its routes.
pub(crate) fn surroundings() -> Result<Surroundings> {
    let mut found = Surroundings::default();
    for route in routes::all()?.iter().filter(|route| route.header.kind == RouteType::Unicast) {
        let gateways: Vec<IpAddr> = routes::gateways(&route.attributes).collect();
        if gateways.is_empty() {
            found.on_link.extend(routes::destination(route));
        }
        found.gateways.extend(gateways);
    }
    Ok(found)
}

/// The kernel's answer to a route request.
fn leaves_by(question: RouteMessage) -> Option<u32> {
    way_out(&answer(question)?)
}

fn answer(question: RouteMessage) -> Option<RouteMessage> {
    match netlink::get(NETLINK_ROUTE, RouteNetlinkMessage::GetRoute(question)) {
        Ok(RouteNetlinkMessage::NewRoute(route)) => Some(route),
        _ => None,
    }
}

fn way_out(route: &RouteMessage) -> Option<u32> {
    route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Oif(index) => Some(*index),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_link_is_that_of_the_bridge_and_of_vlans_too() {
        let interface = |name: &str, index| Interface { name: name.to_owned(), index, ..Interface::default() };
        let interfaces = vec![
            Interface { master: Some(3), ..interface("eth0", 2) },
            interface("br0", 3),
            Interface { below: Some(3), vlan: Some((0x8100, 5)), ..interface("br0.5", 4) },
            interface("eth1", 5),
            interface("new", 8),
            Interface { is_line: true, ..interface("wg0", 6) },
            Interface { below: Some(3), is_line: true, ..interface("quiet", 7) },
        ];
        let on_link = [
            (2, "169.254.0.0/16"),
            (3, "192.0.2.0/24"),
            (3, "192.0.2.0/25"),
            (3, "fe80::/64"),
            (4, "10.5.0.0/16"),
            (5, "198.51.100.0/24"),
            (6, "10.8.0.0/24"),
            (7, "10.7.0.0/24"),
            (8, "fe80::/64"),
        ];
        let on_link = on_link.map(|(index, network)| (index, network.parse().expect("a network"))).into();
        let network = Network { interfaces, on_link, ..Network::default() };
        for (name, expected) in [
            ("eth0", &["10.5.0.0/16", "169.254.0.0/16", "192.0.2.0/24", "fe80::/10"][..]),
            ("br0.5", &["10.5.0.0/16", "fe80::/10"]),
            ("eth1", &["198.51.100.0/24", "fe80::/10"]),
            ("new", &["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fe80::/10"]),
            ("wg0", &[]),
            ("gone", &[]),
        ] {
            assert_eq!(
                network.on_link_of(name),
                expected.iter().map(|network| network.parse().expect("a network")).collect(),
                "{name}"
            );
        }
    }

    #[test]
    fn frames_for_this_machine_have_the_mac_of_the_interface_or_of_one_above_it() {
        let interface = |name: &str, index, mac: u8, master| {
            let name = name.to_owned();
            Interface { name, index, mac: Some([2, 0, 0, 0, 0, mac]), master, ..Interface::default() }
        };
        let interfaces =
            vec![interface("br0", 3, 7, None), interface("eth0", 2, 6, Some(3)), interface("eth1", 4, 8, None)];
        let network = Network { interfaces, ..Network::default() };
        let mac = |last| u64::from_ne_bytes([2, 0, 0, 0, 0, last, 0, 0]);
        assert_eq!(network.macs_of("eth0"), [mac(6), mac(7), mac(6), mac(6)]);
        assert_eq!(network.macs_of("br0"), [mac(7); 4]);
        assert_eq!(network.macs_of("gone"), [u64::MAX; 4], "no frame has it");
    }
}
