//! A connection, in the direction of its replies.

use fw_common::PortProtocol;
use std::net::SocketAddr;

/// An outbound connection, in the direction of its replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Connection {
    /// The transport.
    pub protocol: PortProtocol,
    /// The sender of the replies.
    pub remote: SocketAddr,
    /// The destination of the replies on the wire, after masquerading.
    pub local: SocketAddr,
}
