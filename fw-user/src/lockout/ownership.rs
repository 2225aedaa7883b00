//! Which of the inbound connections may be the session of the command.

use std::collections::{HashMap, HashSet};

use fw_common::PortProtocol;

use crate::{
    host::{
        connections::{Activity, Sockets},
        processes::Process,
    },
    lockout::{
        inbound::{Inbound, Ownership},
        servers,
        sessions::OwnSession,
    },
};

/// The other ends of connections from this machine to itself.
pub(crate) struct LocalPeers(HashMap<(std::net::SocketAddr, std::net::SocketAddr), u64>);

impl LocalPeers {
    /// Among these sockets.
    pub(crate) fn new(sockets: &Sockets) -> Self {
        let streams = sockets
            .open
            .iter()
            .filter(|socket| socket.protocol == PortProtocol::Tcp && socket.activity == Activity::Stands);
        Self(streams.filter_map(|socket| Some(((socket.local, socket.remote?), socket.inode))).collect())
    }

    /// The inode of the socket that opened a connection, if it is on this machine. Its destination may have been redirected. Its source need not be
    /// an address of this machine: a transparent relay uses its client's.
    pub(crate) fn of(&self, open: &Inbound) -> Option<u64> {
        [open.local, open.target].iter().find_map(|&to| self.0.get(&(open.peer, to)).copied())
    }
}

/// Mark each connection that is the user's own session.
///
/// Without a sign of a session, any connection of a remote desktop may be it; if the session in the environment is over, any connection of `sshd`. If
/// the session comes through a relay on this machine (sslh, `HAProxy`, `ssh -L`), the relay's connections count as well: those of the process that
/// holds the other end, or those that are redirected to its container.
///
/// `holding` returns the sockets of each process that has one of these open.
pub(crate) fn mark(
    inbound: &mut [Inbound],
    sockets: &Sockets,
    own: &OwnSession,
    holders: &HashMap<u64, Process>,
    holding: impl Fn(&HashSet<u64>) -> Vec<HashSet<u64>>,
) {
    for open in inbound.iter_mut().filter(|open| own.has(open)) {
        open.ownership = Ownership::Certain;
    }
    if inbound.iter().all(|open| open.ownership == Ownership::Other) && !own.is_seen(sockets) {
        for open in inbound.iter_mut() {
            let may_be =
                |process: &Process| servers::is_desktop(process) || (!own.ssh.is_empty() && servers::is_sshd(process));
            if holders.get(&open.inode).is_some_and(may_be) {
                open.ownership = Ownership::Possible;
            }
        }
    }
    follow_relays(inbound, &LocalPeers::new(sockets), holding);
}

fn follow_relays(inbound: &mut [Inbound], peers: &LocalPeers, holding: impl Fn(&HashSet<u64>) -> Vec<HashSet<u64>>) {
    let mut next: Vec<usize> = (0..inbound.len()).filter(|&at| inbound[at].ownership > Ownership::Other).collect();
    // Each round follows one relay. Marks only increase, so this ends.
    while !next.is_empty() {
        let here: HashSet<u64> = next.iter().filter_map(|&at| peers.of(&inbound[at])).collect();
        let relays = if here.is_empty() { Vec::new() } else { holding(&here) };
        for at in std::mem::take(&mut next) {
            let session = inbound[at];
            let carries = |open: &Inbound| match peers.of(&session) {
                Some(peer) => relays.iter().any(|held| held.contains(&peer) && held.contains(&open.inode)),
                // Processes in containers are not searched.
                None => open.protocol == PortProtocol::Tcp && open.inode == 0 && open.local.ip() == session.peer.ip(),
            };
            let outer: Vec<usize> =
                (0..inbound.len()).filter(|&other| other != at && carries(&inbound[other])).collect();
            let ownership = if outer.len() == 1 { session.ownership } else { Ownership::Possible };
            for other in outer {
                if inbound[other].ownership < ownership {
                    inbound[other].ownership = ownership;
                    next.push(other);
                }
            }
        }
    }
}
