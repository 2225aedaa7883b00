//! By which interfaces the network comes in, and what judges it there.

use std::{collections::BTreeMap, net::IpAddr};

use fw_common::policy::Policy;
use rtnetlink::packet_route::link::LinkLayerType;

use crate::{
    host::{interface::Interface, network::Network},
    kernel::{maps::counters::Counters, meta::Mode},
};

/// What stands on an interface.
#[derive(Clone, Debug)]
pub(crate) enum Filter {
    /// Ours, at work.
    Ours(Box<Ruling>),
    /// Something whose rules are not known here, in words: another version of ours, or another XDP program.
    Unknown(String),
}

/// What a filter of ours does.
#[derive(Clone, Debug)]
pub(crate) struct Ruling {
    /// What may come in.
    pub policy: Policy,
    /// Whether nothing is dropped.
    pub monitors: bool,
    /// Where it runs.
    pub mode: Mode,
    /// What it has counted.
    pub counters: Counters,
}

/// What stands on which interface; nothing on those that are missing.
pub(crate) type Filters = BTreeMap<String, Filter>;

/// An interface by which the network comes in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IngressPath {
    /// The interface's name.
    pub name: String,
    /// Its index.
    pub index: u32,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// The interfaces whose filters judge what comes in here: itself, or each of those that feed it, containers and virtual machines left
    /// out. `None` for what nothing judges.
    pub judges: Vec<Option<String>>,
}

/// The ingress paths: the named interfaces, or those where a network other than that of containers can be.
pub(crate) fn paths(network: &Network, filters: &Filters, named: &[String]) -> Vec<IngressPath> {
    let find = |name: &String| network.interfaces.iter().find(|interface| interface.name == *name);
    let chosen: Vec<&Interface> = if named.is_empty() {
        network.interfaces.iter().filter(|interface| is_way(network, filters, interface)).collect()
    } else {
        named.iter().filter_map(find).collect()
    };
    let path = |interface: &Interface| IngressPath {
        name: interface.name.clone(),
        index: interface.index,
        addresses: addresses(network, interface).collect(),
        judges: judges(network, filters, interface),
    };
    chosen.into_iter().map(path).collect()
}

fn addresses(network: &Network, interface: &Interface) -> impl Iterator<Item = IpAddr> {
    let index = interface.index;
    network.addresses.iter().filter(move |(at, _)| *at == index).map(|(_, net)| net.addr())
}

fn is_way(network: &Network, filters: &Filters, interface: &Interface) -> bool {
    if interface.layer != LinkLayerType::Ether {
        return false;
    }
    let is_below_another =
        interface.master.is_some() || network.interfaces.iter().any(|other| other.below == Some(interface.index));
    if filters.contains_key(&interface.name) && !is_below_another {
        return true;
    }
    match interface.kind.as_deref() {
        // No cable ends there, and the other end of a tunnel between containers is a container.
        Some("dummy" | "ifb" | "vxlan" | "geneve") => false,
        Some("bridge") if is_of_containers(network, filters, interface) => false,
        // The host's end of a container's cable has no more than the address that every interface gives itself.
        Some("veth") => addresses(network, interface).any(|address| !is_link_local(address)),
        _ => addresses(network, interface).next().is_some(),
    }
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

/// Whether a bridge has only containers and virtual machines at its ports, or nobody.
fn is_of_containers(network: &Network, filters: &Filters, bridge: &Interface) -> bool {
    feeders(network, bridge).all(|port| is_inside(filters, port))
}

/// Whether a container or a virtual machine is at the other end of an interface that feeds another one.
fn is_inside(filters: &Filters, port: &Interface) -> bool {
    matches!(port.kind.as_deref(), Some("veth" | "tun" | "macvtap")) && !filters.contains_key(&port.name)
}

/// The interfaces whose packets an interface gets: the ports of a bridge or bond, what a VLAN stands on.
fn feeders<'a>(network: &'a Network, interface: &'a Interface) -> impl Iterator<Item = &'a Interface> {
    network
        .interfaces
        .iter()
        .filter(|other| other.master == Some(interface.index) || interface.below == Some(other.index))
}

fn judges(network: &Network, filters: &Filters, interface: &Interface) -> Vec<Option<String>> {
    if filters.contains_key(&interface.name) {
        return vec![Some(interface.name.clone())];
    }
    let feeders = feeders(network, interface).filter(|feeder| !is_inside(filters, feeder));
    let mut judges: Vec<_> = feeders.flat_map(|feeder| judges(network, filters, feeder)).collect();
    judges.sort_unstable();
    judges.dedup();
    if judges.is_empty() { vec![None] } else { judges }
}
