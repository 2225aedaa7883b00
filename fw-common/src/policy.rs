//! A policy: as people write and read it, and as the kernel's maps hold it.

use core::{fmt, net::IpAddr, str::FromStr};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    vec,
    vec::Vec,
};

use ipnet::IpNet;
use thiserror::Error;

use crate::{
    abi::{CLASS_CLOSED, CLASS_OPEN, MAX_SOURCES, Settings},
    grammar::{PortRange, Rule},
    protocol::PortProtocol,
};

/// What becomes of packets to an allowed port that would be routed on to another machine or container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Forward {
    /// They drop: this machine is no router for the neighbours.
    #[default]
    Drop,
    /// They pass: this machine is a router.
    Pass,
}

impl fmt::Display for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Drop => "drop",
            Self::Pass => "pass",
        })
    }
}

impl FromStr for Forward {
    type Err = ForwardError;

    fn from_str(text: &str) -> Result<Self, ForwardError> {
        match text {
            "drop" => Ok(Self::Drop),
            "pass" => Ok(Self::Pass),
            _ => Err(ForwardError),
        }
    }
}

/// Neither `drop` nor `pass`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("write drop or pass")]
pub struct ForwardError;

/// What may come in. The rules are kept in a normal form: two policies that mean the same compare equal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    rules: Vec<Rule>,
    /// IP protocol numbers without ports that may come in.
    pub protocols: BTreeSet<u8>,
    /// What becomes of packets that would be routed on.
    pub forward: Forward,
}

/// More networks, or more different lists of them, than the kernel's maps hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the rules name {count} source networks in all; {limit} is the most")]
pub struct TooManySources {
    /// How many there are, counted once for each list of networks that some port has.
    pub count: usize,
    /// How many there may be.
    pub limit: usize,
}

impl Policy {
    /// A policy of these rules that lets in nothing else.
    #[must_use]
    pub fn new(rules: impl IntoIterator<Item = Rule>) -> Self {
        let mut policy = Self { rules: rules.into_iter().collect(), ..Self::default() };
        policy.normalize();
        policy
    }

    /// The rules: by protocol, then port, then network.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Let in what a rule says, and say whether that is anything new.
    pub fn allow(&mut self, rule: Rule) -> bool {
        let before = self.rules.clone();
        self.rules.push(rule);
        self.normalize();
        self.rules != before
    }

    /// Take back what a rule gave, from rules for the same network alone, and say whether there was anything to take.
    pub fn deny(&mut self, rule: &Rule) -> bool {
        let before = self.rules.clone();
        let concerned = |other: &&Rule| other.protocol == rule.protocol && other.source == rule.source;
        let rest = |other: &Rule| {
            let below = PortRange::new(other.ports.first(), other.ports.last().min(rule.ports.first() - 1));
            let above = rule
                .ports
                .last()
                .checked_add(1)
                .and_then(|next| PortRange::new(other.ports.first().max(next), other.ports.last()));
            [below, above].into_iter().flatten().map(|ports| Rule { ports, ..*other }).collect::<Vec<_>>()
        };
        self.rules =
            before.iter().flat_map(|other| if concerned(&other) { rest(other) } else { vec![*other] }).collect();
        self.normalize();
        self.rules != before
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

    fn rules_at(&self, protocol: PortProtocol, port: u16) -> impl Iterator<Item = &Rule> {
        let concerns =
            move |rule: &&Rule| rule.protocol == protocol && (rule.ports.first()..=rule.ports.last()).contains(&port);
        self.rules.iter().filter(concerns)
    }

    /// Join ranges that touch, drop what another rule says already, and sort.
    fn normalize(&mut self) {
        let mut by_source: BTreeMap<(PortProtocol, Option<IpNet>), Vec<PortRange>> = BTreeMap::new();
        for rule in &self.rules {
            by_source.entry((rule.protocol, rule.source)).or_default().push(rule.ports);
        }
        for ranges in by_source.values_mut() {
            *ranges = joined(ranges);
        }
        let mut rules = Vec::new();
        for (&(protocol, source), ranges) in &by_source {
            let open = by_source.get(&(protocol, None)).map_or(&[][..], Vec::as_slice);
            let left = if source.is_some() { without(ranges, open) } else { ranges.clone() };
            rules.extend(left.into_iter().map(|ports| Rule { protocol, ports, source }));
        }
        rules.sort_unstable();
        self.rules = rules;
    }

    /// Put the policy into the form that the kernel's maps have.
    ///
    /// # Errors
    /// [`TooManySources`].
    pub fn compile(&self) -> Result<Compiled, TooManySources> {
        let mut compiled = Compiled::default();
        let mut lists: HashMap<Vec<IpNet>, u16> = HashMap::new();
        let mut count = 0;
        for protocol in PortProtocol::ALL {
            let classes = compiled.classes_mut(protocol);
            let mut networks: Vec<(PortRange, Vec<IpNet>)> = Vec::new();
            for rule in self.rules.iter().filter(|rule| rule.protocol == protocol && rule.source.is_none()) {
                classes[usize::from(rule.ports.first())..=usize::from(rule.ports.last())].fill(CLASS_OPEN);
            }
            split_by_networks(self.rules.iter().filter(|rule| rule.protocol == protocol), &mut networks);
            for (ports, list) in networks {
                let next = u16::try_from(lists.len() + 1).unwrap_or(CLASS_OPEN);
                let class = *lists.entry(list).or_insert_with_key(|list| {
                    count += list.len();
                    next
                });
                if class == CLASS_OPEN {
                    return Err(TooManySources { count: lists.len(), limit: usize::from(CLASS_OPEN) - 1 });
                }
                classes[usize::from(ports.first())..=usize::from(ports.last())].fill(class);
            }
        }
        // Both buffers hold networks while a policy replaces another.
        let limit = MAX_SOURCES as usize / 2;
        if count > limit {
            return Err(TooManySources { count, limit });
        }
        compiled.networks =
            lists.into_iter().flat_map(|(list, class)| list.into_iter().map(move |net| (class, net))).collect();
        compiled.networks.sort_unstable();
        for &protocol in &self.protocols {
            compiled.settings.protocols[usize::from(protocol / 64)] |= 1 << (protocol % 64);
        }
        compiled.settings.forward = u64::from(self.forward == Forward::Pass);
        Ok(compiled)
    }
}

/// Sort ranges and join those that overlap or touch.
fn joined(ranges: &[PortRange]) -> Vec<PortRange> {
    let mut sorted = ranges.to_vec();
    sorted.sort_unstable();
    let mut joined: Vec<PortRange> = Vec::new();
    for range in sorted {
        match joined.last_mut() {
            Some(last) if u32::from(range.first()) <= u32::from(last.last()) + 1 => {
                let end = last.last().max(range.last());
                *last = PortRange::new(last.first(), end).unwrap_or(*last);
            }
            _ => joined.push(range),
        }
    }
    joined
}

/// What is left of sorted, disjoint ranges without others of the same kind.
fn without(ranges: &[PortRange], taken: &[PortRange]) -> Vec<PortRange> {
    let mut left = Vec::new();
    for range in ranges {
        let mut first = range.first();
        let mut done = false;
        for hole in taken.iter().filter(|hole| hole.last() >= range.first() && hole.first() <= range.last()) {
            left.extend(hole.first().checked_sub(1).and_then(|end| PortRange::new(first, end)));
            match hole.last().checked_add(1) {
                Some(next) => first = next,
                None => done = true,
            }
        }
        if !done {
            left.extend(PortRange::new(first, range.last()));
        }
    }
    left
}

/// Cut the ports of rules for networks into ranges throughout which the same networks may come in.
fn split_by_networks<'a>(rules: impl Iterator<Item = &'a Rule>, out: &mut Vec<(PortRange, Vec<IpNet>)>) {
    // At each port: the networks that begin there, and the networks that end just before it.
    let mut edges: BTreeMap<u32, (Vec<IpNet>, Vec<IpNet>)> = BTreeMap::new();
    for rule in rules {
        if let Some(network) = rule.source {
            edges.entry(u32::from(rule.ports.first())).or_default().0.push(network);
            edges.entry(u32::from(rule.ports.last()) + 1).or_default().1.push(network);
        }
    }
    let mut active: BTreeSet<IpNet> = BTreeSet::new();
    let mut edges = edges.into_iter().peekable();
    while let Some((port, (begin, end))) = edges.next() {
        for network in end {
            active.remove(&network);
        }
        active.extend(begin);
        if let Some((next, _)) = edges.peek()
            && !active.is_empty()
            && let (Ok(first), Ok(last)) = (u16::try_from(port), u16::try_from(next - 1))
            && let Some(ports) = PortRange::new(first, last)
        {
            out.push((ports, active.iter().copied().collect()));
        }
    }
}

/// A policy as the kernel's maps hold it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiled {
    classes: Vec<u16>,
    /// Which network belongs to which class.
    pub networks: Vec<(u16, IpNet)>,
    /// All that is not about ports.
    pub settings: Settings,
}

/// How many ports a protocol has, 0 included.
const PORTS: usize = 65_536;

impl Default for Compiled {
    fn default() -> Self {
        Self {
            classes: vec![CLASS_CLOSED; PORTS * PortProtocol::ALL.len()],
            networks: Vec::new(),
            settings: Settings { protocols: [0; 4], forward: 0 },
        }
    }
}

impl Compiled {
    /// The classes of a protocol's ports, indexed by port.
    #[must_use]
    pub fn classes(&self, protocol: PortProtocol) -> &[u16] {
        &self.classes[protocol as usize * PORTS..][..PORTS]
    }

    /// The same, to be written.
    pub fn classes_mut(&mut self, protocol: PortProtocol) -> &mut [u16] {
        &mut self.classes[protocol as usize * PORTS..][..PORTS]
    }

    /// All classes, in the order in which the pages of one buffer hold them.
    #[must_use]
    pub fn all_classes(&self) -> &[u16] {
        &self.classes
    }

    /// The same, to be read into.
    pub fn all_classes_mut(&mut self) -> &mut [u16] {
        &mut self.classes
    }

    /// Put it back into rules. What [`Policy::compile`] made comes back as the same policy.
    #[must_use]
    pub fn decompile(&self) -> Policy {
        let mut lists: HashMap<u16, Vec<IpNet>> = HashMap::new();
        for &(class, network) in &self.networks {
            lists.entry(class).or_default().push(network);
        }
        let mut rules = Vec::new();
        for protocol in PortProtocol::ALL {
            let mut first = 0;
            for run in self.classes(protocol).chunk_by(|a, b| a == b) {
                let last = first + run.len() - 1;
                let class = run[0];
                // Port 0, which is never open, makes a run of its own or belongs to a closed one.
                if let Some(ports) = PortRange::new(first as u16, last as u16) {
                    let sources = match class {
                        CLASS_CLOSED => Vec::new(),
                        CLASS_OPEN => vec![None],
                        class => lists.get(&class).into_iter().flatten().copied().map(Some).collect(),
                    };
                    rules.extend(sources.into_iter().map(|source| Rule { protocol, ports, source }));
                }
                first = last + 1;
            }
        }
        let mut policy = Policy::new(rules);
        policy.protocols = (0..=u8::MAX).filter(|&protocol| self.settings.allows(protocol)).collect();
        policy.forward = if self.settings.forward == 0 { Forward::Drop } else { Forward::Pass };
        policy
    }
}
