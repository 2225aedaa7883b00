//! Who loses what by a change. Nothing here asks the kernel.

use std::{
    collections::{BTreeSet, HashMap},
    net::SocketAddr,
};

use fw_common::{PortProtocol, policy::Policy};

use super::{Change, sessions::OwnSession};
use crate::{
    connections::{Activity, OpenSocket, Sockets, TrackedConnection},
    network::Network,
    processes::Process,
};

/// A TCP connection that came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Inbound {
    /// Who opened it.
    pub(super) peer: SocketAddr,
    /// The end of it here, as its socket has it.
    pub(super) local: SocketAddr,
    /// Where its packets go to when they come in: before they are redirected to another port or to a container.
    pub(super) target: SocketAddr,
    /// The only interface that its socket uses; 0 where it uses any.
    pub(super) device: u32,
    /// Of its socket; 0 where it has none here.
    pub(super) inode: u64,
}

impl Inbound {
    /// Whether its packets come in through these interfaces.
    pub(super) fn comes_through(&self, network: &Network, fed: &BTreeSet<u32>) -> bool {
        network.lead_in(fed, self.peer.ip(), self.target.ip(), self.device)
    }
}

/// The connections that came in: at ports that are listened on here, and such as are redirected to a container.
pub(super) fn inbound(sockets: &Sockets, tracked: &[TrackedConnection]) -> Vec<Inbound> {
    let is_redirected = |tracked: &&TrackedConnection| {
        tracked.stands && tracked.answers.protocol == PortProtocol::Tcp && tracked.target != tracked.answers.remote
    };
    let redirected = tracked.iter().filter(is_redirected);
    let mut redirected: HashMap<_, _> =
        redirected.map(|tracked| ((tracked.answers.local, tracked.answers.remote), tracked)).collect();
    let served = sockets.served();
    let mut found = Vec::new();
    for socket in &sockets.open {
        let Some(peer) = socket.remote else { continue };
        let is_served = served.contains(&(PortProtocol::Tcp, socket.local.port()));
        if socket.protocol == PortProtocol::Tcp && socket.activity == Activity::Stands && is_served {
            let target = redirected.remove(&(peer, socket.local)).map_or(socket.local, |tracked| tracked.target);
            let OpenSocket { local, device, inode, .. } = *socket;
            found.push(Inbound { peer, local, target, device, inode });
        }
    }
    found.extend(redirected.into_values().map(|tracked| Inbound {
        peer: tracked.opener,
        local: tracked.answers.remote,
        target: tracked.target,
        device: 0,
        inode: 0,
    }));
    found
}

/// Something that a change would cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The transport.
    pub protocol: PortProtocol,
    /// The port that its packets come in at.
    pub port: u16,
    /// Who is at the other end; nobody in particular for a UDP socket.
    pub peer: Option<SocketAddr>,
    /// Whose it is here, as far as that can be known: containers' processes are not looked for.
    pub process: Option<Process>,
    /// Whether it is the session that the command was typed in, or may be it.
    pub is_own: bool,
}

/// What one change would cut.
#[derive(Clone, Debug)]
pub struct InterfaceOutlook {
    /// The interface, by name.
    pub name: String,
    /// What may come in then.
    pub after: Policy,
    /// Whether anything else is dropped then, and not only counted.
    pub drops: bool,
    /// Open connections: those of the own session first, then by port and peer.
    pub cut: Vec<Cut>,
    /// The ports at which `sshd` listens, and nobody can reach it then.
    pub sshd: BTreeSet<u16>,
}

impl InterfaceOutlook {
    /// Whether somebody could lose the machine.
    #[must_use]
    pub fn locks_out(&self) -> bool {
        self.drops && (!self.sshd.is_empty() || self.cut.iter().any(|cut| cut.is_own))
    }
}

/// What is known when changes are judged.
pub(super) struct Facts<'a> {
    /// Connections of which some change closes the port.
    pub(super) inbound: &'a [Inbound],
    pub(super) sockets: &'a Sockets,
    pub(super) network: &'a Network,
    pub(super) own: &'a OwnSession,
    /// Who has a socket open, by inode.
    pub(super) holders: &'a HashMap<u64, Process>,
    /// Where `sshd` is expected.
    pub(super) ssh_ports: &'a BTreeSet<u16>,
}

impl Facts<'_> {
    pub(super) fn judge(&self, change: &Change) -> InterfaceOutlook {
        let fed = self.network.index(&change.interface).map(|index| self.network.fed_by(index)).unwrap_or_default();
        let is_cut = |open: &&Inbound| {
            change.closes(PortProtocol::Tcp, open.target.port(), open.peer.ip())
                && open.comes_through(self.network, &fed)
        };
        let any_sshd_is_own = self.own_is_unknown();
        let connections = self.inbound.iter().filter(is_cut).map(|open| {
            let process = self.holders.get(&open.inode);
            Cut {
                protocol: PortProtocol::Tcp,
                port: open.target.port(),
                peer: Some(open.peer),
                process: process.cloned(),
                is_own: self.own.has(open) || (any_sshd_is_own && process.is_some_and(is_sshd)),
            }
        });
        let datagrams = self.own_datagrams().filter(|socket| {
            self.is_reached_through(&fed, socket) && change.closes_to_all(PortProtocol::Udp, socket.local.port())
        });
        let datagrams = datagrams.map(|socket| Cut {
            protocol: PortProtocol::Udp,
            port: socket.local.port(),
            peer: None,
            process: self.holders.get(&socket.inode).cloned(),
            is_own: true,
        });
        let mut cut: Vec<Cut> = connections.chain(datagrams).collect();
        cut.sort_by_key(|cut| (!cut.is_own, cut.port, cut.peer));
        let listeners = self.sockets.open.iter().filter(|socket| {
            socket.activity == Activity::Listens
                && socket.protocol == PortProtocol::Tcp
                && self.is_reached_through(&fed, socket)
                && change.closes_to_all(PortProtocol::Tcp, socket.local.port())
        });
        InterfaceOutlook {
            name: change.interface.clone(),
            after: change.after.clone(),
            drops: change.drops,
            cut,
            sshd: listeners.filter(|socket| self.is_of_sshd(socket)).map(|socket| socket.local.port()).collect(),
        }
    }

    fn is_reached_through(&self, fed: &BTreeSet<u32>, socket: &OpenSocket) -> bool {
        let address = socket.local.ip();
        let has_way = if socket.device == 0 { !fed.is_empty() } else { fed.contains(&socket.device) };
        has_way && !address.is_loopback() && self.network.have(fed, address)
    }

    fn own_datagrams(&self) -> impl Iterator<Item = &OpenSocket> {
        self.own.datagrams(self.sockets)
    }

    /// Whether the environment tells of a session of which nothing is left: the shell of a `tmux` or `screen` that was started in an
    /// earlier one. Which session looks at it now cannot be seen.
    fn own_is_unknown(&self) -> bool {
        let lives = |socket: &OpenSocket| {
            socket.activity == Activity::Stands
                && self.own.ssh.iter().any(|ssh| (Some(ssh.peer), ssh.local) == (socket.remote, socket.local))
        };
        self.sockets.knows_tcp()
            && !self.own.ssh.is_empty()
            && self.own_datagrams().next().is_none()
            && !self.sockets.open.iter().any(lives)
    }

    fn is_of_sshd(&self, listener: &OpenSocket) -> bool {
        match self.holders.get(&listener.inode) {
            Some(process) if is_sshd(process) => true,
            // The first process listens for others, and who cannot be seen may be anybody.
            None | Some(Process { pid: 1, .. }) => {
                let port = listener.local.port();
                let has_session =
                    |open: &Inbound| open.local.port() == port && self.holders.get(&open.inode).is_some_and(is_sshd);
                self.ssh_ports.contains(&port) || self.inbound.iter().any(has_session)
            }
            Some(_) => false,
        }
    }
}

/// Servers of SSH by the names of their processes; the longer ones are those of `OpenSSH` 9.8 and later.
pub(crate) fn is_sshd(process: &Process) -> bool {
    ["sshd", "sshd-session", "sshd-auth", "dropbear"].contains(&process.name.as_str())
}
