//! Whom a rule is for.

use core::fmt;
use std::{collections::BTreeSet, net::IpAddr, vec::Vec};

use ipnet::IpNet;

/// Whom a rule is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Source {
    /// Every sender.
    #[default]
    Everyone,
    /// The senders on the interface's own link, as the policy's [list](crate::policy::Policy::on_link) has them.
    Lan,
    /// The senders in a network.
    Network(IpNet),
}

/// The word for the senders on the link.
pub(crate) const LAN: &str = "lan";

impl Source {
    /// The network, if it is one.
    #[must_use]
    pub const fn network(self) -> Option<IpNet> {
        match self {
            Self::Network(network) => Some(network),
            Self::Everyone | Self::Lan => None,
        }
    }

    /// Whether it is every sender.
    #[must_use]
    pub const fn is_everyone(self) -> bool {
        matches!(self, Self::Everyone)
    }

    /// Whether a sender is meant. These networks are on the link.
    #[must_use]
    pub fn has(self, sender: IpAddr, on_link: &BTreeSet<IpNet>) -> bool {
        match self {
            Self::Everyone => true,
            Self::Lan => on_link.iter().any(|network| network.contains(&sender)),
            Self::Network(network) => network.contains(&sender),
        }
    }

    /// The networks that are meant; none for everyone. These are on the link.
    #[must_use]
    pub fn networks(self, on_link: &BTreeSet<IpNet>) -> Vec<IpNet> {
        match self {
            Self::Everyone => Vec::new(),
            Self::Lan => on_link.iter().copied().collect(),
            Self::Network(network) => std::vec![network],
        }
    }

    /// Whether all senders of another one are meant.
    #[must_use]
    pub(crate) fn contains(self, other: Self) -> bool {
        match (self, other) {
            (Self::Everyone, _) | (Self::Lan, Self::Lan) => true,
            (Self::Network(outer), Self::Network(inner)) => outer.contains(&inner),
            _ => false,
        }
    }
}

impl fmt::Display for Source {
    /// What stands behind a port.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everyone => Ok(()),
            Self::Lan => write!(f, "@{LAN}"),
            Self::Network(IpNet::V4(net)) => write!(f, "@{net}"),
            Self::Network(IpNet::V6(net)) => write!(f, "@[{}]/{}", net.addr(), net.prefix_len()),
        }
    }
}
