//! A policy that is about to be put in force.

use std::net::IpAddr;

use fw_common::{PortProtocol, policy::Policy};

/// A policy that is about to be put in force.
#[derive(Clone, Debug)]
pub(crate) struct PolicyChange {
    /// The interface, by name.
    pub interface: String,
    /// What may come in so far; everything without.
    pub before: Option<Policy>,
    /// What may come in then.
    pub after: Policy,
    /// Whether anything else is dropped then, and not only counted.
    pub drops: bool,
}

impl PolicyChange {
    /// Whether an address can no longer reach a port.
    pub(crate) fn closes(&self, protocol: PortProtocol, port: u16, peer: IpAddr) -> bool {
        !self.after.is_open_to(protocol, port, peer)
            && self.before.as_ref().is_none_or(|before| before.is_open_to(protocol, port, peer))
    }

    /// Whether nobody can reach a port any more.
    pub(crate) fn closes_to_all(&self, protocol: PortProtocol, port: u16) -> bool {
        !self.after.is_open_to_some(protocol, port)
            && self.before.as_ref().is_none_or(|before| before.is_open_to_some(protocol, port))
    }
}
