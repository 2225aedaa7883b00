//! The receiver of a packet that passes: the listening process, or the container that Docker publishes at that port.

#[cfg(feature = "docker")]
pub(crate) mod answer;
#[cfg(feature = "docker")]
pub(crate) mod docker;
pub(crate) mod endpoint;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    env,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use fw_common::PortProtocol;

use crate::{
    error::Result,
    host::{
        connections::{Activity, OpenSocket, Sockets},
        processes::{self, Process},
        targets::endpoint::{Endpoint, Target},
    },
};

/// Docker's default socket (`DOCKER_HOST`).
const DOCKER_SOCKET: &str = "/var/run/docker.sock";

/// Docker's socket: the one of `DOCKER_HOST` if that is a `unix://` address, otherwise the default. A Docker on another machine publishes nothing on
/// this one.
#[must_use]
pub(crate) fn docker_socket() -> PathBuf {
    let named = env::var("DOCKER_HOST").ok();
    named.as_deref().and_then(|host| host.strip_prefix("unix://")).unwrap_or(DOCKER_SOCKET).into()
}

/// The result of asking Docker.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "docker"), expect(dead_code, reason = "this build does not ask Docker"))]
pub(crate) enum Docker {
    /// Its socket does not exist.
    Absent,
    /// It answered.
    Read,
    /// Its socket exists, but cannot be read.
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

/// All receivers.
#[derive(Clone, Debug)]
pub(crate) struct Targets {
    endpoints: Vec<Endpoint>,
    docker: Docker,
    unlisted: Vec<PortProtocol>,
}

impl Targets {
    /// Ask the kernel, `/proc`, and Docker at this socket, with a limit of two seconds. Without Docker there are only processes.
    pub(crate) async fn read(docker_socket: &Path) -> Result<Self> {
        let (published, docker) = published(docker_socket).await;
        let sockets = Sockets::ask(&PortProtocol::ALL)?;
        let listening: Vec<OpenSocket> = sockets.open.into_iter().filter(takes_what_comes).collect();
        let holders = processes::holders(listening.iter().map(|socket| socket.inode).collect());
        Ok(Self { endpoints: joined(published, &listening, &holders), docker, unlisted: sockets.unlisted })
    }

    /// The receiver of a packet to an address and port, even of one sent straight to a container.
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

    /// The result of asking Docker.
    #[must_use]
    pub(crate) fn docker(&self) -> &Docker {
        &self.docker
    }

    /// The transports whose sockets this kernel cannot list.
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

/// Whether packets of a stranger reach this socket. A datagram socket with a peer hears only that one.
fn takes_what_comes(socket: &OpenSocket) -> bool {
    let is_open = match socket.protocol {
        PortProtocol::Tcp | PortProtocol::Sctp | PortProtocol::Dccp => socket.activity == Activity::Listens,
        PortProtocol::Udp | PortProtocol::UdpLite => socket.remote.is_none(),
    };
    is_open && socket.local.port() != 0
}

/// Published ports and listening sockets, without the sockets of Docker's own proxies at published ports: packets there are redirected before they
/// reach a socket.
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
