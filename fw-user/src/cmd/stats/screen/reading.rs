//! The kernel's data at one time.

use std::{collections::BTreeSet, time::Instant};

use fw_common::PortProtocol;

use crate::kernel::{
    maps::{counters::Counters, sources::DropSource},
    meta::Mode,
};

/// A protocol and a port of this host.
pub type Port = (PortProtocol, u16);

/// The counters of all interfaces at one tick.
pub struct Reading<'a> {
    /// When.
    pub at: Instant,
    /// Flows in the tables that all interfaces share; nothing where there are none.
    pub flows: Option<usize>,
    /// The interfaces, in the order of their names.
    pub interfaces: Vec<InterfaceReading<'a>>,
}

/// The counters of one interface.
pub struct InterfaceReading<'a> {
    /// The name.
    pub name: &'a str,
    /// Its filter, or in words why there is none.
    pub filter: Result<FilterReading<'a>, &'a str>,
}

/// An active filter.
pub struct FilterReading<'a> {
    /// A number that changes when the filter is attached again and all counts start from zero.
    pub generation: u64,
    /// Where it runs.
    pub mode: Mode,
    /// Whether packets that count as dropped pass (monitor mode).
    pub monitors: bool,
    /// The seconds until the last change reverts, if it waits to be confirmed.
    pub trial_ends_in: Option<u64>,
    /// The ports that some rule opens, to anybody.
    pub open: &'a BTreeSet<Port>,
    /// The counters.
    pub counters: &'a Counters,
    /// The senders of dropped packets, the busiest first.
    pub sources: &'a [DropSource],
}
