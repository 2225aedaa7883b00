//! Who a packet would have met, had it come through: the process that listens, or the container that Docker publishes at that port.

#[cfg(feature = "docker")]
pub(crate) mod answer;
#[cfg(feature = "docker")]
pub(crate) mod docker;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    env, fmt,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

use fw_common::PortProtocol;

use crate::{
    error::Result,
    host::{
        connections::{Activity, OpenSocket, Sockets},
        processes::{self, Process},
    },
};

/// Where Docker listens, unless `DOCKER_HOST` says otherwise.
const DOCKER_SOCKET: &str = "/var/run/docker.sock";

/// Docker's socket: the one of `DOCKER_HOST` where that is a `unix://` address, else the usual one. A Docker on another machine publishes
/// nothing on this one.
#[must_use]
pub(crate) fn docker_socket() -> PathBuf {
    let named = env::var("DOCKER_HOST").ok();
    named.as_deref().and_then(|host| host.strip_prefix("unix://")).unwrap_or(DOCKER_SOCKET).into()
}

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

/// How it went with Docker.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "docker"), expect(dead_code, reason = "this build does not ask Docker"))]
pub(crate) enum Docker {
    /// There is no socket of it.
    Absent,
    /// It said what it publishes.
    Read,
    /// Its socket is there, and it could not be read.
    Unreadable {
        /// The socket.
        socket: PathBuf,
        /// Why, and what to do.
        why: String,
    },
    /// This program was built without the feature `docker`.
    #[cfg(not(feature = "docker"))]
    NotBuilt,
}

/// Everybody who takes what comes in.
#[derive(Clone, Debug)]
pub(crate) struct Targets {
    endpoints: Vec<Endpoint>,
    docker: Docker,
    unlisted: Vec<PortProtocol>,
}

impl Targets {
    /// Ask the kernel, `/proc`, and Docker at this socket, which has two seconds. Without Docker there are processes alone.
    pub(crate) async fn read(docker_socket: &Path) -> Result<Self> {
        let (published, docker) = published(docker_socket).await;
        let sockets = Sockets::ask(&PortProtocol::ALL)?;
        let listening: Vec<OpenSocket> = sockets.open.into_iter().filter(takes_what_comes).collect();
        let holders = processes::holders(listening.iter().map(|socket| socket.inode).collect());
        Ok(Self { endpoints: joined(published, &listening, &holders), docker, unlisted: sockets.unlisted })
    }

    /// Who a packet to an address and port would meet: also one that was sent straight to a container.
    #[must_use]
    pub(crate) fn of_address(&self, protocol: PortProtocol, destination: SocketAddr) -> Option<&Target> {
        let (address, port) = (destination.ip(), destination.port());
        let is_forwarded = |endpoint: &&Endpoint| match &endpoint.target {
            Target::Container(inside) => (inside.forward_address, inside.forward_port) == (Some(address), port),
            _ => false,
        };
        let inside = self.endpoints.iter().filter(|endpoint| endpoint.protocol == protocol).find(is_forwarded);
        let here = || self.at(protocol, port).find(|endpoint| endpoint.serves(address));
        inside.or_else(here).map(|endpoint| &endpoint.target)
    }

    /// All of them: first what Docker publishes, then by transport, port and address.
    #[must_use]
    pub(crate) fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// How it went with Docker.
    #[must_use]
    pub(crate) fn docker(&self) -> &Docker {
        &self.docker
    }

    /// The transports that this kernel was not built to list the sockets of.
    #[must_use]
    pub(crate) fn unlisted(&self) -> &[PortProtocol] {
        &self.unlisted
    }

    fn at(&self, protocol: PortProtocol, port: u16) -> impl Iterator<Item = &Endpoint> {
        self.endpoints.iter().filter(move |endpoint| (endpoint.protocol, endpoint.local.port()) == (protocol, port))
    }
}

#[cfg(feature = "docker")]
async fn published(socket: &Path) -> (Vec<Endpoint>, Docker) {
    match docker::published(socket).await {
        Ok(published) => (published, Docker::Read),
        Err(docker::Failure::Absent) => (Vec::new(), Docker::Absent),
        Err(docker::Failure::Unreadable(why)) => (Vec::new(), Docker::Unreadable { socket: socket.to_owned(), why }),
    }
}

#[cfg(not(feature = "docker"))]
#[expect(clippy::unused_async, reason = "Docker is asked for in the same way, whether it is built in or not")]
async fn published(_socket: &Path) -> (Vec<Endpoint>, Docker) {
    (Vec::new(), Docker::NotBuilt)
}

/// Whether what a stranger sends comes to this socket. One for datagrams that has a peer hears nobody else.
fn takes_what_comes(socket: &OpenSocket) -> bool {
    let is_open = match socket.protocol {
        PortProtocol::Tcp | PortProtocol::Sctp | PortProtocol::Dccp => socket.activity == Activity::Listens,
        PortProtocol::Udp | PortProtocol::UdpLite => socket.remote.is_none(),
    };
    is_open && socket.local.port() != 0
}

/// Published ports and listening sockets, without those that Docker itself keeps open where it publishes: what comes in there is redirected
/// before it meets a socket.
fn joined(published: Vec<Endpoint>, listening: &[OpenSocket], holders: &HashMap<u64, Process>) -> Vec<Endpoint> {
    let is_dockers = |socket: &&OpenSocket| {
        published.iter().any(|published| {
            (published.protocol, published.local.port()) == (socket.protocol, socket.local.port())
                && published.serves(socket.local.ip())
        })
    };
    let listening = listening.iter().filter(|socket| !is_dockers(socket)).map(|socket| Endpoint {
        protocol: socket.protocol,
        local: socket.local,
        only_ipv6: socket.only_ipv6,
        device: socket.device,
        target: holders.get(&socket.inode).cloned().map_or(Target::Unseen, Target::Process),
    });
    let mut endpoints: Vec<Endpoint> = listening.collect();
    endpoints.extend(published);
    endpoints.sort_by_key(|endpoint| {
        let is_container = matches!(endpoint.target, Target::Container(_));
        (!is_container, endpoint.protocol, endpoint.local.port(), endpoint.local.ip(), endpoint.device)
    });
    // Workers that share a port have a socket each.
    endpoints.dedup();
    endpoints
}
