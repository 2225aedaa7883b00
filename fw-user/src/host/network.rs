//! The interfaces with their addresses, and which way packets come in.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
};

use ipnet::IpNet;
use netlink_sys::protocols::NETLINK_ROUTE;
use rtnetlink::{
    RouteMessageBuilder,
    packet_route::{RouteNetlinkMessage, route::RouteAttribute},
};

use crate::host::netlink;
use crate::{
    error::Result,
    host::interface::{self, Interface},
};

/// The interfaces, their addresses, and the routes to some peers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Network {
    pub(crate) interfaces: Vec<Interface>,
    /// With the index of the interface, and the length of the prefix that is on its link.
    pub(crate) addresses: Vec<(u32, IpNet)>,
    /// Through which interface a peer is answered from a local address.
    pub(crate) routes: HashMap<(IpAddr, IpAddr), u32>,
}

impl Network {
    pub(crate) fn ask() -> Result<Self> {
        let interfaces = interface::all()?;
        let addresses = interface::addresses()?;
        Ok(Self { interfaces, addresses, routes: HashMap::new() })
    }

    /// Ask for the routes from local addresses, the second ones, to peers. Peers without a route have none.
    pub(crate) fn find_routes(&mut self, pairs: impl Iterator<Item = (IpAddr, IpAddr)>) {
        let pairs: BTreeSet<_> = pairs.collect();
        for (peer, local) in pairs {
            let whole = |address: IpAddr| if address.is_ipv4() { 32 } else { 128 };
            let question = RouteMessageBuilder::<IpAddr>::new()
                .destination_prefix(peer, whole(peer))
                .and_then(|builder| builder.source_prefix(local, whole(local)));
            let Ok(question) = question else { continue };
            let question = RouteNetlinkMessage::GetRoute(question.build());
            let Ok(RouteNetlinkMessage::NewRoute(route)) = netlink::get(NETLINK_ROUTE, question) else { continue };
            let out = route.attributes.iter().find_map(|attribute| match attribute {
                RouteAttribute::Oif(index) => Some(*index),
                _ => None,
            });
            self.routes.extend(out.map(|index| ((peer, local), index)));
        }
    }

    pub(crate) fn index(&self, name: &str) -> Option<u32> {
        self.interfaces.iter().find(|interface| interface.name == name).map(|interface| interface.index)
    }

    /// The interfaces whose packets come in through one: itself, the bridge or bond that it is a port of, VLANs on any of these.
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

    /// Whether the address is one of this network namespace.
    pub(crate) fn has(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|(_, net)| net.addr() == address)
    }

    /// Whether one of these interfaces has the address, or the address stands for all of them.
    pub(crate) fn have(&self, fed: &BTreeSet<u32>, address: IpAddr) -> bool {
        address.is_unspecified() || self.addresses.iter().any(|(at, net)| fed.contains(at) && net.addr() == address)
    }

    /// Whether packets of a peer to an address come in through these interfaces, for a socket that uses the only interface `device`, or any
    /// where that is 0. Where several could be the way, each of them is.
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
        // An address is reached by any way. A neighbour on another link, such as a container, comes from there.
        let on_link = |is_meant: &dyn Fn(&u32) -> bool| {
            self.addresses.iter().any(|(at, net)| is_meant(at) && net.contains(&peer))
        };
        let is_elsewhere = route.is_some_and(|out| on_link(&|at| at == out)) && !on_link(&|at| fed.contains(at));
        self.have(fed, target) && !is_elsewhere
    }
}
