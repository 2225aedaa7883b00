//! The interfaces with their addresses, and the paths of inbound packets.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
    path::Path,
};

use ipnet::IpNet;
use netlink_sys::protocols::NETLINK_ROUTE;
use rtnetlink::{
    RouteMessageBuilder,
    packet_route::{
        AddressFamily, RouteNetlinkMessage,
        route::{RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteType, RouteVia},
    },
};

use crate::{
    error::{Error, Result},
    host::{
        bridge_ports::BridgeNetfilter,
        interface::{self, Interface},
        netlink,
    },
};

/// The interfaces, their addresses, and the routes to some peers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Network {
    pub(crate) interfaces: Vec<Interface>,
    /// With the index of the interface, and the prefix length of its link.
    pub(crate) addresses: Vec<(u32, IpNet)>,
    /// The interfaces of default routes, by index.
    pub(crate) default_routes: BTreeSet<u32>,
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
        Ok(Self {
            interfaces,
            addresses,
            default_routes: default_routes()?,
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

/// The interfaces of default routes, in all tables.
fn default_routes() -> Result<BTreeSet<u32>> {
    Ok(routes()?.iter().flat_map(ways_of_default).collect())
}

/// All routes, of whatever table.
fn routes() -> Result<Vec<RouteMessage>> {
    let mut found = Vec::new();
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        let mut question = RouteMessage::default();
        question.header.address_family = family;
        match netlink::dump(NETLINK_ROUTE, RouteNetlinkMessage::GetRoute(question)) {
            Ok(answers) => found.extend(answers.into_iter().filter_map(|answer| match answer {
                RouteNetlinkMessage::NewRoute(route) => Some(route),
                _ => None,
            })),
            // A kernel without IPv6 has no IPv6 routes.
            Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => {}
            Err(error) => return Err(Error::refused("asking for the routes", error)),
        }
    }
    Ok(found)
}

/// The interface of a route, if it is a default route.
fn ways_of_default(route: &RouteMessage) -> Vec<u32> {
    let is_default = route.header.destination_prefix_length == 0 && route.header.kind == RouteType::Unicast;
    let ways = route.attributes.iter().filter(|_| is_default).flat_map(|attribute| match attribute {
        RouteAttribute::Oif(index) => vec![*index],
        RouteAttribute::MultiPath(hops) => hops.iter().map(|hop| hop.interface_index).collect(),
        _ => Vec::new(),
    });
    ways.collect()
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
    for route in routes()?.iter().filter(|route| route.header.kind == RouteType::Unicast) {
        let gateways: Vec<IpAddr> = gateways(&route.attributes).collect();
        if gateways.is_empty() {
            found.on_link.extend(destination(route));
        }
        found.gateways.extend(gateways);
    }
    Ok(found)
}

/// The gateways among the attributes of a route, and of its ways where it has several.
fn gateways(attributes: &[RouteAttribute]) -> impl Iterator<Item = IpAddr> {
    let ways = attributes.iter().filter_map(|attribute| match attribute {
        RouteAttribute::MultiPath(hops) => Some(hops.iter().flat_map(|hop| &hop.attributes)),
        _ => None,
    });
    attributes.iter().chain(ways.flatten()).filter_map(|attribute| match attribute {
        RouteAttribute::Gateway(RouteAddress::Inet(address)) | RouteAttribute::Via(RouteVia::Inet(address)) => {
            Some(IpAddr::V4(*address))
        }
        RouteAttribute::Gateway(RouteAddress::Inet6(address)) | RouteAttribute::Via(RouteVia::Inet6(address)) => {
            Some(IpAddr::V6(*address))
        }
        _ => None,
    })
}

/// The network that a route leads to; nothing for a default route.
fn destination(route: &RouteMessage) -> Option<IpNet> {
    route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Destination(RouteAddress::Inet(address)) => {
            IpNet::new(IpAddr::V4(*address), route.header.destination_prefix_length).ok()
        }
        RouteAttribute::Destination(RouteAddress::Inet6(address)) => {
            IpNet::new(IpAddr::V6(*address), route.header.destination_prefix_length).ok()
        }
        _ => None,
    })
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
