//! What this host and its containers have open outward, asked of the kernel's sockets (`sock_diag(7)`) and of connection tracking.

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
    conntrack::{ConntrackAttribute, ConntrackMessage, IPTuple, ProtoTuple, Protocol, Tuple},
};
use netlink_packet_sock_diag::{
    SockDiagMessage,
    constants::{AF_INET, AF_INET6, IPPROTO_TCP, IPPROTO_UDP, TCP_LISTEN},
    inet::{ExtensionFlags, InetRequest, SocketId, StateFlags},
};
use netlink_sys::{
    Socket,
    protocols::{NETLINK_NETFILTER, NETLINK_SOCK_DIAG},
};
use nix::errno::Errno;

use crate::{Error, Result};

/// The kernel answers a dump in pieces of 32 KiB at most (`netlink_dump`).
const ANSWER: usize = 64 * 1024;

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

/// What is open outward now. Connection tracking is asked where the kernel has it; without it there is no masquerading either.
///
/// # Errors
/// [`Error::Kernel`].
pub fn outward() -> Result<HashSet<Connection>> {
    let mut found = HashSet::new();
    let mut served = HashSet::new();
    for (family, id) in [(AF_INET, SocketId::new_v4()), (AF_INET6, SocketId::new_v6())] {
        for (number, protocol) in [(IPPROTO_TCP, PortProtocol::Tcp), (IPPROTO_UDP, PortProtocol::Udp)] {
            let request = SockDiagMessage::InetRequest(InetRequest {
                family,
                protocol: number,
                extensions: ExtensionFlags::empty(),
                states: StateFlags::all(),
                socket_id: id.clone(),
            });
            let answer = match dump(NETLINK_SOCK_DIAG, request) {
                // Many small kernels are built without `INET_UDP_DIAG`, some without any of it; connection tracking may know the same.
                Err(error) if is_absent(&error) => Vec::new(),
                answer => answer.map_err(|error| Error::kernel("asking for the open sockets", error))?,
            };
            for message in answer {
                let SockDiagMessage::InetResponse(socket) = message else { continue };
                let id = socket.header.socket_id;
                if socket.header.state == TCP_LISTEN {
                    served.insert((protocol, id.source_port));
                } else if !id.destination_address.is_unspecified() {
                    found.insert(Connection {
                        protocol,
                        remote: SocketAddr::new(id.destination_address.to_canonical(), id.destination_port),
                        local: SocketAddr::new(id.source_address.to_canonical(), id.source_port),
                    });
                }
            }
        }
    }
    // What came in at a port that is listened on was not opened from here.
    found.retain(|open| !served.contains(&(open.protocol, open.local.port())));
    for family in [NetfilterProtoFamily::IPv4, NetfilterProtoFamily::IPv6] {
        let request = NetfilterMessage::new(NetfilterHeader::new(family, 0, 0), ConntrackMessage::Get(vec![]));
        // A kernel without connection tracking, or without its netlink side, refuses.
        found.extend(dump(NETLINK_NETFILTER, request).unwrap_or_default().iter().filter_map(tracked));
    }
    found.retain(|open| !open.remote.ip().is_loopback());
    Ok(found)
}

/// The answering direction of a tracked connection is what comes in for one that was opened from here. For one that was opened from
/// outside it is what goes out, which matches nothing that ever comes in.
fn tracked(message: &NetfilterMessage) -> Option<Connection> {
    let NetfilterMessageInner::Conntrack(ConntrackMessage::New(attributes)) = &message.inner else { return None };
    let tuple = attributes.iter().find_map(|attribute| match attribute {
        ConntrackAttribute::CtaTupleReply(tuple) => Some(tuple),
        _ => None,
    })?;
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
    Some(Connection {
        protocol: protocol?,
        remote: SocketAddr::new(source?, source_port?),
        local: SocketAddr::new(destination?, destination_port?),
    })
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
