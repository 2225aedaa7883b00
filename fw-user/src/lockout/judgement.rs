//! The connections that a change cuts. Nothing here asks the kernel.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    net::SocketAddr,
};

use fw_common::{
    PortProtocol,
    address::{Address, V4, V6},
    policy::Policy,
};

use crate::{
    host::{
        connections::{Activity, OpenSocket, Sockets},
        network::Network,
        processes::Process,
    },
    lockout::{
        change::PolicyChange,
        inbound::{Inbound, Ownership},
        servers::{is_sshd, listens_for_others},
        sessions::OwnSession,
    },
};

/// A connection that a change would cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    /// The transport.
    pub protocol: PortProtocol,
    /// Its port on the wire.
    pub port: u16,
    /// The peer; unknown for UDP.
    pub peer: Option<SocketAddr>,
    /// The local process, if known; processes in containers are not searched.
    pub process: Option<Process>,
    /// Whether it is the session of the command.
    pub ownership: Ownership,
}

/// The connections that one change would cut.
#[derive(Clone, Debug)]
pub(crate) struct InterfaceOutlook {
    /// The interface, by name.
    pub name: String,
    /// The new policy.
    pub after: Policy,
    /// Whether the new policy drops packets, rather than only counts them.
    pub drops: bool,
    /// Open connections: the user's own session first, then by port and peer.
    pub cut: Vec<Cut>,
    /// The ports of SSH servers that nobody can reach any more, each with the user that the server runs as: root where it is unknown. Any process may
    /// call itself `sshd`.
    pub sshd: BTreeMap<u16, u32>,
}

impl InterfaceOutlook {
    /// Whether somebody could be locked out.
    #[must_use]
    pub(crate) fn locks_out(&self) -> bool {
        self.drops && (!self.sshd.is_empty() || self.cut.iter().any(|cut| cut.ownership > Ownership::Other))
    }
}

/// The facts for a judgement of changes.
pub(crate) struct Facts<'a> {
    /// Inbound connections whose port some change closes.
    pub(crate) inbound: &'a [Inbound],
    pub(crate) sockets: &'a Sockets,
    pub(crate) network: &'a Network,
    pub(crate) own: &'a OwnSession,
    /// The process of each socket, by inode.
    pub(crate) holders: &'a HashMap<u64, Process>,
    /// The ports of UDP sockets without a peer whose flows are all known and outbound.
    pub(crate) known_datagrams: &'a HashSet<u16>,
    /// The ports where an SSH server is expected behind a process that listens for others.
    pub(crate) ssh_ports: &'a BTreeSet<u16>,
}

impl Facts<'_> {
    pub(crate) fn judge(&self, change: &PolicyChange) -> InterfaceOutlook {
        let fed = self.network.index(&change.interface).map(|index| self.network.fed_by(index)).unwrap_or_default();
        let is_cut = |open: &&Inbound| {
            change.closes(open.protocol, open.target.port(), open.peer.ip()) && open.comes_through(self.network, &fed)
        };
        let connections = self.inbound.iter().filter(is_cut).map(|open| Cut {
            protocol: open.protocol,
            port: open.target.port(),
            // Otherwise each datagram to a container would count.
            peer: (open.protocol == PortProtocol::Tcp).then_some(open.peer),
            process: self.holders.get(&open.inode).cloned(),
            ownership: open.ownership,
        });
        let datagrams =
            self.datagrams(change).filter(|socket| self.is_reached_through(&fed, socket)).map(|socket| Cut {
                protocol: PortProtocol::Udp,
                port: socket.local.port(),
                peer: None,
                process: self.holders.get(&socket.inode).cloned(),
                ownership: if self.own.has_datagrams(socket) { Ownership::Certain } else { Ownership::Other },
            });
        let mut cut: Vec<Cut> = connections.chain(datagrams).collect();
        cut.sort_by(|one, other| {
            let key = |cut: &Cut| (Reverse(cut.ownership), cut.port, cut.protocol, cut.peer);
            key(one).cmp(&key(other)).then_with(|| one.process.cmp(&other.process))
        });
        // One program often has several sockets at a port.
        cut.dedup();
        let listeners = self.sockets.open.iter().filter(|socket| {
            socket.activity == Activity::Listens
                && socket.protocol == PortProtocol::Tcp
                && self.is_reached_through(&fed, socket)
                && change.closes_to_all(PortProtocol::Tcp, socket.local.port())
        });
        let mut sshd = BTreeMap::new();
        for socket in listeners.filter(|socket| self.is_of_sshd(socket)) {
            let uid = self.holders.get(&socket.inode).map_or(0, |holder| holder.uid);
            sshd.entry(socket.local.port()).and_modify(|least: &mut u32| *least = uid.min(*least)).or_insert(uid);
        }
        InterfaceOutlook { name: change.interface.clone(), after: change.after.clone(), drops: change.drops, cut, sshd }
    }

    fn is_reached_through(&self, fed: &BTreeSet<u32>, socket: &OpenSocket) -> bool {
        let address = socket.local.ip();
        let has_way = if socket.device == 0 { !fed.is_empty() } else { fed.contains(&socket.device) };
        has_way && !address.is_loopback() && self.network.have(fed, address)
    }

    /// UDP sockets without a peer that nobody reaches any more, and whose flows are not known to survive.
    fn datagrams(&self, change: &PolicyChange) -> impl Iterator<Item = &OpenSocket> {
        self.sockets.open.iter().filter(|socket| {
            let port = socket.local.port();
            socket.protocol == PortProtocol::Udp
                && socket.remote.is_none()
                && change.closes_to_all(PortProtocol::Udp, port)
                // Replies to a DHCP client pass anyway.
                && ![V4::DHCP_CLIENT, V6::DHCP_CLIENT].contains(&port)
                && (self.own.has_datagrams(socket) || !self.known_datagrams.contains(&port))
        })
    }

    fn is_of_sshd(&self, listener: &OpenSocket) -> bool {
        let holder = self.holders.get(&listener.inode);
        let port = listener.local.port();
        let has_session =
            |open: &Inbound| open.local.port() == port && self.holders.get(&open.inode).is_some_and(is_sshd);
        // An unreadable process may be any program.
        holder.is_some_and(is_sshd)
            || (holder.is_none_or(listens_for_others) && self.ssh_ports.contains(&port))
            || self.inbound.iter().any(has_session)
    }
}
