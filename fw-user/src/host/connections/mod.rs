//! The open connections of this host and its containers, from the kernel's sockets and connection tracking.

pub(crate) mod connection;
pub(crate) mod sockets;
pub(crate) mod wireguard;

use std::{
    collections::HashSet,
    net::{IpAddr, SocketAddr},
};

use fw_common::PortProtocol;
use netlink_packet_netfilter::{
    NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily,
    conntrack::{ConntrackAttribute, ConntrackMessage, IPTuple, ProtoInfo, ProtoInfoTCP, ProtoTuple, Protocol, Tuple},
};
use netlink_sys::protocols::NETLINK_NETFILTER;
use nix::{ifaddrs::getifaddrs, sys::socket::SockaddrStorage};

pub(crate) use crate::host::connections::sockets::{Activity, COMMON, OpenSocket, Sockets};

use crate::{
    error::{Error, Result},
    host::{connections::connection::Connection, netlink},
};

/// A connection in connection tracking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TrackedConnection {
    /// The side that opened it.
    pub opener: SocketAddr,
    /// Its destination for the opener, before any translation.
    pub target: SocketAddr,
    /// Its replies, as for an outbound connection.
    pub answers: Connection,
    /// For TCP, whether the handshake is complete.
    pub stands: bool,
}

/// All connections in connection tracking. None if the kernel lacks it, or its netlink side; then there is no translation either.
#[must_use]
pub(crate) fn tracked() -> Vec<TrackedConnection> {
    // Of both families: the kernel walks through its whole table for each request.
    let header = NetfilterHeader::new(NetfilterProtoFamily::Unspec, 0, 0);
    let request = NetfilterMessage::new(header, ConntrackMessage::Get(vec![]));
    netlink::dump(NETLINK_NETFILTER, request).unwrap_or_default().iter().filter_map(track).collect()
}

/// The outbound connections that are open now: connected sockets, connection tracking, and the peers of `WireGuard`.
pub(crate) fn outward() -> Result<HashSet<Connection>> {
    let sockets = Sockets::ask(&COMMON)?;
    let served = sockets.served();
    let with_peer = sockets.open.iter().filter_map(|socket| {
        Some(Connection { protocol: socket.protocol, remote: socket.remote?, local: socket.local })
    });
    // A connection at a listening port is inbound.
    let mut found: HashSet<_> =
        with_peer.filter(|open| !served.contains(&(open.protocol, open.local.port()))).collect();
    // The reply direction of an outbound connection is what comes in. For an inbound connection it is what goes out, which matches no inbound packet:
    // a flood of those would evict the outbound ones.
    let is_inward = inward()?;
    let outward = tracked().into_iter().filter(|tracked| !is_inward(tracked));
    found.extend(outward.map(|tracked| tracked.answers));
    found.extend(wireguard::devices().iter().flat_map(wireguard::Device::conversations));
    found.retain(|open| !open.remote.ip().is_loopback());
    Ok(found)
}

/// The ports of UDP sockets without a peer whose flows are all known and outbound, so that [`outward`] contains them.
pub(crate) fn known_datagrams(tracked: &[TrackedConnection]) -> Result<HashSet<u16>> {
    let is_inward = inward()?;
    let datagrams = tracked.iter().filter(|tracked| tracked.answers.protocol == PortProtocol::Udp);
    let (inward, outward): (Vec<_>, Vec<&TrackedConnection>) = datagrams.partition(|tracked| is_inward(tracked));
    let mut ports: HashSet<u16> = outward.iter().map(|tracked| tracked.answers.local.port()).collect();
    for tracked in inward {
        ports.remove(&tracked.answers.remote.port());
    }
    ports.extend(wireguard::devices().iter().map(|device| device.port));
    Ok(ports)
}

/// The facts that distinguish inbound and multicast connections from outbound ones.
fn inward() -> Result<impl Fn(&TrackedConnection) -> bool> {
    let here = own_addresses()?;
    Ok(move |tracked: &TrackedConnection| {
        let to = tracked.target.ip();
        to.is_multicast() || here.contains(&to)
    })
}

/// The addresses of this host's interfaces, and their broadcast addresses.
fn own_addresses() -> Result<HashSet<IpAddr>> {
    let ip = |address: SockaddrStorage| match (address.as_sockaddr_in(), address.as_sockaddr_in6()) {
        (Some(v4), _) => Some(IpAddr::V4(v4.ip())),
        (None, v6) => v6.map(|v6| IpAddr::V6(v6.ip())),
    };
    let interfaces = getifaddrs().map_err(|error| Error::refused("asking for this machine's addresses", error))?;
    Ok(interfaces.flat_map(|of| [of.address, of.broadcast]).flatten().filter_map(ip).collect())
}

fn track(message: &NetfilterMessage) -> Option<TrackedConnection> {
    /// `TCP_CONNTRACK_ESTABLISHED` of `linux/netfilter/nf_conntrack_tcp.h`.
    const ESTABLISHED: u8 = 3;
    let NetfilterMessageInner::Conntrack(ConntrackMessage::New(attributes)) = &message.inner else { return None };
    let (mut original, mut answer, mut stands) = (None, None, false);
    for attribute in attributes {
        match attribute {
            ConntrackAttribute::CtaTupleOrig(tuple) => original = ends(tuple),
            ConntrackAttribute::CtaTupleReply(tuple) => answer = ends(tuple),
            ConntrackAttribute::CtaProtoInfo(infos) => {
                stands = infos.iter().any(
                    |info| matches!(info, ProtoInfo::TCP(facts) if facts.contains(&ProtoInfoTCP::State(ESTABLISHED))),
                );
            }
            _ => {}
        }
    }
    let ((_, opener, target), (protocol, remote, local)) = (original?, answer?);
    Some(TrackedConnection { opener, target, answers: Connection { protocol, remote, local }, stands })
}

/// Transport, sender and receiver of one direction.
fn ends(tuple: &[Tuple]) -> Option<(PortProtocol, SocketAddr, SocketAddr)> {
    let (mut source, mut destination, mut protocol) = (None::<IpAddr>, None::<IpAddr>, None);
    let (mut source_port, mut destination_port) = (None, None);
    for part in tuple {
        match part {
            Tuple::Ip(addresses) => {
                for address in addresses {
                    match address {
                        IPTuple::SourceAddress(address) => source = Some(*address),
                        IPTuple::DestinationAddress(address) => destination = Some(*address),
                        _ => {}
                    }
                }
            }
            Tuple::Proto(facts) => {
                for fact in facts {
                    match fact {
                        ProtoTuple::Protocol(Protocol::Tcp) => protocol = Some(PortProtocol::Tcp),
                        ProtoTuple::Protocol(Protocol::Udp) => protocol = Some(PortProtocol::Udp),
                        ProtoTuple::Protocol(Protocol::Sctp) => protocol = Some(PortProtocol::Sctp),
                        ProtoTuple::Protocol(Protocol::Dccp) => protocol = Some(PortProtocol::Dccp),
                        ProtoTuple::SourcePort(port) => source_port = Some(*port),
                        ProtoTuple::DestinationPort(port) => destination_port = Some(*port),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    Some((protocol?, SocketAddr::new(source?, source_port?), SocketAddr::new(destination?, destination_port?)))
}
