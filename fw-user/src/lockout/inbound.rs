//! Inbound connections.

use std::{
    collections::{BTreeSet, HashMap},
    net::SocketAddr,
};

use fw_common::PortProtocol;

use crate::host::{
    connections::{Activity, OpenSocket, Sockets, TrackedConnection},
    network::Network,
};

/// Whether a connection is the session of the command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Ownership {
    /// It is another session.
    #[default]
    Other,
    /// It may be: several connections are possible.
    Possible,
    /// It is.
    Certain,
}

/// An inbound TCP connection, or inbound UDP that was redirected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Inbound {
    /// The transport.
    pub(crate) protocol: PortProtocol,
    /// The side that opened it.
    pub(crate) peer: SocketAddr,
    /// Its local address, as in its socket.
    pub(crate) local: SocketAddr,
    /// The destination of its packets on the wire, before they are redirected to another port or to a container.
    pub(crate) target: SocketAddr,
    /// The only interface that its socket uses; 0 for any.
    pub(crate) device: u32,
    /// The inode of its socket; 0 if it has none here.
    pub(crate) inode: u64,
    /// Whether it is the user's own session.
    pub(crate) ownership: Ownership,
}

impl Inbound {
    /// Whether its packets arrive through these interfaces.
    pub(crate) fn comes_through(&self, network: &Network, fed: &BTreeSet<u32>) -> bool {
        network.lead_in(fed, self.peer.ip(), self.target.ip(), self.device)
    }
}

/// The inbound connections: at listening TCP ports, and those that are redirected to a container.
pub(crate) fn inbound(sockets: &Sockets, tracked: &[TrackedConnection]) -> Vec<Inbound> {
    let is_redirected = |tracked: &&TrackedConnection| {
        let lives = match tracked.answers.protocol {
            PortProtocol::Tcp => tracked.stands,
            protocol => protocol == PortProtocol::Udp,
        };
        lives && tracked.target != tracked.answers.remote
    };
    let redirected = tracked.iter().filter(is_redirected);
    let key = |tracked: &TrackedConnection| (tracked.answers.protocol, tracked.answers.local, tracked.answers.remote);
    let mut redirected: HashMap<_, _> = redirected.map(|tracked| (key(tracked), tracked)).collect();
    let served = sockets.served();
    let mut found = Vec::new();
    for socket in &sockets.open {
        let Some(peer) = socket.remote else { continue };
        let is_served = served.contains(&(PortProtocol::Tcp, socket.local.port()));
        if socket.protocol == PortProtocol::Tcp && socket.activity == Activity::Stands && is_served {
            let redirected = redirected.remove(&(PortProtocol::Tcp, peer, socket.local));
            let target = redirected.map_or(socket.local, |tracked| tracked.target);
            let OpenSocket { protocol, local, device, inode, .. } = *socket;
            found.push(Inbound { protocol, peer, local, target, device, inode, ownership: Ownership::Other });
        }
    }
    found.extend(redirected.into_values().map(|tracked| Inbound {
        protocol: tracked.answers.protocol,
        peer: tracked.opener,
        local: tracked.answers.remote,
        target: tracked.target,
        device: 0,
        inode: 0,
        ownership: Ownership::Other,
    }));
    found
}
