//! The interfaces through which the network reaches this machine, and the filters there.

use std::{collections::BTreeMap, net::IpAddr, path::PathBuf};

use aya::util::KernelVersion;
use fw_common::policy::Policy;

use crate::{
    config::{File, file_without},
    host::{
        class::{Class, Classes, Side},
        interface::Interface,
        network::Network,
    },
    kernel::{maps::counters::Counters, meta::Mode, object},
};

/// The filter on an interface.
#[derive(Clone, Debug)]
pub(crate) enum Filter {
    /// An active filter of fw-user.
    Ours(Box<Ruling>),
    /// A filter with unknown rules, in words: another version of fw-user, or another XDP program.
    Unknown(String),
}

impl Filter {
    /// Its policy, if known.
    pub(crate) fn policy(&self) -> Option<&Policy> {
        match self {
            Self::Ours(ruling) => Some(&ruling.policy),
            Self::Unknown(_) => None,
        }
    }
}

/// A filter of fw-user.
#[derive(Clone, Debug)]
pub(crate) struct Ruling {
    /// The policy.
    pub policy: Policy,
    /// Whether nothing is dropped.
    pub monitors: bool,
    /// Where it runs.
    pub mode: Mode,
    /// Its counters.
    pub counters: Counters,
}

/// The filters by interface; an interface that is missing has none.
pub(crate) type Filters = BTreeMap<String, Filter>;

/// An interface through which the network reaches this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IngressPath {
    /// The interface's name.
    pub name: String,
    /// Its index.
    pub index: u32,
    /// How it is classed, and why.
    pub class: Class,
    /// Whether a filter can be put there.
    pub can_be_filtered: bool,
    /// The configuration file whose `except` leaves it out.
    pub left_out_by: Option<PathBuf>,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// The interfaces whose filters judge its packets: itself, or each one that feeds it, except containers and virtual machines. `None` stands for
    /// packets without a filter.
    pub judges: Vec<Option<String>>,
}

/// Why some interfaces cannot be filtered.
pub(crate) const BARE: &str =
    "fw filters interfaces without Ethernet headers from Linux 6.6 on, and never those of IPsec";

/// Whether this kernel lets a filter be put on an interface.
pub(crate) fn can_be_filtered(interface: &Interface) -> bool {
    let has_tcx = || object::kernel_version().is_ok_and(|kernel| kernel >= KernelVersion::new(6, 6, 0));
    interface.is_ethernet() || interface.check_can_be_filtered().is_ok() && has_tcx()
}

/// The ingress paths: the named interfaces, or those through which other machines reach this one.
pub(crate) fn paths(network: &Network, filters: &Filters, files: &[File], named: &[String]) -> Vec<IngressPath> {
    let classes = Classes::of(network);
    let find = |name: &String| network.interfaces.iter().find(|interface| interface.name == *name);
    let chosen: Vec<&Interface> = if named.is_empty() {
        network.interfaces.iter().filter(|interface| is_path(network, &classes, filters, interface)).collect()
    } else {
        named.iter().filter_map(find).collect()
    };
    let path = |interface: &Interface| IngressPath {
        name: interface.name.clone(),
        index: interface.index,
        class: classes.class(interface),
        can_be_filtered: can_be_filtered(interface),
        left_out_by: file_without(files, &interface.name).map(|file| file.path.clone()),
        addresses: network.addresses_of(interface.index).collect(),
        judges: judges(network, &classes, filters, interface),
    };
    chosen.into_iter().map(path).collect()
}

fn is_path(network: &Network, classes: &Classes<'_>, filters: &Filters, interface: &Interface) -> bool {
    let is_below_another =
        interface.master.is_some() || network.interfaces.iter().any(|other| other.below == Some(interface.index));
    if filters.contains_key(&interface.name) && !is_below_another {
        return true;
    }
    classes.class(interface).side != Side::Inside && network.addresses_of(interface.index).next().is_some()
}

/// Whether a container or a virtual machine is at the other end of an interface that feeds another one.
fn is_inside(classes: &Classes<'_>, filters: &Filters, port: &Interface) -> bool {
    classes.class(port).side == Side::Inside && !filters.contains_key(&port.name)
}

/// The interfaces that feed an interface: the ports of a bridge or bond, the parent of a VLAN.
fn feeders<'a>(network: &'a Network, interface: &'a Interface) -> impl Iterator<Item = &'a Interface> {
    network
        .interfaces
        .iter()
        .filter(|other| other.master == Some(interface.index) || interface.below == Some(other.index))
}

fn judges(network: &Network, classes: &Classes<'_>, filters: &Filters, interface: &Interface) -> Vec<Option<String>> {
    if filters.contains_key(&interface.name) {
        return vec![Some(interface.name.clone())];
    }
    let feeders = feeders(network, interface).filter(|feeder| !is_inside(classes, filters, feeder));
    let mut judges: Vec<_> = feeders.flat_map(|feeder| judges(network, classes, filters, feeder)).collect();
    judges.sort_unstable();
    judges.dedup();
    if judges.is_empty() { vec![None] } else { judges }
}
