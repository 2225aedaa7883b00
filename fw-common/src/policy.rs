//! A policy, in the form that people write and read.

use core::net::IpAddr;
use std::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};

use ipnet::IpNet;

use crate::{forward::Forward, grammar::Rule, protocol::PortProtocol, ranges::PortRanges, timeouts::Timeouts};

/// The packets that may come in, in a normal form: two policies with the same meaning compare equal.
///
/// A change costs time in the number of ranges of its protocol and network or, if it opens ports to everyone, of all networks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// The ports that are open to everyone (`None`) or to a network. A port that is open to everyone is in no network's ranges, and no ranges are
    /// empty.
    ranges: BTreeMap<(PortProtocol, Option<IpNet>), PortRanges>,
    /// IP protocol numbers without ports that may come in.
    pub protocols: BTreeSet<u8>,
    /// The verdict on packets that would be routed on.
    pub forward: Forward,
    /// How long flows live without a packet.
    pub timeouts: Timeouts,
}

impl Policy {
    /// A policy of these rules alone.
    #[must_use]
    pub fn new(rules: impl IntoIterator<Item = Rule>) -> Self {
        let mut rules: Vec<Rule> = rules.into_iter().collect();
        // First the ports for everyone, which are removed from the others, and each range after the lower ones.
        rules.sort_unstable_by_key(|rule| (rule.source.is_some(), rule.protocol, rule.ports));
        let mut policy = Self::default();
        for rule in rules {
            policy.allow(rule);
        }
        policy
    }

    /// The rules: by protocol, then port, then network.
    #[must_use]
    pub fn rules(&self) -> Vec<Rule> {
        let mut rules = Vec::new();
        for (&(protocol, source), ranges) in &self.ranges {
            rules.extend(ranges.iter().map(|ports| Rule { protocol, ports, source }));
        }
        rules.sort_unstable();
        rules
    }

    /// Whether no port is open to anyone.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Add a rule; returns whether it opens anything new.
    pub fn allow(&mut self, rule: Rule) -> bool {
        let new = self.missing(&rule);
        if new.is_empty() {
            return false;
        }
        let Rule { protocol, ports, source } = rule;
        if source.is_none() {
            self.ranges.retain(|&(of, network), ranges| {
                if of == protocol && network.is_some() {
                    ranges.remove(ports);
                }
                !ranges.is_empty()
            });
        }
        let ranges = self.ranges.entry((protocol, source)).or_default();
        for ports in new.iter() {
            ranges.add(ports);
        }
        true
    }

    /// Remove a rule's ports, only from rules for the same network; returns whether any was open.
    pub fn deny(&mut self, rule: &Rule) -> bool {
        let key = (rule.protocol, rule.source);
        let Some(ranges) = self.ranges.get_mut(&key) else { return false };
        let is_taken = ranges.remove(rule.ports);
        if ranges.is_empty() {
            self.ranges.remove(&key);
        }
        is_taken
    }

    /// Whether rules for the same network or for everyone already open all ports of a rule.
    #[must_use]
    pub fn says(&self, rule: &Rule) -> bool {
        self.missing(rule).is_empty()
    }

    /// The ports of a rule that are open neither to its network nor to everyone.
    fn missing(&self, rule: &Rule) -> PortRanges {
        let known = [None, rule.source].into_iter().filter_map(|source| self.ranges.get(&(rule.protocol, source)));
        known.fold(PortRanges::from(rule.ports), |missing, ranges| missing.without(ranges))
    }

    /// The ports that this policy opens and another one does not open to the same network.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        let left = self.ranges.iter().map(|(&key, ranges)| match other.ranges.get(&key) {
            Some(others) => (key, ranges.without(others)),
            None => (key, ranges.clone()),
        });
        let ranges = left.filter(|(_, ranges)| !ranges.is_empty()).collect();
        Self { ranges, protocols: self.protocols.clone(), forward: self.forward.clone(), timeouts: self.timeouts }
    }

    /// Whether a port is open to everyone.
    #[must_use]
    pub fn is_open(&self, protocol: PortProtocol, port: u16) -> bool {
        self.rules_at(protocol, port).any(|rule| rule.source.is_none())
    }

    /// Whether a port is open to an address.
    #[must_use]
    pub fn is_open_to(&self, protocol: PortProtocol, port: u16, source: IpAddr) -> bool {
        self.rules_at(protocol, port).any(|rule| rule.source.is_none_or(|network| network.contains(&source)))
    }

    /// Whether a port is open to anyone at all.
    #[must_use]
    pub fn is_open_to_some(&self, protocol: PortProtocol, port: u16) -> bool {
        self.rules_at(protocol, port).next().is_some()
    }

    /// The rules that open a port: the one for everyone, or those for networks.
    pub fn rules_at(&self, protocol: PortProtocol, port: u16) -> impl Iterator<Item = Rule> {
        self.ranges_of(protocol)
            .filter_map(move |(source, ranges)| Some(Rule { protocol, ports: ranges.at(port)?, source }))
    }

    /// The ports of a protocol that are open to anyone at all.
    #[must_use]
    pub fn open_to_some(&self, protocol: PortProtocol) -> PortRanges {
        let mut open = PortRanges::default();
        for ports in self.ranges_of(protocol).flat_map(|(_, ranges)| ranges.iter()) {
            open.add(ports);
        }
        open
    }

    /// The ports of a protocol that are open to everyone (`None`) and to each network, in this order.
    pub(crate) fn ranges_of(&self, protocol: PortProtocol) -> impl Iterator<Item = (Option<IpNet>, &PortRanges)> {
        let of_protocol = self.ranges.range((protocol, None)..).take_while(move |((of, _), _)| *of == protocol);
        of_protocol.map(|(&(_, source), ranges)| (source, ranges))
    }
}
