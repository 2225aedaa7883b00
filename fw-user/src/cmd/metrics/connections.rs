//! Open connections, with a limit per peer so that others get some.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::task::{AbortHandle, JoinSet};

/// The most connections.
const TOTAL: usize = 64;
/// The most connections of one peer.
const PER_PEER: usize = 8;

/// Open connections. Dropping the value closes them.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    tasks: JoinSet<()>,
    /// The oldest first.
    open: Vec<Connection>,
}

#[derive(Debug)]
struct Connection {
    peer: IpAddr,
    state: Asked,
    task: AbortHandle,
}

/// Whether a connection's request is being answered. A connection without a request, or that does not read its answer, is idle.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked(Arc<AtomicBool>);

impl Asked {
    pub(crate) fn set(&self, is_asked: bool) {
        self.0.store(is_asked, Ordering::Relaxed);
    }
}

impl Connections {
    /// Accept a connection of a peer. If there is no room, close the peer's oldest idle connection, or the oldest idle one of all; if all are being
    /// answered, close the new one.
    pub(crate) fn admit<T: Future<Output = ()> + Send + 'static>(
        &mut self,
        peer: IpAddr,
        converse: impl FnOnce(Asked) -> T,
    ) {
        while self.tasks.try_join_next().is_some() {}
        self.open.retain(|connection| !connection.task.is_finished());
        let peer = network(peer);
        let of_peer = self.open.iter().filter(|connection| connection.peer == peer).count();
        let has_place = if of_peer >= PER_PEER {
            self.close_oldest_idle(|connection| connection.peer == peer)
        } else {
            self.open.len() < TOTAL || self.close_oldest_idle(|_| true)
        };
        if has_place {
            let state = Asked::default();
            let task = self.tasks.spawn(converse(state.clone()));
            self.open.push(Connection { peer, state, task });
        }
    }

    fn close_oldest_idle(&mut self, is_meant: impl Fn(&Connection) -> bool) -> bool {
        let is_idle = |connection: &Connection| !connection.state.0.load(Ordering::Relaxed);
        let oldest = self.open.iter().position(|connection| is_meant(connection) && is_idle(connection));
        oldest.map(|index| self.open.remove(index).task.abort()).is_some()
    }
}

/// The identity of a peer: an IPv4 address, or a /64, because whoever has one address of it has all.
fn network(peer: IpAddr) -> IpAddr {
    const INTERFACE_IDENTIFIER: u128 = u64::MAX as u128;
    match peer.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() & !INTERFACE_IDENTIFIER).into()),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use std::{future::pending, net::Ipv4Addr};

    use super::*;

    /// The peers with connections, the oldest first; `asks` says which are being answered.
    fn open_after(peers: impl IntoIterator<Item = (IpAddr, bool)>) -> Vec<IpAddr> {
        let mut connections = Connections::default();
        for (peer, asks) in peers {
            connections.admit(peer, |asked| {
                asked.set(asks);
                pending()
            });
        }
        connections.open.iter().map(|connection| connection.peer).collect()
    }

    const fn peer(number: u8) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(192, 0, 2, number))
    }

    #[tokio::test]
    async fn a_peer_has_few_connections_and_the_oldest_idle_one_goes() {
        let many = (0..200).map(|_| (peer(1), false));
        let open = open_after([(peer(2), false)].into_iter().chain(many));
        assert_eq!((open.len(), open[0]), (PER_PEER + 1, peer(2)), "another peer's stays");
    }

    #[tokio::test]
    async fn of_many_peers_the_oldest_idle_connection_goes() {
        let open = open_after((0..100).map(|number| (peer(number), number == 0)));
        assert_eq!(open.len(), TOTAL);
        assert_eq!(open[..2], [peer(0), peer(37)], "one that is being answered stays");
    }

    #[tokio::test]
    async fn where_all_are_being_answered_the_new_one_goes() {
        assert_eq!(open_after((0..100).map(|number| (peer(number), true))).last(), Some(&peer(63)));
    }

    #[test]
    fn an_ipv6_network_is_one_peer_and_a_mapped_address_is_ipv4() {
        let network = |text: &str| network(text.parse().expect("an address"));
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:1:2:3"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
        assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
    }
}
