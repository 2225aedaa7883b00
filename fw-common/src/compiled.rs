//! A policy as the kernel's maps hold it, and the conversion in both directions.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    vec,
    vec::Vec,
};

use ipnet::IpNet;
use thiserror::Error;

use crate::{
    abi::{Admission, BUFFERS, CLASS_CLOSED, CLASS_FORWARD, CLASS_LAN, CLASS_OPEN, MAX_MACS, MAX_SOURCES, Settings},
    actions::{Action, EVERYONE, admissions},
    bans::FOR_EVER,
    entry::Entry,
    forward::{Forward, Networks},
    grammar::{PortRange, Rule},
    policy::Policy,
    protocol::PortProtocol,
    rate::Rate,
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
        let by_protocol = PortProtocol::ALL.map(|protocol| self.grants_of(protocol));
        let grants: Vec<Grant> = {
            let all = by_protocol.iter().flatten().map(|(grant, _)| *grant);
            all.filter(|grant| *grant != (None, None)).collect::<BTreeSet<_>>().into_iter().collect()
        };
        // Everyone comes last.
        let everyone = grants.len();
        let mut active = Subsets::new(grants.len() + 1);
        let mut class_of: HashMap<u32, u16> = HashMap::new();
        let forward = self.forward.networks();
        let (mut count, mut lists) = (forward.len() + self.on_link.len(), 0_usize);
        if count <= MOST_NETWORKS {
            compiled.networks.extend(forward.iter().map(|&network| (CLASS_FORWARD, network, Admission::OPEN)));
        }
        for (protocol, granted) in PortProtocol::ALL.into_iter().zip(by_protocol) {
            // At each port: the grants that begin there or end just before it.
            let mut edges: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
            for (grant, ranges) in granted {
                for ports in ranges.iter() {
                    let index = grants.binary_search(&grant).unwrap_or(everyone);
                    edges.entry(u32::from(ports.first())).or_default().push(index);
                    edges.entry(u32::from(ports.last()) + 1).or_default().push(index);
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
                let class = *class_of.entry(active.id()).or_insert_with(|| {
                    let rules = || active.iter().map(|index| grants.get(index).copied().unwrap_or((None, None)));
                    let has_actions = rules().any(|(_, action)| action.is_some());
                    // The largest number is everyone's.
                    if active.contains(everyone) && !has_actions {
                        return CLASS_OPEN;
                    }
                    if !has_actions {
                        // Each is a network, and open for ever.
                        count = count.saturating_add(active.len());
                    }
                    let mut list: Vec<(IpNet, Admission)> = Vec::new();
                    if has_actions {
                        list.extend(admissions(rules()));
                        if list.is_empty() {
                            return CLASS_CLOSED;
                        }
                        count = count.saturating_add(list.len());
                    } else if count <= MOST_NETWORKS {
                        list.extend(rules().filter_map(|(source, _)| Some((source?, Admission::OPEN))));
                    }
                    lists += 1;
                    // A number that is too large is in no policy: this fails at the end, with the count of all lists.
                    let class = lists.min(MOST_LISTS) as u16;
                    if count <= MOST_NETWORKS {
                        compiled
                            .networks
                            .extend(list.into_iter().map(|(network, admission)| (class, network, admission)));
                    }
                    class
                });
                compiled.fill(protocol, ports, class);
            }
        }
        if count > MOST_NETWORKS {
            return Err(DoesNotFit::Networks { count, limit: MOST_NETWORKS });
        }
        if lists > MOST_LISTS {
            return Err(DoesNotFit::Lists { count: lists, limit: MOST_LISTS });
        }
        compiled.networks.extend(self.on_link.iter().map(|&network| (CLASS_LAN, network, Admission::OPEN)));
        for &protocol in &self.protocols {
            compiled.settings.protocols[usize::from(protocol / 64)] |= 1 << (protocol % 64);
        }
        compiled.settings.forward = u64::from(self.forward == Forward::Pass);
        compiled.settings.refuse = u32::from(self.refuse == Refuse::Lan);
        compiled.settings.lan = u32::from(self.needs_lan());
        compiled.settings.ping = self.ping.unwrap_or(Rate::NONE);
        compiled.settings.macs = self.macs;
        compiled.settings.timeouts = self.timeouts;
        Ok(compiled)
    }
}

/// Whom a rule is for (`None` for everyone), and its action (`None` where it opens its ports for ever).
pub(crate) type Grant = (Option<IpNet>, Option<Action>);

/// A policy as the kernel's maps hold it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiled {
    classes: Vec<u16>,
    /// Each class with one of its networks and how that is let in, ordered by class. Packets may be routed on to the networks of [`CLASS_FORWARD`];
    /// those of [`CLASS_LAN`] are on the link.
    pub networks: Vec<(u16, IpNet, Admission)>,
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
            settings: Settings {
                protocols: [0; 4],
                forward: 0,
                refuse: 0,
                lan: 0,
                ping: Rate::NONE,
                macs: [0; MAX_MACS],
                timeouts: Timeouts::DEFAULT,
            },
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

    /// The policy of these rules, if it compiles to exactly this.
    #[must_use]
    pub fn typed(&self, typed: Policy) -> Option<Policy> {
        let policy = self.with_settings(typed);
        policy.compile().is_ok_and(|compiled| compiled == *self).then_some(policy)
    }

    /// Whether the policy has limits.
    #[must_use]
    pub fn has_limits(&self) -> bool {
        self.settings.ping != Rate::NONE || self.networks.iter().any(|(.., admission)| admission.then != Rate::NONE)
    }

    /// Convert it back into a policy that lets the same in: the inverse of [`Policy::compile`], except that nobody knows how it was typed. Where a
    /// network has a limit that begins later, it begins now.
    #[must_use]
    pub fn decompile(&self) -> Policy {
        let mut lists: HashMap<u16, Vec<Grant>> = HashMap::new();
        for by_class in self.networks.chunk_by(|one, other| one.0 == other.0) {
            let networks = by_class.iter().map(|&(_, network, admission)| (network, admission));
            match by_class[0].0 {
                CLASS_FORWARD | CLASS_LAN => {}
                class => {
                    lists.insert(class, grants(networks));
                }
            }
        }
        let mut rules = Vec::new();
        let mut acting = Vec::new();
        for protocol in PortProtocol::ALL {
            let mut first = 0;
            for run in self.classes(protocol).chunk_by(|a, b| a == b) {
                let last = first + run.len() - 1;
                let class = run[0];
                // Port 0, which is never open, is a run of its own or part of a closed one.
                if let Some(ports) = PortRange::new(first as u16, last as u16) {
                    let granted: &[Grant] = match class {
                        CLASS_CLOSED => &[],
                        CLASS_OPEN => &[(None, None)],
                        class => lists.get(&class).map_or(&[], Vec::as_slice),
                    };
                    for &(source, action) in granted {
                        let rule = Rule { protocol, ports, source };
                        match action {
                            None => rules.push(rule),
                            Some(action) => acting.push((rule.into(), action)),
                        }
                    }
                }
                first = last + 1;
            }
        }
        let typed = Policy::new(rules).rules();
        let mut policy = Policy::of(Entry::of(&typed).into_iter().map(|entry| (entry, None)));
        for (entry, action) in acting {
            policy.act(entry, action, None);
        }
        self.with_settings(policy)
    }

    /// The same policy with everything that is not about ports.
    fn with_settings(&self, mut policy: Policy) -> Policy {
        policy.protocols = (0..=u8::MAX).filter(|&protocol| self.settings.allows(protocol)).collect();
        let networks = Networks::new(self.list(CLASS_FORWARD)).map_or(Forward::Drop, Forward::To);
        policy.forward = if self.settings.forward == 0 { networks } else { Forward::Pass };
        policy.refuse = if self.settings.refuse == 0 { Refuse::Nobody } else { Refuse::Lan };
        policy.on_link = self.list(CLASS_LAN).collect();
        policy.ping = Some(self.settings.ping).filter(|rate| *rate != Rate::NONE);
        policy.macs = self.settings.macs;
        policy.timeouts = self.settings.timeouts;
        policy
    }

    /// The networks of a class.
    fn list(&self, class: u16) -> impl Iterator<Item = IpNet> {
        self.networks.iter().filter(move |(of, ..)| *of == class).map(|&(_, network, _)| network)
    }
}

/// The grants that lead to these admissions.
fn grants(networks: impl Iterator<Item = (IpNet, Admission)>) -> Vec<Grant> {
    let grant = |(network, Admission { open_until, then }): (IpNet, Admission)| {
        let action = match (open_until, then) {
            (FOR_EVER, _) => None,
            (0, Rate::NONE) => Some(Action::Refuse),
            (end, Rate::NONE) => Some(Action::Until(end)),
            (_, rate) => Some(Action::Limit(rate)),
        };
        (Some(network), action)
    };
    let mut grants: Vec<Grant> = networks.map(grant).collect();
    // Only with actions everyone is in a list.
    let has_actions = grants.iter().any(|(_, action)| action.is_some());
    let of_everyone = |grants: &[Grant]| {
        let [v4, v6] = EVERYONE.map(|network| grants.iter().find(|(source, _)| *source == Some(network)).copied());
        v4.zip(v6).filter(|(v4, v6)| v4.1 == v6.1).map(|((_, action), _)| action)
    };
    if let Some(action) = of_everyone(&grants).filter(|_| has_actions) {
        grants.retain(|(source, _)| !EVERYONE.map(Some).contains(source));
        grants.push((None, action));
    }
    grants
}
