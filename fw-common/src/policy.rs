//! A policy, in the form that people write and read.

use core::net::IpAddr;
use std::{
    collections::{BTreeMap, BTreeSet},
    string::String,
    vec::Vec,
};

use ipnet::IpNet;

use crate::{
    entry::{Entry, Protocols},
    forward::Forward,
    grammar::Rule,
    protocol::PortProtocol,
    ranges::PortRanges,
    refuse::Refuse,
    timeouts::Timeouts,
};

/// The packets that may come in: the entries as they were typed, and the ports that these open.
///
/// A change costs time in the number of entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// The entries, each with its comment.
    entries: BTreeMap<Entry, Option<String>>,
    /// The ports that are open to everyone (`None`) or to a network. A port that is open to everyone is in no network's ranges, and no ranges are
    /// empty. So two policies that open the same have the same ranges.
    ranges: BTreeMap<(PortProtocol, Option<IpNet>), PortRanges>,
    /// IP protocol numbers without ports that may come in.
    pub protocols: BTreeSet<u8>,
    /// The verdict on packets that would be routed on.
    pub forward: Forward,
    /// Who gets an answer from closed ports.
    pub refuse: Refuse,
    /// The networks on the interface's own link, if the policy [needs](Self::needs_lan) them, else none. They follow from the machine's routes and
    /// are written with the policy.
    pub on_link: BTreeSet<IpNet>,
    /// How long flows live without a packet.
    pub timeouts: Timeouts,
}

impl Policy {
    /// A policy of these rules alone.
    #[must_use]
    pub fn new(rules: impl IntoIterator<Item = Rule>) -> Self {
        Self::of(rules.into_iter().map(|rule| (rule.into(), None)))
    }

    /// A policy of these entries alone, each with its comment.
    #[must_use]
    pub fn of(entries: impl IntoIterator<Item = (Entry, Option<String>)>) -> Self {
        let mut policy = Self { entries: entries.into_iter().collect(), ..Self::default() };
        // First the ports for everyone, which are removed from the others, and each range after the lower ones.
        let mut rules: Vec<Rule> = policy.entries.keys().flat_map(Entry::rules).collect();
        rules.sort_unstable_by_key(|rule| (rule.source.is_some(), rule.protocol, rule.ports));
        for rule in rules {
            policy.open(rule);
        }
        policy
    }

    /// The entries as they were typed, by port, each with its comment.
    pub fn entries(&self) -> impl Iterator<Item = (&Entry, Option<&str>)> {
        self.entries.iter().map(|(entry, comment)| (entry, comment.as_deref()))
    }

    /// The same without the entries that open every port to a network: what is open by its number.
    #[must_use]
    pub fn by_number(&self) -> Self {
        let entries = self.entries.iter().filter(|(entry, _)| entry.protocols != Protocols::Every);
        let policy = Self::of(entries.map(|(entry, comment)| (*entry, comment.clone())));
        Self { entries: policy.entries, ranges: policy.ranges, ..self.clone() }
    }

    /// Whether it has a different meaning on each link, so that it needs the networks there.
    #[must_use]
    pub fn needs_lan(&self) -> bool {
        self.refuse == Refuse::Lan
    }

    /// Whether both treat packets the same on the same link, however they were typed.
    #[must_use]
    pub fn means_the_same_as(&self, other: &Self) -> bool {
        let Self { entries: _, ranges, protocols, forward, refuse, on_link: _, timeouts } = self;
        (ranges, protocols, forward, refuse, timeouts)
            == (&other.ranges, &other.protocols, &other.forward, &other.refuse, &other.timeouts)
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
        self.allow_entry(rule.into(), None)
    }

    /// Add an entry, or give it another comment; returns whether it opens anything new. One without a comment is left out if other entries for the
    /// same network mean the same already.
    pub fn allow_entry(&mut self, entry: Entry, comment: Option<String>) -> bool {
        if comment.is_some() {
            self.entries.insert(entry, comment);
        } else if !self.entries.contains_key(&entry) && !self.is_typed(&entry) {
            self.entries.insert(entry, None);
        }
        let mut is_new = false;
        for rule in entry.rules() {
            is_new |= self.open(rule);
        }
        is_new
    }

    /// Whether the entries for the same network have all ports of an entry.
    fn is_typed(&self, entry: &Entry) -> bool {
        entry.rules().all(|rule| {
            let open_to = |source| self.ranges.get(&(rule.protocol, source));
            let ports = PortRanges::from(rule.ports);
            let mut missing = open_to(rule.source).map_or(ports.clone(), |ranges| ports.without(ranges));
            // What is open to everyone is in no network's ranges. Only then every entry counts.
            if rule.source.is_some() && open_to(None).is_some_and(|ranges| missing.without(ranges) != missing) {
                let meets = |typed: &&Entry| typed.meets(&rule.into());
                for typed in self.entries.keys().filter(meets) {
                    missing.remove(typed.ports);
                }
            }
            missing.is_empty()
        })
    }

    /// Open the ports of a rule; returns whether any of them was closed.
    fn open(&mut self, rule: Rule) -> bool {
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

    /// Remove a rule's ports, only from entries for the same network; returns whether there was any.
    pub fn deny(&mut self, rule: &Rule) -> bool {
        self.deny_entry(&(*rule).into())
    }

    /// The same for an entry. Ports that were open to everyone stay open to the networks of other entries.
    pub fn deny_entry(&mut self, entry: &Entry) -> bool {
        let met: Vec<Entry> = self.entries.keys().filter(|typed| typed.meets(entry)).copied().collect();
        for typed in &met {
            let comment = self.entries.remove(typed).flatten();
            for left in typed.without(entry) {
                self.entries.entry(left).or_insert_with(|| comment.clone());
            }
        }
        for rule in entry.rules() {
            let key = (rule.protocol, rule.source);
            if let Some(ranges) = self.ranges.get_mut(&key) {
                ranges.remove(rule.ports);
                if ranges.is_empty() {
                    self.ranges.remove(&key);
                }
            }
        }
        if entry.source.is_none() {
            let others = self.entries.keys().filter(|other| Entry { source: None, ..**other }.meets(entry));
            for rule in others.flat_map(Entry::rules).collect::<Vec<_>>() {
                self.open(rule);
            }
        }
        !met.is_empty()
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

    /// The rules for the ports that this policy opens and another one does not open to the same network.
    #[must_use]
    pub fn without(&self, other: &Self) -> Vec<Rule> {
        let mut rules = Vec::new();
        for (&(protocol, source), ranges) in &self.ranges {
            let left = match other.ranges.get(&(protocol, source)) {
                Some(others) => ranges.without(others),
                None => ranges.clone(),
            };
            rules.extend(left.iter().map(|ports| Rule { protocol, ports, source }));
        }
        rules.sort_unstable();
        rules
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
