//! A policy before it is put in force.

use std::net::IpAddr;

use fw_common::{PortProtocol, policy::Policy};

/// A policy before it is put in force.
#[derive(Clone, Debug)]
pub(crate) struct PolicyChange {
    /// The interface, by name.
    pub interface: String,
    /// The current policy; `None` without a filter, when everything passes.
    pub before: Option<Policy>,
    /// The new policy.
    pub after: Policy,
    /// Whether the new policy drops packets, rather than only counts them.
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
