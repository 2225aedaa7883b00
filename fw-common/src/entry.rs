//! Rules as people type them: a port without a protocol stays one entry.

use core::{fmt, str::FromStr};
use std::{collections::BTreeSet, vec::Vec};

use crate::{
    grammar::{ALL, Fault, PortRange, Rule, SpecError, parse},
    protocol::PortProtocol,
    source::Source,
};

/// The protocols of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocols {
    /// TCP and UDP: a port without a protocol.
    TcpAndUdp,
    /// One protocol.
    One(PortProtocol),
    /// Every protocol with ports, and every port of them.
    Every,
}

impl Protocols {
    /// The protocols in their order.
    pub fn iter(self) -> impl Iterator<Item = PortProtocol> {
        PortProtocol::ALL.into_iter().filter(move |&protocol| match self {
            Self::TcpAndUdp => matches!(protocol, PortProtocol::Tcp | PortProtocol::Udp),
            Self::One(one) => one == protocol,
            Self::Every => true,
        })
    }
}

/// An entry of an allow list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Entry {
    /// The ports.
    pub ports: PortRange,
    /// The protocols.
    pub protocols: Protocols,
    /// Who may come in.
    pub source: Source,
}

impl Entry {
    /// The rules that it means, one for each protocol.
    pub fn rules(&self) -> impl Iterator<Item = Rule> {
        let Self { ports, source, protocols } = *self;
        protocols.iter().map(move |protocol| Rule { protocol, ports, source })
    }

    /// The entries that mean these rules, in order.
    #[must_use]
    pub fn of(rules: &[Rule]) -> Vec<Self> {
        let all: BTreeSet<Rule> = rules.iter().copied().collect();
        let has_other = |rule: &Rule, protocol| all.contains(&Rule { protocol, ..*rule });
        let is_of_every = |rule: &Rule| {
            rule.ports == PortRange::ALL
                && !rule.source.is_everyone()
                && PortProtocol::ALL.into_iter().all(|protocol| has_other(rule, protocol))
        };
        let mut entries: Vec<Self> = all
            .iter()
            .filter_map(|rule| match rule.protocol {
                PortProtocol::Tcp if is_of_every(rule) => Some(Self { protocols: Protocols::Every, ..(*rule).into() }),
                _ if is_of_every(rule) => None,
                PortProtocol::Tcp if has_other(rule, PortProtocol::Udp) => {
                    Some(Self { protocols: Protocols::TcpAndUdp, ..(*rule).into() })
                }
                PortProtocol::Udp if has_other(rule, PortProtocol::Tcp) => None,
                _ => Some((*rule).into()),
            })
            .collect();
        entries.sort_unstable();
        entries
    }

    /// Whether both have a port of a protocol in common, for the same network.
    pub(crate) fn meets(&self, other: &Self) -> bool {
        self.source == other.source
            && self.ports.first() <= other.ports.last()
            && other.ports.first() <= self.ports.last()
            && self.protocols.iter().any(|one| other.protocols.iter().any(|other| one == other))
    }

    /// The rest of it without the ports of another entry that it [meets](Self::meets).
    pub(crate) fn without(&self, other: &Self) -> Vec<Self> {
        let is_taken = |protocol| other.protocols.iter().any(|of| of == protocol);
        let mut left = Vec::new();
        let taken = if self.protocols.iter().all(is_taken) {
            std::vec![self.protocols]
        } else {
            let (taken, kept): (Vec<_>, Vec<_>) = self.protocols.iter().partition(|&protocol| is_taken(protocol));
            left.extend(kept.into_iter().map(|protocol| Self { protocols: Protocols::One(protocol), ..*self }));
            match taken.as_slice() {
                [PortProtocol::Tcp, PortProtocol::Udp] => std::vec![Protocols::TcpAndUdp],
                _ => taken.into_iter().map(Protocols::One).collect(),
            }
        };
        let rest = self.ports.without(other.ports);
        left.extend(taken.into_iter().flat_map(|protocols| {
            rest.into_iter().flatten().map(move |ports| Self { ports, protocols, source: self.source })
        }));
        left
    }
}

impl From<Rule> for Entry {
    fn from(Rule { protocol, ports, source }: Rule) -> Self {
        Self { ports, protocols: Protocols::One(protocol), source }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.protocols {
            Protocols::TcpAndUdp => write!(f, "{}", self.ports)?,
            Protocols::One(protocol) => write!(f, "{}/{protocol}", self.ports)?,
            Protocols::Every => f.write_str(ALL)?,
        }
        self.source.fmt(f)
    }
}

impl FromStr for Entry {
    type Err = SpecError;

    /// Read what [`Display`](fmt::Display) writes.
    fn from_str(text: &str) -> Result<Self, SpecError> {
        match Self::of(&parse(text, |_| Vec::new())?).as_slice() {
            [entry] => Ok(*entry),
            _ => Err(SpecError::new(text, Fault::Empty)),
        }
    }
}
