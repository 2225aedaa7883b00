//! A policy, in the form that people write and read.

use core::net::IpAddr;
use std::{
    borrow::ToOwned,
    collections::{BTreeMap, BTreeSet},
    string::String,
    vec::Vec,
};

use ipnet::IpNet;

use crate::{
    abi::MAX_MACS,
    actions::{Action, Grant},
    entry::{Entry, Protocols},
    forward::Forward,
    grammar::Rule,
    protocol::PortProtocol,
    ranges::PortRanges,
    rate::Rate,
    refuse::Refuse,
    source::Source,
    timeouts::Timeouts,
};

/// The packets that may come in: the entries as they were typed, and the ports that these open.
///
/// An entry opens its ports for ever, or has another [`Action`]. A port has one kind of entry for the same network: the one typed last.
///
/// A change costs time in the number of entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// The entries that open ports for ever, each with its comment.
    entries: BTreeMap<Entry, Option<String>>,
    /// The other entries, each with its action and comment.
    actions: BTreeMap<Entry, (Action, Option<String>)>,
    /// The ports that are open for ever, and to whom. A port that is open to everyone is in no network's ranges, and no ranges are
    /// empty. So two policies that open the same have the same ranges.
    ranges: BTreeMap<(PortProtocol, Source), PortRanges>,
    /// IP protocol numbers without ports that may come in.
    pub protocols: BTreeSet<u8>,
    /// The limit for echo requests of all senders together.
    pub ping: Option<Rate>,
    /// The verdict on packets that would be routed on.
    pub forward: Forward,
    /// Who gets an answer from closed ports.
    pub refuse: Refuse,
    /// The networks on the interface's own link, if the policy [needs](Self::needs_lan) them, else none. They follow from the machine's routes and
    /// are written with the policy.
    pub on_link: BTreeSet<IpNet>,
    /// The [MAC addresses](crate::abi::Settings::macs) of the interface, if the policy needs the networks on the link.
    pub macs: [u64; MAX_MACS],
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
        policy.open_all(policy.entries.keys().flat_map(Entry::rules).collect());
        policy
    }

    /// A policy that opens the ports of these rules by the fewest entries, since nobody knows how they were typed.
    #[must_use]
    pub(crate) fn untyped(rules: Vec<Rule>) -> Self {
        let mut policy = Self::default();
        policy.open_all(rules);
        policy.entries = Entry::of(&policy.rules()).into_iter().map(|entry| (entry, None)).collect();
        policy
    }

    /// Open the ports of rules: first those for everyone, which are removed from the others, and each range after the lower ones.
    fn open_all(&mut self, mut rules: Vec<Rule>) {
        rules.sort_unstable_by_key(|rule| (!rule.source.is_everyone(), rule.protocol, rule.ports));
        for rule in rules {
            self.open(rule);
        }
    }

    /// The entries that open ports for ever as they were typed, by port, each with its comment.
    pub fn entries(&self) -> impl Iterator<Item = (&Entry, Option<&str>)> {
        self.entries.iter().map(|(entry, comment)| (entry, comment.as_deref()))
    }

    /// All other entries, by port, each with its action and comment.
    pub fn actions(&self) -> impl Iterator<Item = (&Entry, Action, Option<&str>)> {
        self.actions.iter().map(|(entry, (action, comment))| (entry, *action, comment.as_deref()))
    }

    /// The same without the entries that open every port to a network: what is open by its number.
    #[must_use]
    pub fn by_number(&self) -> Self {
        let entries = self.entries.iter().filter(|(entry, _)| entry.protocols != Protocols::Every);
        let Self { entries, ranges, .. } = Self::of(entries.map(|(entry, comment)| (*entry, comment.clone())));
        let mut policy = Self { entries, ranges, ..self.clone() };
        policy.actions.retain(|entry, _| entry.protocols != Protocols::Every);
        policy
    }

    /// The same without what has ended by a time of `CLOCK_BOOTTIME`.
    #[must_use]
    pub fn without_ended(mut self, now: u64) -> Self {
        self.actions.retain(|_, (action, _)| !matches!(action, Action::Until(end) if *end <= now));
        self
    }

    /// The same with what is kept in files: what ends is not.
    #[must_use]
    pub fn lasting(self) -> Self {
        self.without_ended(u64::MAX)
    }

    /// Whether it has a different meaning on each link, so that it needs the networks there.
    #[must_use]
    pub fn needs_lan(&self) -> bool {
        self.refuse == Refuse::Lan
            || self.has_limits()
            || self.entries.keys().chain(self.actions.keys()).any(|entry| entry.source == Source::Lan)
    }

    /// Whether some limit counts packets.
    #[must_use]
    pub fn has_limits(&self) -> bool {
        self.ping.is_some() || self.actions.values().any(|(action, _)| matches!(action, Action::Limit(_)))
    }

    /// Whether both treat packets the same on the same link, however they were typed.
    #[must_use]
    pub fn means_the_same_as(&self, other: &Self) -> bool {
        let Self { entries: _, actions: _, ranges, protocols, ping, forward, refuse, on_link: _, macs: _, timeouts } =
            self;
        (ranges, protocols, ping, forward, refuse, timeouts)
            == (&other.ranges, &other.protocols, &other.ping, &other.forward, &other.refuse, &other.timeouts)
            && self.all_acting().eq(other.all_acting())
    }

    /// The rules of all entries with an action, by entry.
    fn all_acting(&self) -> impl Iterator<Item = (Rule, Action)> {
        self.actions.iter().flat_map(|(entry, (action, _))| entry.rules().map(move |rule| (rule, *action)))
    }

    /// The rules that open ports for ever: by protocol, then port, then network.
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
        self.ranges.is_empty() && !self.actions.values().any(|(action, _)| action.opens())
    }

    /// Add a rule; returns whether it opens anything new.
    pub fn allow(&mut self, rule: Rule) -> bool {
        self.allow_entry(rule.into(), None)
    }

    /// Add an entry that opens ports for ever, or give it another comment; returns whether it opens anything new. It takes the place of other actions.
    /// One without a comment is left out if it only ends a refusal, or if other entries for the same network mean the same already.
    pub fn allow_entry(&mut self, entry: Entry, comment: Option<String>) -> bool {
        let ends_refusal = self.is_refused_as(&entry);
        let is_changed = self.end_actions(&entry);
        if ends_refusal && comment.is_none() && self.is_open_around(&entry) {
            return true;
        }
        self.open_entry(entry, comment) || is_changed
    }

    /// The same without a look at actions.
    fn open_entry(&mut self, entry: Entry, comment: Option<String>) -> bool {
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
            if !rule.source.is_everyone()
                && open_to(Source::Everyone).is_some_and(|ranges| missing.without(ranges) != missing)
            {
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
        if source.is_everyone() {
            self.ranges.retain(|&(of, whom), ranges| {
                if of == protocol && !whom.is_everyone() {
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

    /// The same for an entry, also where it is timed or limited. Ports that were open to everyone stay open to the networks of other entries.
    pub fn deny_entry(&mut self, entry: &Entry) -> bool {
        let opens = |(typed, (action, _)): (&Entry, &(Action, _))| action.opens() && typed.meets(entry);
        let has_any = self.actions.iter().any(opens);
        if has_any {
            self.end_actions(entry);
        }
        self.close_entry(entry) || has_any
    }

    /// Add an entry with an action, or change its action and comment. It takes the place of others for the same network. A timed one leaves what is
    /// open for ever, and is left out where all of it is. Returns whether anything changed.
    pub fn act(&mut self, entry: Entry, action: Action, comment: Option<String>) -> bool {
        if self.actions.get(&entry) == Some(&(action, comment.clone())) {
            return false;
        }
        if matches!(action, Action::Until(_)) {
            if entry.rules().all(|rule| self.says(&rule)) {
                return false;
            }
        } else {
            self.close_entry(&entry);
        }
        self.end_actions(&entry);
        self.actions.insert(entry, (action, comment));
        true
    }

    /// The limit or refusal of some of an entry's ports for the same network. A rule that ends must not take its place.
    #[must_use]
    pub fn lasting_action(&self, entry: &Entry) -> Option<(&Entry, Action)> {
        let lasts = |(_, (action, _)): &(&Entry, &(Action, _))| !matches!(action, Action::Until(_));
        let mut lasting = self.actions.iter().filter(lasts);
        lasting.find(|(typed, _)| typed.meets(entry)).map(|(typed, (action, _))| (typed, *action))
    }

    /// Keep what another policy has open for some time.
    pub fn keep_timed(&mut self, other: &Self) {
        for (entry, action, comment) in other.actions() {
            let is_free = !self.actions.keys().any(|typed| typed.meets(entry));
            if matches!(action, Action::Until(_)) && is_free {
                self.act(*entry, action, comment.map(ToOwned::to_owned));
            }
        }
    }

    /// Refuse the ports of an entry to its network where other rules open any of them to it; returns whether they do.
    pub fn add_refusal(&mut self, entry: Entry, comment: Option<String>) -> bool {
        if !self.is_open_around(&entry) {
            return false;
        }
        if !self.is_refused_as(&entry) {
            self.act(entry, Action::Deny, comment);
        }
        true
    }

    /// Whether rules for everyone or for a network around the entry's open any of its ports.
    fn is_open_around(&self, entry: &Entry) -> bool {
        if entry.source.is_everyone() {
            return false;
        }
        entry.rules().any(|rule| {
            let is_around = |source: Source| source.contains(entry.source);
            let opens =
                |typed: &Entry| is_around(typed.source) && Entry { source: rule.source, ..*typed }.meets(&rule.into());
            let timed = self.actions.iter().filter(|(_, (action, _))| action.opens()).map(|(typed, _)| typed);
            self.entries.keys().chain(timed).any(opens)
        })
    }

    /// Whether refusals for the same network have all ports of an entry.
    fn is_refused_as(&self, entry: &Entry) -> bool {
        let refusals = || self.actions.iter().filter(|(_, (action, _))| !action.opens()).map(|(typed, _)| typed);
        entry.rules().all(|rule| {
            let mut left = PortRanges::from(rule.ports);
            for typed in refusals().filter(|typed| typed.meets(&rule.into())) {
                left.remove(typed.ports);
            }
            left.is_empty()
        })
    }

    /// The refusal of a wider network that closes a port of an entry, if there is one.
    #[must_use]
    pub fn refusal_around(&self, entry: &Entry) -> Option<&Entry> {
        let refuses = |typed: &&Entry| {
            typed.source != entry.source
                && typed.source.contains(entry.source)
                && Entry { source: entry.source, ..**typed }.meets(entry)
        };
        self.actions.iter().filter(|(_, (action, _))| !action.opens()).map(|(typed, _)| typed).find(refuses)
    }

    /// Take an entry's ports out of all entries with actions for the same network; returns whether there were any.
    fn end_actions(&mut self, entry: &Entry) -> bool {
        let met: Vec<Entry> = self.actions.keys().filter(|typed| typed.meets(entry)).copied().collect();
        for typed in &met {
            if let Some(action) = self.actions.remove(typed) {
                for left in typed.without(entry) {
                    self.actions.entry(left).or_insert_with(|| action.clone());
                }
            }
        }
        !met.is_empty()
    }

    /// Take an entry's ports out of all entries that open them for ever to the same network; returns whether there were any.
    fn close_entry(&mut self, entry: &Entry) -> bool {
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
        if entry.source.is_everyone() {
            let others = self.entries.keys().filter(|other| Entry { source: Source::Everyone, ..**other }.meets(entry));
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
        let known =
            [Source::Everyone, rule.source].into_iter().filter_map(|source| self.ranges.get(&(rule.protocol, source)));
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
        self.rules_at(protocol, port).any(|rule| rule.source.is_everyone())
    }

    /// Whether a port is open to an address, at least for some time or for some connections.
    #[must_use]
    pub fn is_open_to(&self, protocol: PortProtocol, port: u16, source: IpAddr) -> bool {
        let is_for = |rule: &Rule| rule.source.has(source, &self.on_link);
        !self.refusals_at(protocol, port).any(|rule| is_for(&rule))
            && self.rules_at(protocol, port).any(|rule| is_for(&rule))
    }

    /// The refusals of a port.
    pub fn refusals_at(&self, protocol: PortProtocol, port: u16) -> impl Iterator<Item = Rule> {
        self.acting_at(protocol, port).filter(|(_, action)| !action.opens()).map(|(rule, _)| rule)
    }

    /// The rules with an action at a port.
    pub fn acting_at(&self, protocol: PortProtocol, port: u16) -> impl Iterator<Item = (Rule, Action)> {
        self.all_acting().filter(move |(rule, _)| {
            rule.protocol == protocol && (rule.ports.first()..=rule.ports.last()).contains(&port)
        })
    }

    /// Whether a port is open to anyone at all.
    #[must_use]
    pub fn is_open_to_some(&self, protocol: PortProtocol, port: u16) -> bool {
        self.rules_at(protocol, port).next().is_some()
    }

    /// The rules that open a port for ever, then those that open it for some time or for some connections.
    pub fn rules_at(&self, protocol: PortProtocol, port: u16) -> impl Iterator<Item = Rule> {
        let for_ever = self
            .ranges_of(protocol)
            .filter_map(move |(source, ranges)| Some(Rule { protocol, ports: ranges.at(port)?, source }));
        for_ever.chain(self.acting_at(protocol, port).filter(|(_, action)| action.opens()).map(|(rule, _)| rule))
    }

    /// The ports of a protocol that are open to anyone at all.
    #[must_use]
    pub fn open_to_some(&self, protocol: PortProtocol) -> PortRanges {
        let mut open = PortRanges::default();
        for ports in self.ranges_of(protocol).flat_map(|(_, ranges)| ranges.iter()) {
            open.add(ports);
        }
        for (rule, _) in self.all_acting().filter(|(rule, action)| rule.protocol == protocol && action.opens()) {
            open.add(rule.ports);
        }
        open
    }

    /// The ports of a protocol by grant. With actions, a rule for a network counts beside one for everyone: it may lift a limit.
    pub(crate) fn grants_of(&self, protocol: PortProtocol) -> Vec<(Grant, PortRanges)> {
        if self.actions.is_empty() {
            return self.ranges_of(protocol).map(|(source, ranges)| ((source, None), ranges.clone())).collect();
        }
        let mut grants: BTreeMap<Grant, PortRanges> = BTreeMap::new();
        let for_ever = self.entries.keys().flat_map(Entry::rules).map(|rule| (rule, None));
        let acting = self.all_acting().map(|(rule, action)| (rule, Some(action)));
        for (rule, action) in for_ever.chain(acting).filter(|(rule, _)| rule.protocol == protocol) {
            grants.entry((rule.source, action)).or_default().add(rule.ports);
        }
        grants.into_iter().collect()
    }

    /// The ports of a protocol that are open for ever, and to whom, everyone first.
    pub(crate) fn ranges_of(&self, protocol: PortProtocol) -> impl Iterator<Item = (Source, &PortRanges)> {
        let of_protocol =
            self.ranges.range((protocol, Source::Everyone)..).take_while(move |((of, _), _)| *of == protocol);
        of_protocol.map(|(&(_, source), ranges)| (source, ranges))
    }
}
