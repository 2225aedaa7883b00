//! What this host and its containers have open, asked of the kernel's sockets and of connection tracking.

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

/// What connection tracking knows of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TrackedConnection {
    /// Who opened it.
    pub opener: SocketAddr,
    /// Where to, as the opener had it: before any translation.
    pub target: SocketAddr,
    /// What its answers look like, as if it had been opened from here.
    pub answers: Connection,
    /// Of TCP, whether both ends have agreed.
    pub stands: bool,
}

/// What connection tracking knows. Nothing where the kernel has none, or not its netlink side; then there is no translation either.
#[must_use]
pub(crate) fn tracked() -> Vec<TrackedConnection> {
    let mut found = Vec::new();
    for family in [NetfilterProtoFamily::IPv4, NetfilterProtoFamily::IPv6] {
        let request = NetfilterMessage::new(NetfilterHeader::new(family, 0, 0), ConntrackMessage::Get(vec![]));
        found.extend(netlink::dump(NETLINK_NETFILTER, request).unwrap_or_default().iter().filter_map(track));
    }
    found
}

/// What is open outward now: connected sockets, what connection tracking knows, and the peers of `WireGuard`.
pub(crate) fn outward() -> Result<HashSet<Connection>> {
    let sockets = Sockets::ask(&COMMON)?;
    let served = sockets.served();
    let with_peer = sockets.open.iter().filter_map(|socket| {
        Some(Connection { protocol: socket.protocol, remote: socket.remote?, local: socket.local })
    });
    // What came in at a port that is listened on was not opened from here.
    let mut found: HashSet<_> =
        with_peer.filter(|open| !served.contains(&(open.protocol, open.local.port()))).collect();
    // The answering direction of a tracked connection is what comes in for one that was opened from here. For one that was opened to here
    // it is what goes out, which matches nothing that ever comes in: a flood's worth of those would push out what was opened from here.
    let is_inward = inward()?;
    let outward = tracked().into_iter().filter(|tracked| !is_inward(tracked));
    found.extend(outward.map(|tracked| tracked.answers));
    found.extend(wireguard::devices().iter().flat_map(wireguard::Device::conversations));
    found.retain(|open| !open.remote.ip().is_loopback());
    Ok(found)
}

/// The ports of UDP sockets without a peer whose conversations are all known, and were opened from here: those that [`outward`] has.
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

/// What tells the connections that were opened to here, or to many, from those that were opened from here.
fn inward() -> Result<impl Fn(&TrackedConnection) -> bool> {
    let here = own_addresses()?;
    Ok(move |tracked: &TrackedConnection| {
        let to = tracked.target.ip();
        to.is_multicast() || here.contains(&to)
    })
}

/// The addresses of this host's interfaces, and those by which they are one of many.
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
