//! A connection, as its answers have it.

use fw_common::PortProtocol;
use std::net::SocketAddr;

/// Something that was opened from here, as its answers have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Connection {
    /// The transport.
    pub protocol: PortProtocol,
    /// Who answers.
    pub remote: SocketAddr,
    /// Where the answers come to, as the wire has it: after masquerading.
    pub local: SocketAddr,
}
