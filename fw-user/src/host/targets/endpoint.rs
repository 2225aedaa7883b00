//! Who receives packets at a port of this host, and where.

use fw_common::PortProtocol;
use std::fmt;
use std::net::IpAddr;
use std::net::SocketAddr;

use crate::host::processes::Process;

/// Who takes what comes in at a port.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "docker"), expect(dead_code, reason = "only Docker knows containers"))]
pub(crate) enum Target {
    /// A process that listens.
    Process(Process),
    /// A container, at a port that Docker publishes.
    Container(Container),
    /// Something listens, and no process that this one may look at has its socket: the kernel itself, as `WireGuard` and NFS do it, or
    /// without privileges somebody else's process.
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

/// A container, as far as one of its published ports is concerned.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Container {
    /// Its name.
    pub name: String,
    /// The image that it was made of, by name; by the first digits of its ID where it has none any more.
    pub image: String,
    /// Where Docker forwards to: its address, unless it has none on a network of Docker's.
    pub forward_address: Option<IpAddr>,
    /// The port inside.
    pub forward_port: u16,
}

/// Where somebody takes what comes in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// The transport.
    pub protocol: PortProtocol,
    /// The address and port of this host; an unspecified address stands for all of its family, `::` for all of IPv4 as well.
    pub local: SocketAddr,
    /// Whether `::` leaves IPv4 out.
    pub only_ipv6: bool,
    /// The index of the only interface that it is reached through; 0 where that is any.
    pub device: u32,
    /// Who it is.
    pub target: Target,
}

impl Endpoint {
    /// Whether what comes to an address of this host comes here.
    #[must_use]
    pub(crate) fn serves(&self, address: IpAddr) -> bool {
        match self.local.ip() {
            IpAddr::V4(own) if own.is_unspecified() => address.is_ipv4(),
            IpAddr::V6(own) if own.is_unspecified() => address.is_ipv6() || !self.only_ipv6,
            own => own == address,
        }
    }

    /// Whether only this host itself gets here.
    #[must_use]
    pub(crate) fn is_local_only(&self) -> bool {
        self.local.ip().is_loopback()
    }
}
