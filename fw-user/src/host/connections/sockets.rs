//! The sockets of this network namespace, from `sock_diag(7)`, or from `/proc/net` if the kernel was built without it.

use std::{collections::HashSet, io, net::SocketAddr};

use fw_common::PortProtocol;
use netlink_packet_sock_diag::{
    SockDiagMessage,
    constants::{AF_INET, AF_INET6, TCP_ESTABLISHED, TCP_LISTEN},
    inet::{ExtensionFlags, InetRequest, SocketId, StateFlags, nlas::Nla},
};
use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use nix::errno::Errno;
use procfs::{
    ProcError, ProcResult,
    net::{self, TcpNetEntry, TcpState, UdpNetEntry, UdpState},
};

use crate::{
    error::{Error, Result},
    host::netlink,
};

/// The transports of nearly all traffic.
pub(crate) const COMMON: [PortProtocol; 2] = [PortProtocol::Tcp, PortProtocol::Udp];

/// The state of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Activity {
    /// It waits for connections.
    Listens,
    /// It has a peer, and the connection is established.
    Stands,
    /// A connection that begins or ends, or a socket without a peer.
    Other,
}

/// A socket of this network namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OpenSocket {
    /// The transport.
    pub protocol: PortProtocol,
    /// Its state.
    pub activity: Activity,
    /// Its local address. An IPv4 address is IPv4 even if the socket is IPv6.
    pub local: SocketAddr,
    /// The address of its peer, if it has one.
    pub remote: Option<SocketAddr>,
    /// Whether its address is `::` and it excludes IPv4.
    pub only_ipv6: bool,
    /// The index of the only interface that it uses; 0 for any.
    pub device: u32,
    /// Its inode in `/proc/PID/fd`; 0 if no process has it (any more).
    pub inode: u64,
}

/// The sockets of this network namespace, as far as the kernel lists them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sockets {
    /// Of IPv4 and IPv6.
    pub open: Vec<OpenSocket>,
    /// The requested transports that this kernel cannot list in any way.
    pub unlisted: Vec<PortProtocol>,
}

impl Sockets {
    /// Ask the kernel for the sockets of some transports. Many small kernels lack `INET_UDP_DIAG`, some lack all of it. For TCP and UDP `/proc/net`
    /// contains the same, except the interface that a socket is bound to and whether it excludes IPv4.
    pub(crate) fn ask(protocols: &[PortProtocol]) -> Result<Self> {
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
                match netlink::dump(NETLINK_SOCK_DIAG, request) {
                    Ok(answer) => sockets.open.extend(answer.iter().filter_map(|message| socket(protocol, message))),
                    Err(error) if is_absent(&error) => match of_proc(protocol, family == AF_INET6) {
                        Some(Ok(open)) => sockets.open.extend(open),
                        Some(Err(error)) if !matches!(error, ProcError::NotFound(_)) => {
                            return Err(Error::refused("reading the open sockets", error));
                        }
                        // IPv6 alone may be missing, with all its sockets.
                        _ => sockets.unlisted.extend((family == AF_INET).then_some(protocol)),
                    },
                    Err(error) => return Err(Error::refused("asking for the open sockets", error)),
                }
            }
        }
        Ok(sockets)
    }

    /// Whether the kernel could list TCP's.
    #[must_use]
    pub(crate) fn knows_tcp(&self) -> bool {
        !self.unlisted.contains(&PortProtocol::Tcp)
    }

    /// The listening ports.
    #[must_use]
    pub(crate) fn served(&self) -> HashSet<(PortProtocol, u16)> {
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
        only_ipv6: id.source_address.is_unspecified() && socket.nlas.contains(&Nla::SkV6Only(true)),
        device: id.interface_id,
        inode: socket.header.inode.into(),
    })
}

/// The kernel lacks this feature, built in or as a module.
fn is_absent(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(errno, Some(Errno::ENOENT | Errno::EPROTONOSUPPORT | Errno::EOPNOTSUPP))
}

/// The sockets of a transport in `/proc/net`, which lists only TCP and UDP.
fn of_proc(protocol: PortProtocol, ipv6: bool) -> Option<ProcResult<Vec<OpenSocket>>> {
    let tcp = |entry: TcpNetEntry| {
        let activity = match entry.state {
            TcpState::Listen => Activity::Listens,
            TcpState::Established => Activity::Stands,
            _ => Activity::Other,
        };
        proc_entry(PortProtocol::Tcp, activity, entry.local_address, entry.remote_address, entry.inode)
    };
    let udp = |entry: UdpNetEntry| {
        let activity = if entry.state == UdpState::Established { Activity::Stands } else { Activity::Other };
        proc_entry(PortProtocol::Udp, activity, entry.local_address, entry.remote_address, entry.inode)
    };
    match protocol {
        PortProtocol::Tcp => {
            let entries = if ipv6 { net::tcp6() } else { net::tcp() };
            Some(entries.map(|entries| entries.into_iter().map(tcp).collect()))
        }
        PortProtocol::Udp => {
            let entries = if ipv6 { net::udp6() } else { net::udp() };
            Some(entries.map(|entries| entries.into_iter().map(udp).collect()))
        }
        PortProtocol::Sctp | PortProtocol::Dccp | PortProtocol::UdpLite => None,
    }
}

fn proc_entry(
    protocol: PortProtocol,
    activity: Activity,
    local: SocketAddr,
    remote: SocketAddr,
    inode: u64,
) -> OpenSocket {
    let end = |end: SocketAddr| SocketAddr::new(end.ip().to_canonical(), end.port());
    OpenSocket {
        protocol,
        activity,
        local: end(local),
        remote: Some(end(remote)).filter(|remote| !remote.ip().is_unspecified()),
        only_ipv6: false,
        device: 0,
        inode,
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeSet,
        net::{Ipv4Addr, Ipv6Addr, TcpListener, TcpStream, UdpSocket},
        os::fd::AsRawFd,
    };

    use super::*;

    fn inode(socket: &impl AsRawFd) -> u64 {
        let link = std::fs::read_link(format!("/proc/self/fd/{}", socket.as_raw_fd())).expect("an open file");
        let text = link.to_str().expect("UTF-8").to_owned();
        text.trim_start_matches("socket:[").trim_end_matches(']').parse().expect("a socket")
    }

    /// Both ways report the same for sockets that only this test has.
    #[test]
    fn proc_tells_what_sock_diag_tells() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a listener");
        let mapped = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)).expect("a listener of both families");
        let port = mapped.local_addr().expect("it is bound").port();
        let client = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("it listens");
        let (served, _) = mapped.accept().expect("the client");
        let open = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).expect("a socket");
        let connected = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
        connected.connect((Ipv4Addr::LOCALHOST, 9)).expect("an address");
        let own = BTreeSet::from([
            inode(&listener),
            inode(&mapped),
            inode(&client),
            inode(&served),
            inode(&open),
            inode(&connected),
        ]);
        let sorted = |mut sockets: Vec<OpenSocket>| {
            sockets.retain(|socket| own.contains(&socket.inode));
            sockets.sort_by_key(|socket| socket.inode);
            sockets
        };
        let asked = sorted(Sockets::ask(&COMMON).expect("this kernel has sock_diag").open);
        let read = COMMON.iter().flat_map(|&protocol| [(protocol, false), (protocol, true)]);
        let read = read.flat_map(|(protocol, ipv6)| of_proc(protocol, ipv6).expect("TCP or UDP").expect("/proc/net"));
        assert_eq!(asked.len(), own.len());
        assert_eq!(sorted(read.collect()), asked);
    }
}
