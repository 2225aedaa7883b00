//! The choice of the ports to show, out of 131,072.

use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};

use crate::{
    cmd::stats::screen::{rate, reading::Port},
    kernel::maps::counters::PortCounters,
};

/// The order of the ports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// Packets a second, the most first.
    #[default]
    Rate,
    /// Packets in all, the most first.
    Total,
    /// The port's number.
    Port,
}

impl Sort {
    /// In a word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::Total => "total",
            Self::Port => "port",
        }
    }

    pub(crate) const fn next(self) -> Self {
        match self {
            Self::Rate => Self::Total,
            Self::Total => Self::Port,
            Self::Port => Self::Rate,
        }
    }
}

/// A port that dropped something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PortRow {
    /// The port.
    pub(crate) port: Port,
    /// Packets dropped per second.
    pub(crate) per_second: u64,
    /// Packets dropped in total.
    pub(crate) dropped: u64,
}

/// The first ports by an order, and how many there are in all.
pub(crate) fn busiest(
    now: &PortCounters,
    before: Option<&PortCounters>,
    elapsed: Duration,
    sort: Sort,
    most: usize,
) -> (Vec<PortRow>, usize) {
    // The heap's top is the last of those that are shown.
    let mut first = BinaryHeap::with_capacity(most + 1);
    let mut count = 0;
    for ((protocol, port), counter) in now.iter().filter(|(_, counter)| counter.dropped != 0) {
        count += 1;
        let new = before.map_or(0, |before| counter.dropped.saturating_sub(before.get((protocol, port)).dropped));
        let ranks = match sort {
            Sort::Rate => [new, counter.dropped],
            Sort::Total => [counter.dropped, new],
            Sort::Port => [0; 2],
        };
        let rank = (Reverse(ranks), port, protocol);
        if first.len() < most {
            first.push((rank, new, counter.dropped));
        } else if first.peek().is_some_and(|(last, ..)| rank < *last) {
            first.pop();
            first.push((rank, new, counter.dropped));
        }
    }
    let rows = first.into_sorted_vec().into_iter().map(|((_, port, protocol), new, dropped)| PortRow {
        port: (protocol, port),
        per_second: rate::per_second(new, elapsed),
        dropped,
    });
    (rows.collect(), count)
}
