//! The session of the command.

use std::{
    collections::HashSet,
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use fw_common::PortProtocol;

use crate::{
    host::{
        connections::{Activity, OpenSocket, Sockets},
        network::Network,
        processes,
    },
    lockout::inbound::{Inbound, Ownership},
};

/// The contents of `SSH_CONNECTION` from `sshd(8)`: client address and port, server address and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SshConnection {
    pub(crate) peer: SocketAddr,
    pub(crate) local: SocketAddr,
    /// The interface of a link-local address.
    pub(crate) zone: Option<String>,
}

/// Otherwise it is not four words of addresses and ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotAConnection;

impl FromStr for SshConnection {
    type Err = NotAConnection;

    fn from_str(text: &str) -> Result<Self, NotAConnection> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let [peer, peer_port, local, local_port] = words[..] else { return Err(NotAConnection) };
        let address = |word: &str, port: &str| {
            let (address, zone) = word.split_once('%').map_or((word, None), |(address, zone)| (address, Some(zone)));
            let address: IpAddr = address.parse().map_err(|_| NotAConnection)?;
            let port = port.parse().map_err(|_| NotAConnection)?;
            Ok((SocketAddr::new(address.to_canonical(), port), zone.map(ToOwned::to_owned)))
        };
        let ((peer, peer_zone), (local, zone)) = (address(peer, peer_port)?, address(local, local_port)?);
        Ok(Self { peer, local, zone: zone.or(peer_zone) })
    }
}

/// The signs of the user's own session among the connections.
#[derive(Clone, Debug, Default)]
pub(crate) struct OwnSession {
    /// `SSH_CONNECTION` in the environments of this process and its parents: `sudo` removes it only from its own children.
    pub(crate) ssh: Vec<SshConnection>,
    /// The sockets of this process and its parents: the session's process of `sshd` or `telnetd` has one.
    pub(crate) sockets: HashSet<u64>,
    /// The sockets of parents that started the terminal session without belonging to it: `mosh-server` has a UDP socket.
    pub(crate) outer_sockets: HashSet<u64>,
}

impl OwnSession {
    pub(crate) fn find() -> Self {
        let mut own = Self::default();
        let mut session = None;
        for process in processes::ancestors() {
            let sockets: Vec<u64> = processes::open_sockets(&process).collect();
            let of_session = process.stat().ok().map(|stat| stat.session);
            // Process 1 opens sockets for others.
            if of_session != *session.get_or_insert(of_session) && process.pid != 1 {
                own.outer_sockets.extend(&sockets);
            }
            own.sockets.extend(sockets);
            let connection = processes::variable(&process, "SSH_CONNECTION").and_then(|text| text.parse().ok());
            own.ssh.extend(connection.filter(|connection| !own.ssh.contains(connection)));
        }
        own
    }

    /// The connections in the environments, if nothing else tells what is connected.
    pub(crate) fn as_inbound(&self, network: &Network) -> Vec<Inbound> {
        let inbound = |connection: &SshConnection| Inbound {
            protocol: PortProtocol::Tcp,
            peer: connection.peer,
            local: connection.local,
            target: connection.local,
            device: connection.zone.as_deref().and_then(|zone| network.index(zone)).unwrap_or_default(),
            inode: 0,
            ownership: Ownership::Other,
        };
        self.ssh.iter().map(inbound).collect()
    }

    /// Whether it is a UDP socket without a peer of the processes that started the terminal session.
    pub(crate) fn has_datagrams(&self, socket: &OpenSocket) -> bool {
        socket.protocol == PortProtocol::Udp && socket.remote.is_none() && self.outer_sockets.contains(&socket.inode)
    }

    /// Whether the user's own session is among the sockets. It is not in a `tmux` or `screen` from an earlier session, whose environment is outdated:
    /// then the current session is unknown.
    pub(crate) fn is_seen(&self, sockets: &Sockets) -> bool {
        let lives = |socket: &OpenSocket| {
            socket.activity == Activity::Stands
                && self.ssh.iter().any(|ssh| (Some(ssh.peer), ssh.local) == (socket.remote, socket.local))
        };
        sockets.open.iter().any(|socket| self.has_datagrams(socket) || lives(socket))
    }

    /// Whether a connection belongs to the user's own session.
    pub(crate) fn has(&self, open: &Inbound) -> bool {
        self.sockets.contains(&open.inode)
            || self.ssh.iter().any(|ssh| (ssh.peer, ssh.local) == (open.peer, open.local))
    }
}
