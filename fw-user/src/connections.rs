//! What this host and its containers have open, asked of the kernel's sockets (`sock_diag(7)`) and of connection tracking.

use std::{
    collections::HashSet,
    io,
    net::{IpAddr, SocketAddr},
};

use fw_common::PortProtocol;
use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_REQUEST, NetlinkDeserializable, NetlinkHeader, NetlinkMessage, NetlinkPayload,
    NetlinkSerializable,
};
use netlink_packet_netfilter::{
    NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily,
    conntrack::{ConntrackAttribute, ConntrackMessage, IPTuple, ProtoInfo, ProtoInfoTCP, ProtoTuple, Protocol, Tuple},
};
use netlink_packet_sock_diag::{
    SockDiagMessage,
    constants::{AF_INET, AF_INET6, TCP_ESTABLISHED, TCP_LISTEN},
    inet::{ExtensionFlags, InetRequest, SocketId, StateFlags, nlas::Nla},
};
use netlink_sys::{
    Socket,
    protocols::{NETLINK_NETFILTER, NETLINK_SOCK_DIAG},
};
use nix::errno::Errno;

use crate::{Error, Result};

/// The kernel answers a dump in pieces of 32 KiB at most (`netlink_dump`).
const ANSWER: usize = 64 * 1024;

/// The transports of nearly everything.
pub const COMMON: [PortProtocol; 2] = [PortProtocol::Tcp, PortProtocol::Udp];

/// Something that was opened from here, as its answers have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Connection {
    /// The transport.
    pub protocol: PortProtocol,
    /// Who answers.
    pub remote: SocketAddr,
    /// Where the answers come to, as the wire has it: after masquerading.
    pub local: SocketAddr,
}

/// What a socket does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// It waits for connections.
    Listens,
    /// It has a peer, and the connection stands.
    Stands,
    /// A connection that begins or ends, or a socket without a peer.
    Other,
}

/// A socket of this network namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenSocket {
    /// The transport.
    pub protocol: PortProtocol,
    /// What it does.
    pub activity: Activity,
    /// Its own end. An IPv4 address is one, also where the socket is of IPv6.
    pub local: SocketAddr,
    /// The other end, unless it has none.
    pub remote: Option<SocketAddr>,
    /// Whether it leaves IPv4 to others. Of a socket of IPv6 without an address of its own, that is known where it listens or has no peer.
    pub only_ipv6: bool,
    /// The index of the only interface that it uses; 0 where it uses any.
    pub device: u32,
    /// By which `/proc/PID/fd` knows it; 0 where no process has it (any more).
    pub inode: u64,
}

/// The sockets of this network namespace, as far as the kernel lists them.
#[derive(Clone, Debug, Default)]
pub struct Sockets {
    /// Of IPv4 and IPv6.
    pub open: Vec<OpenSocket>,
    /// The transports that were asked for, and that this kernel was not built to list.
    pub unlisted: Vec<PortProtocol>,
}

impl Sockets {
    /// Ask the kernel for those of some transports. Many small ones are built without `INET_UDP_DIAG`, some without any of it.
    ///
    /// # Errors
    /// [`Error::Kernel`].
    pub fn ask(protocols: &[PortProtocol]) -> Result<Self> {
        let mut sockets = Self::default();
        for (family, id) in [(AF_INET, SocketId::new_v4()), (AF_INET6, SocketId::new_v6())] {
            for &protocol in protocols {
                let request = SockDiagMessage::InetRequest(InetRequest {
                    family,
                    protocol: protocol.number(),
                    extensions: ExtensionFlags::empty(),
                    states: StateFlags::all(),
                    socket_id: id.clone(),
                });
                match dump(NETLINK_SOCK_DIAG, request) {
                    Ok(answer) => sockets.open.extend(answer.iter().filter_map(|message| socket(protocol, message))),
                    // IPv6 may be missing on its own, with all its sockets.
                    Err(error) if is_absent(&error) => {
                        sockets.unlisted.extend((family == AF_INET).then_some(protocol));
                    }
                    Err(error) => return Err(Error::kernel("asking for the open sockets", error)),
                }
            }
        }
        Ok(sockets)
    }

    /// Whether the kernel could list TCP's.
    #[must_use]
    pub fn knows_tcp(&self) -> bool {
        !self.unlisted.contains(&PortProtocol::Tcp)
    }

    /// The ports at which connections are waited for.
    #[must_use]
    pub fn served(&self) -> HashSet<(PortProtocol, u16)> {
        let listeners = self.open.iter().filter(|socket| socket.activity == Activity::Listens);
        listeners.map(|socket| (socket.protocol, socket.local.port())).collect()
    }
}

fn socket(protocol: PortProtocol, message: &SockDiagMessage) -> Option<OpenSocket> {
    let SockDiagMessage::InetResponse(socket) = message else { return None };
    let id = &socket.header.socket_id;
    let remote = SocketAddr::new(id.destination_address.to_canonical(), id.destination_port);
    Some(OpenSocket {
        protocol,
        activity: match socket.header.state {
            TCP_LISTEN => Activity::Listens,
            TCP_ESTABLISHED => Activity::Stands,
            _ => Activity::Other,
        },
        local: SocketAddr::new(id.source_address.to_canonical(), id.source_port),
        remote: Some(remote).filter(|remote| !remote.ip().is_unspecified()),
        only_ipv6: socket.nlas.contains(&Nla::SkV6Only(true)),
        device: id.interface_id,
        inode: socket.header.inode.into(),
    })
}

/// What connection tracking knows of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrackedConnection {
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
pub fn tracked() -> Vec<TrackedConnection> {
    let mut found = Vec::new();
    for family in [NetfilterProtoFamily::IPv4, NetfilterProtoFamily::IPv6] {
        let request = NetfilterMessage::new(NetfilterHeader::new(family, 0, 0), ConntrackMessage::Get(vec![]));
        found.extend(dump(NETLINK_NETFILTER, request).unwrap_or_default().iter().filter_map(track));
    }
    found
}

/// What is open outward now.
///
/// # Errors
/// [`Error::Kernel`].
pub fn outward() -> Result<HashSet<Connection>> {
    let sockets = Sockets::ask(&COMMON)?;
    let served = sockets.served();
    let with_peer = sockets.open.iter().filter_map(|socket| {
        Some(Connection { protocol: socket.protocol, remote: socket.remote?, local: socket.local })
    });
    // What came in at a port that is listened on was not opened from here.
    let mut found: HashSet<_> =
        with_peer.filter(|open| !served.contains(&(open.protocol, open.local.port()))).collect();
    // The answering direction of a tracked connection is what comes in for one that was opened from here. For one that was opened from
    // outside it is what goes out, which matches nothing that ever comes in.
    found.extend(tracked().iter().map(|tracked| tracked.answers));
    found.retain(|open| !open.remote.ip().is_loopback());
    Ok(found)
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

/// The kernel lacks the answering side, built in or as a module.
fn is_absent(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(errno, Some(Errno::ENOENT | Errno::EPROTONOSUPPORT | Errno::EOPNOTSUPP))
}

/// Ask for everything of a kind, and read until the kernel says that this was all.
fn dump<T>(family: isize, question: T) -> io::Result<Vec<T>>
where
    T: NetlinkSerializable + NetlinkDeserializable + Into<NetlinkPayload<T>>,
{
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let mut request = NetlinkMessage::new(header, question.into());
    request.finalize();
    let mut bytes = vec![0; request.buffer_len()];
    request.serialize(&mut bytes);

    let mut socket = Socket::new(family)?;
    socket.bind_auto()?;
    socket.connect(&netlink_sys::SocketAddr::new(0, 0))?;
    socket.send(&bytes, 0)?;

    let mut found = Vec::new();
    let mut piece = Vec::with_capacity(ANSWER);
    loop {
        piece.clear();
        socket.recv(&mut piece, 0)?;
        let mut rest = piece.as_slice();
        while !rest.is_empty() {
            let message = NetlinkMessage::<T>::deserialize(rest).map_err(io::Error::other)?;
            match message.payload {
                NetlinkPayload::InnerMessage(answer) => found.push(answer),
                NetlinkPayload::Done(_) => return Ok(found),
                NetlinkPayload::Error(error) => return Err(error.to_io()),
                _ => {}
            }
            // Messages are padded to four bytes (`NLMSG_ALIGN`), the last one may not be.
            let len = (message.header.length as usize).next_multiple_of(4);
            rest = rest.get(len..).unwrap_or_default();
        }
    }
}
