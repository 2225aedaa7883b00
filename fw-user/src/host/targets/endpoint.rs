//! The receivers of packets at ports of this host.

use fw_common::PortProtocol;
use std::fmt;
use std::net::IpAddr;
use std::net::SocketAddr;

use crate::host::processes::Process;

/// The receiver at a port.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "docker"), expect(dead_code, reason = "only Docker knows containers"))]
pub(crate) enum Target {
    /// A process that listens.
    Process(Process),
    /// A container, at a port that Docker publishes.
    Container(Container),
    /// No readable process has the listening socket: it belongs to the kernel itself (`WireGuard`, NFS) or, without privileges, to another user's
    /// process.
    Unseen,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process(process) => f.write_str(&process.name),
            Self::Container(container) => write!(f, "container {}", container.name),
            Self::Unseen => f.write_str("unknown"),
        }
    }
}

/// A container with one of its published ports.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Container {
    /// Its name.
    pub name: String,
    /// The name of its image, or the first digits of the image's ID if it has no name any more.
    pub image: String,
    /// Its address that Docker forwards to, if it has one on a network of Docker.
    pub forward_address: Option<IpAddr>,
    /// The port inside.
    pub forward_port: u16,
}

/// An address and port with a receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// The transport.
    pub protocol: PortProtocol,
    /// The address and port of this host. An unspecified address means all addresses of its family; `::` includes IPv4.
    pub local: SocketAddr,
    /// Whether `::` excludes IPv4.
    pub only_ipv6: bool,
    /// The index of the only interface that it is reached through; 0 for any.
    pub device: u32,
    /// The receiver.
    pub target: Target,
}

impl Endpoint {
    /// Whether packets to an address of this host arrive here.
    #[must_use]
    pub(crate) fn serves(&self, address: IpAddr) -> bool {
        match self.local.ip() {
            IpAddr::V4(own) if own.is_unspecified() => address.is_ipv4(),
            IpAddr::V6(own) if own.is_unspecified() => address.is_ipv6() || !self.only_ipv6,
            own => own == address,
        }
    }

    /// Whether only this host itself reaches it.
    #[must_use]
    pub(crate) fn is_local_only(&self) -> bool {
        self.local.ip().is_loopback()
    }
}
