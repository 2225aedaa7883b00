//! A policy as the kernel's maps hold it, and the conversion in both directions.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    string::String,
    vec,
    vec::Vec,
};

use ipnet::IpNet;
use thiserror::Error;

use crate::{
    abi::{BUFFERS, CLASS_CLOSED, CLASS_FORWARD, CLASS_LAN, CLASS_OPEN, MAX_SOURCES, Settings},
    entry::Entry,
    forward::{Forward, Networks},
    grammar::{PortRange, Rule},
    policy::Policy,
    protocol::PortProtocol,
    refuse::Refuse,
    subsets::Subsets,
    timeouts::Timeouts,
};

/// A policy does not fit into the kernel's maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DoesNotFit {
    /// Too many networks.
    #[error("the policy names {count} networks in total; {limit} is the most; use larger networks")]
    Networks {
        /// The number of networks: those of each list that some port has, those to route on to, and those on the link.
        count: usize,
        /// The most that fit.
        limit: usize,
    },
    /// Too many lists of networks.
    #[error(
        "the ports of the policy have {count} different lists of networks; {limit} is the most, because each needs a number of its own; \
         give more ports the same networks"
    )]
    Lists {
        /// The number of lists, each of which some port has.
        count: usize,
        /// The most that have a number.
        limit: usize,
    },
}

/// The most networks of a policy. Each buffer may hold as many.
pub const MOST_NETWORKS: usize = (MAX_SOURCES / BUFFERS) as usize;
/// The most lists of networks: the numbers between [`CLASS_CLOSED`] and [`CLASS_OPEN`].
pub const MOST_LISTS: usize = (CLASS_OPEN - CLASS_CLOSED - 1) as usize;

impl Policy {
    /// Convert the policy into the form of the kernel's maps.
    ///
    /// # Errors
    /// [`DoesNotFit`].
    pub fn compile(&self) -> Result<Compiled, DoesNotFit> {
        let mut compiled = Compiled::default();
        let sources = |protocol| self.ranges_of(protocol).filter_map(|(source, _)| source);
        let networks: Vec<IpNet> =
            PortProtocol::ALL.into_iter().flat_map(sources).collect::<BTreeSet<_>>().into_iter().collect();
        let mut active = Subsets::new(networks.len());
        let mut class_of: HashMap<u32, u16> = HashMap::new();
        let forward = self.forward.networks();
        let mut count = forward.len() + self.on_link.len();
        if count <= MOST_NETWORKS {
            compiled.networks.extend(forward.iter().map(|&network| (CLASS_FORWARD, network)));
        }
        for protocol in PortProtocol::ALL {
            // At each port: the networks that begin there or end just before it.
            let mut edges: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
            for (source, ranges) in self.ranges_of(protocol) {
                for ports in ranges.iter() {
                    match source.map(|network| networks.binary_search(&network)) {
                        Some(Ok(index)) => {
                            edges.entry(u32::from(ports.first())).or_default().push(index);
                            edges.entry(u32::from(ports.last()) + 1).or_default().push(index);
                        }
                        _ => compiled.fill(protocol, ports, CLASS_OPEN),
                    }
                }
            }
            let mut edges = edges.into_iter().peekable();
            while let Some((port, changes)) = edges.next() {
                active.toggle(changes);
                let next = edges.peek().map_or(port, |(next, _)| *next);
                let ports = u16::try_from(port).ok().zip(u16::try_from(next - 1).ok());
                let Some(ports) = ports.and_then(|(first, last)| PortRange::new(first, last)) else { continue };
                if active.is_empty() {
                    continue;
                }
                let number = class_of.len() + 1;
                let class = *class_of.entry(active.id()).or_insert_with(|| {
                    count = count.saturating_add(active.len());
                    // A number that is too large is in no policy: this fails at the end, with the count of all lists.
                    let class = number.min(MOST_LISTS) as u16;
                    if count <= MOST_NETWORKS {
                        compiled.networks.extend(active.iter().map(|index| (class, networks[index])));
                    }
                    class
                });
                compiled.fill(protocol, ports, class);
            }
        }
        if count > MOST_NETWORKS {
            return Err(DoesNotFit::Networks { count, limit: MOST_NETWORKS });
        }
        if class_of.len() > MOST_LISTS {
            return Err(DoesNotFit::Lists { count: class_of.len(), limit: MOST_LISTS });
        }
        compiled.networks.extend(self.on_link.iter().map(|&network| (CLASS_LAN, network)));
        for &protocol in &self.protocols {
            compiled.settings.protocols[usize::from(protocol / 64)] |= 1 << (protocol % 64);
        }
        compiled.settings.forward = u64::from(self.forward == Forward::Pass);
        compiled.settings.refuse = u32::from(self.refuse == Refuse::Lan);
        compiled.settings.lan = u32::from(self.needs_lan());
        compiled.settings.timeouts = self.timeouts;
        Ok(compiled)
    }
}

/// A policy as the kernel's maps hold it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiled {
    classes: Vec<u16>,
    /// Each class with one of its networks, ordered by class. Packets may be routed on to the networks of [`CLASS_FORWARD`]; those of
    /// [`CLASS_LAN`] are on the link.
    pub networks: Vec<(u16, IpNet)>,
    /// The settings that are not about ports.
    pub settings: Settings,
}

/// The number of ports of a protocol, including 0.
const PORTS: usize = 65_536;

impl Default for Compiled {
    fn default() -> Self {
        Self {
            classes: vec![CLASS_CLOSED; PORTS * PortProtocol::ALL.len()],
            networks: Vec::new(),
            settings: Settings { protocols: [0; 4], forward: 0, refuse: 0, lan: 0, timeouts: Timeouts::DEFAULT },
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

    fn fill(&mut self, protocol: PortProtocol, ports: PortRange, class: u16) {
        self.classes_mut(protocol)[usize::from(ports.first())..=usize::from(ports.last())].fill(class);
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

    /// The policy of these entries, if it compiles to exactly this.
    #[must_use]
    pub fn typed(&self, entries: impl IntoIterator<Item = (Entry, Option<String>)>) -> Option<Policy> {
        let policy = self.with_settings(Policy::of(entries));
        policy.compile().is_ok_and(|compiled| compiled == *self).then_some(policy)
    }

    /// Convert it back into a policy that lets the same in: the inverse of [`Policy::compile`], except that nobody knows how it was typed.
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
                // Port 0, which is never open, is a run of its own or part of a closed one.
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
        let typed = Policy::new(rules).rules();
        let policy = Policy::of(Entry::of(&typed).into_iter().map(|entry| (entry, None)));
        self.with_settings(policy)
    }

    /// The same policy with everything that is not about ports.
    fn with_settings(&self, mut policy: Policy) -> Policy {
        policy.protocols = (0..=u8::MAX).filter(|&protocol| self.settings.allows(protocol)).collect();
        let networks = Networks::new(self.list(CLASS_FORWARD)).map_or(Forward::Drop, Forward::To);
        policy.forward = if self.settings.forward == 0 { networks } else { Forward::Pass };
        policy.refuse = if self.settings.refuse == 0 { Refuse::Nobody } else { Refuse::Lan };
        policy.on_link = self.list(CLASS_LAN).collect();
        policy.timeouts = self.settings.timeouts;
        policy
    }

    /// The networks of a class.
    fn list(&self, class: u16) -> impl Iterator<Item = IpNet> {
        self.networks.iter().filter(move |(of, _)| *of == class).map(|&(_, network)| network)
    }
}
