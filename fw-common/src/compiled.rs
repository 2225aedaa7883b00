//! A policy as the kernel's maps hold it, and the conversion in both directions.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    vec,
    vec::Vec,
};

use ipnet::IpNet;
use thiserror::Error;

use crate::{
    abi::{
        BUFFERS, CLASS_BY_LINK, CLASS_CLOSED, CLASS_FORWARD, CLASS_LAN, CLASS_OPEN, MAX_MACS, MAX_SOURCES, ON_LINK,
        Settings, is_by_link,
    },
    actions::{Action, EVERYONE, Grant, admissions},
    admission::Admission,
    bans::FOR_EVER,
    forward::{Forward, Networks},
    grammar::{PortRange, Rule},
    policy::Policy,
    protocol::PortProtocol,
    rate::Rate,
    refuse::Refuse,
    source::Source,
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
/// The most lists of networks, without the ports that know who is on the link: the numbers between [`CLASS_CLOSED`] and [`CLASS_BY_LINK`].
pub const MOST_LISTS: usize = (CLASS_BY_LINK - CLASS_CLOSED - 1) as usize;
/// The most pairs of lists for the ports that do. The last number would be [`CLASS_OPEN`].
pub const MOST_PAIRS: usize = ON_LINK as usize - 1;

/// Lists of networks while they get their numbers.
#[derive(Default)]
struct Lists {
    /// Of ports that do not ask who is on the link.
    plain: usize,
    /// Of ports that do, which have two.
    pairs: usize,
    /// Networks of all lists, also of those that are left out because they are too many.
    count: usize,
    networks: Vec<(u16, IpNet, Admission)>,
}

impl Lists {
    /// The class of ports with these grants, so many.
    fn class<I: Iterator<Item = Grant>>(&mut self, len: usize, grants: impl Fn() -> I) -> u16 {
        // The policy does not fit any more. It is only counted, since overlapping lists have millions of networks.
        if self.count > MOST_NETWORKS {
            self.count = self.count.saturating_add(len);
            return CLASS_CLOSED;
        }
        let has_actions = grants().any(|(_, action)| action.is_some());
        if !has_actions && grants().any(|(source, _)| source.is_everyone()) {
            CLASS_OPEN
        } else if grants().any(|(source, _)| source == Source::Lan) {
            let [off, on] = [false, true].map(|is_on_link| admissions(grants(), is_on_link));
            if off.is_empty() && on.is_empty() {
                return CLASS_CLOSED;
            }
            self.pairs += 1;
            // A number that is too large is in no policy: this fails at the end, with the count of all lists.
            let class = CLASS_BY_LINK + self.pairs.min(MOST_PAIRS) as u16 - 1;
            self.add(class, off);
            self.add(class | ON_LINK, on);
            class
        } else if has_actions {
            let list = admissions(grants(), false);
            if list.is_empty() { CLASS_CLOSED } else { self.add_plain(list) }
        } else {
            self.add_plain(grants().filter_map(|(source, _)| Some((source.network()?, Admission::OPEN))))
        }
    }

    fn add_plain(&mut self, list: impl IntoIterator<Item = (IpNet, Admission)>) -> u16 {
        self.plain += 1;
        let class = self.plain.min(MOST_LISTS) as u16;
        self.add(class, list);
        class
    }

    fn add(&mut self, class: u16, list: impl IntoIterator<Item = (IpNet, Admission)>) {
        for (network, admission) in list {
            self.count += 1;
            if self.count <= MOST_NETWORKS {
                self.networks.push((class, network, admission));
            }
        }
    }
}

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
            all.filter(|grant| *grant != OPEN_TO_ALL).collect::<BTreeSet<_>>().into_iter().collect()
        };
        // Everyone comes last.
        let everyone = grants.len();
        let mut active = Subsets::new(grants.len() + 1);
        let mut class_of: HashMap<u32, u16> = HashMap::new();
        let forward = self.forward.networks();
        let mut lists = Lists::default();
        lists.add(CLASS_FORWARD, forward.iter().map(|&network| (network, Admission::OPEN)));
        lists.add(CLASS_LAN, self.on_link.iter().map(|&network| (network, Admission::OPEN)));
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
                    lists.class(active.len(), || {
                        active.iter().map(|index| grants.get(index).copied().unwrap_or(OPEN_TO_ALL))
                    })
                });
                compiled.fill(protocol, ports, class);
            }
        }
        let Lists { plain, pairs, count, mut networks } = lists;
        if count > MOST_NETWORKS {
            return Err(DoesNotFit::Networks { count, limit: MOST_NETWORKS });
        }
        for (count, limit) in [(plain, MOST_LISTS), (pairs, MOST_PAIRS)] {
            if count > limit {
                return Err(DoesNotFit::Lists { count, limit });
            }
        }
        networks.sort_unstable();
        compiled.networks = networks;
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

/// Open to everyone for ever.
const OPEN_TO_ALL: Grant = (Source::Everyone, None);

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
        let mut lists: HashMap<u16, Vec<(IpNet, Admission)>> = HashMap::new();
        for by_class in self.networks.chunk_by(|one, other| one.0 == other.0) {
            let networks = by_class.iter().map(|&(_, network, admission)| (network, admission));
            lists.insert(by_class[0].0, networks.collect());
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
                    let list = |class| lists.get(&class).map_or(&[][..], Vec::as_slice);
                    let granted = match class {
                        CLASS_CLOSED => Vec::new(),
                        CLASS_OPEN => vec![OPEN_TO_ALL],
                        class if is_by_link(class) => grants_by_link(list(class), list(class | ON_LINK)),
                        class => grants(list(class)),
                    };
                    for (source, action) in granted {
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
        let mut policy = Policy::untyped(rules);
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
fn grants(list: &[(IpNet, Admission)]) -> Vec<Grant> {
    let mut grants: Vec<Grant> =
        list.iter().map(|&(network, admission)| (Source::Network(network), action(admission))).collect();
    // Only with actions everyone is in a list.
    if let Some(admission) = of_everyone(list).filter(|_| grants.iter().any(|(_, action)| action.is_some())) {
        grants.retain(|(source, _)| !EVERYONE.map(Source::Network).contains(source));
        grants.push((Source::Everyone, action(admission)));
    }
    grants
}

/// The grants that lead to these admissions of senders off and on the link.
fn grants_by_link(off: &[(IpNet, Admission)], on: &[(IpNet, Admission)]) -> Vec<Grant> {
    let [everyone, lan] = [off, on].map(of_everyone);
    let mut grants: Vec<Grant> = everyone.map(|admission| (Source::Everyone, action(admission))).into_iter().collect();
    let is_named = |(network, _): &&(IpNet, Admission)| !EVERYONE.contains(network);
    // What is closed to a network is in the one list only where the other rules of that list open the port.
    let named: BTreeMap<IpNet, Admission> = on.iter().chain(off).filter(is_named).copied().collect();
    grants.extend(named.into_iter().map(|(network, admission)| (Source::Network(network), action(admission))));
    if lan != everyone {
        grants.push((Source::Lan, action(lan.unwrap_or(Admission::CLOSED))));
    }
    grants
}

/// The admission of both families, if they have the same.
fn of_everyone(list: &[(IpNet, Admission)]) -> Option<Admission> {
    let [v4, v6] = EVERYONE.map(|network| list.iter().find(|(of, _)| *of == network).map(|&(_, admission)| admission));
    v4.filter(|_| v4 == v6)
}

/// The action that leads to an admission.
fn action(Admission { open_until, then }: Admission) -> Option<Action> {
    match (open_until, then) {
        (FOR_EVER, _) => None,
        (0, Rate::NONE) => Some(Action::Deny),
        (end, Rate::NONE) => Some(Action::Until(end)),
        (_, rate) => Some(Action::Limit(rate)),
    }
}
