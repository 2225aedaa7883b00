//! The inbound connections that a policy would cut, checked before the first change, so that nobody closes the port of their own session, or of
//! `sshd`, by accident.

pub(crate) mod change;
pub(crate) mod inbound;
pub(crate) mod judgement;
pub(crate) mod ownership;
pub(crate) mod servers;
pub(crate) mod sessions;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeSet, HashSet},
    net::IpAddr,
};

use fw_common::PortProtocol;

pub(crate) use crate::lockout::judgement::{Cut, InterfaceOutlook};
pub(crate) use crate::lockout::servers::is_sshd;

use crate::{
    error::Result,
    host::{
        connections::{self, Activity, Sockets, TrackedConnection},
        network::Network,
        processes, systemd,
    },
    lockout::{
        change::PolicyChange,
        inbound::{Inbound, Ownership},
        judgement::Facts,
        ownership::LocalPeers,
        servers::listens_for_others,
        sessions::OwnSession,
    },
    policy_text,
};

/// The connections that changes would cut.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outlook {
    /// The outlook for each change, in the same order.
    pub interfaces: Vec<InterfaceOutlook>,
    /// Whether the kernel could list its sockets. Otherwise only `SSH_CONNECTION` identifies the user's own session.
    pub knows_sockets: bool,
}

impl Outlook {
    /// The open connections that the change of an interface would cut.
    #[must_use]
    pub(crate) fn cut(&self, name: &str) -> &[Cut] {
        let of_name = self.interfaces.iter().find(|interface| interface.name == name);
        of_name.map_or(&[], |interface| &interface.cut)
    }

    /// Whether somebody could be locked out.
    #[must_use]
    pub(crate) fn locks_out(&self) -> bool {
        self.interfaces.iter().any(InterfaceOutlook::locks_out)
    }
}

/// What is open, and how to recognise the own session in it.
struct Open {
    sockets: Sockets,
    network: Network,
    own: OwnSession,
    tracked: Vec<TrackedConnection>,
    inbound: Vec<Inbound>,
}

impl Open {
    fn ask() -> Result<Self> {
        let sockets = Sockets::ask(&connections::COMMON)?;
        let network = Network::ask()?;
        let mut own = OwnSession::find();
        // A session at another machine or network namespace, from which this command was started, is not cut here.
        own.ssh.retain(|connection| network.has(connection.local.ip()) || connection.local.ip().is_loopback());
        let tracked = connections::tracked();
        let mut inbound = inbound::inbound(&sockets, &tracked);
        if !sockets.knows_tcp() {
            inbound.extend(own.as_inbound(&network));
        }
        Ok(Self { sockets, network, own, tracked, inbound })
    }
}

/// Where the session that the command is typed in may come from, as far as it `matters`.
pub(crate) fn session_peers(matters: impl Fn(IpAddr) -> bool) -> Result<BTreeSet<IpAddr>> {
    let Open { sockets, own, mut inbound, .. } = Open::ask()?;
    // The search through all processes takes long.
    if inbound.iter().any(|open| matters(open.peer.ip())) {
        let holders = processes::holders(inbound.iter().map(|open| open.inode).collect());
        ownership::mark(&mut inbound, &sockets, &own, &holders, processes::holding);
    }
    let marked = inbound.iter().filter(|open| open.ownership > Ownership::Other).map(|open| open.peer.ip());
    Ok(marked.chain(own.ssh.iter().map(|connection| connection.peer.ip())).collect())
}

/// Find the connections that changes would cut, without changing anything.
pub(crate) fn look(changes: &[PolicyChange]) -> Result<Outlook> {
    let Open { sockets, mut network, own, tracked, mut inbound } = Open::ask()?;
    let is_closed = |port| changes.iter().any(|change| change.closes_to_all(PortProtocol::Tcp, port));
    let listeners = sockets.open.iter().filter(|socket| socket.activity == Activity::Listens);
    let closed = listeners.filter(|socket| socket.protocol == PortProtocol::Tcp && is_closed(socket.local.port()));
    let closed: Vec<u64> = closed.map(|socket| socket.inode).collect();
    let mut of_interest: HashSet<u64> = closed.iter().copied().collect();
    let datagrams = sockets.open.iter().filter(|socket| socket.protocol == PortProtocol::Udp);
    of_interest.extend(datagrams.map(|socket| socket.inode));
    of_interest.extend(inbound.iter().map(|open| open.inode));
    let holders = processes::holders(of_interest);

    ownership::mark(&mut inbound, &sockets, &own, &holders, processes::holding);
    let local_peers = LocalPeers::new(&sockets);
    let closes =
        |open: &Inbound| changes.iter().any(|change| change.closes(open.protocol, open.target.port(), open.peer.ip()));
    inbound.retain(|open| closes(open) && local_peers.of(open).is_none());
    network.find_routes(inbound.iter().map(|open| (open.peer.ip(), open.target.ip())));

    let mut ssh_ports = ssh_ports();
    if closed.iter().any(|inode| holders.get(inode).is_some_and(listens_for_others)) {
        ssh_ports.extend(systemd::sockets::of_sshd());
    }
    let facts = Facts {
        inbound: &inbound,
        sockets: &sockets,
        network: &network,
        own: &own,
        holders: &holders,
        known_datagrams: &connections::known_datagrams(&tracked)?,
        ssh_ports: &ssh_ports,
    };
    Ok(Outlook {
        interfaces: changes.iter().map(|change| facts.judge(change)).collect(),
        knows_sockets: sockets.knows_tcp(),
    })
}

/// The ports where an SSH server is expected if the owner of a listener is unknown: 22, and those of `/etc/services`.
fn ssh_ports() -> BTreeSet<u16> {
    let named = policy_text::rules(&["ssh/tcp".to_owned()]).unwrap_or_default();
    named.iter().map(|rule| rule.ports.first()).chain([22]).collect()
}
