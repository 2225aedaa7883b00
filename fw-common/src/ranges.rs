//! Sets of ports.

use std::{vec, vec::Vec};

use crate::grammar::PortRange;

/// Ports, as the fewest ranges that contain them: sorted, and no two touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortRanges(Vec<PortRange>);

impl From<PortRange> for PortRanges {
    fn from(range: PortRange) -> Self {
        Self(vec![range])
    }
}

impl PortRanges {
    /// The ranges, from the lowest port on.
    pub fn iter(&self) -> impl Iterator<Item = PortRange> {
        self.0.iter().copied()
    }

    /// Whether there is no port.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The range that contains a port.
    #[must_use]
    pub fn at(&self, port: u16) -> Option<PortRange> {
        let range = self.0.get(self.0.partition_point(|range| range.last() < port));
        range.copied().filter(|range| range.first() <= port)
    }

    /// Add ports.
    pub fn add(&mut self, range: PortRange) {
        let start = self.0.partition_point(|other| u32::from(other.last()) + 1 < u32::from(range.first()));
        let end = self.0.partition_point(|other| u32::from(other.first()) <= u32::from(range.last()) + 1);
        let touched = &self.0[start..end];
        let first = touched.first().map_or(range.first(), |other| other.first().min(range.first()));
        let last = touched.last().map_or(range.last(), |other| other.last().max(range.last()));
        self.0.splice(start..end, PortRange::new(first, last));
    }

    /// Remove ports; returns whether the set had any of them.
    pub fn remove(&mut self, range: PortRange) -> bool {
        let start = self.0.partition_point(|other| other.last() < range.first());
        let end = self.0.partition_point(|other| other.first() <= range.last());
        let left: Vec<PortRange> = self.0[start..end].iter().flat_map(|other| other.without(range)).flatten().collect();
        self.0.splice(start..end, left);
        start < end
    }

    /// The ports that are not in another set.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        let mut left = Vec::new();
        for &range in &self.0 {
            let mut range = Some(range);
            for hole in &other.0[range.map_or(0, |range| other.0.partition_point(|hole| hole.last() < range.first()))..]
            {
                let Some(whole) = range.filter(|range| hole.first() <= range.last()) else { break };
                let [below, above] = whole.without(*hole);
                left.extend(below);
                range = above;
            }
            left.extend(range);
        }
        Self(left)
    }
}
