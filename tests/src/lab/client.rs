//! Clients: whole exchanges that must succeed, and single attempts that may lead nowhere.

use std::{
    io::{ErrorKind, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpStream, UdpSocket},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use socket2::{Domain, Protocol, Socket, Type};

use super::{
    namespace::Namespace,
    wait::{self, PATIENCE},
};

/// The message to echo servers.
pub const WORDS: &[u8] = b"to the echo server and back";

/// The address that stands for every address of this host, in the family of `address`.
#[must_use]
pub fn unspecified(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}

impl Namespace {
    /// Open a TCP connection, from `source_port` or any where it is 0.
    ///
    /// # Errors
    /// Refused, or no answer.
    pub fn connect_tcp_from(&self, source_port: u16, to: SocketAddr) -> Result<TcpStream> {
        self.enter(|| {
            let socket = stream(source_port, to)?;
            socket.connect_timeout(&to.into(), PATIENCE)?;
            let stream = TcpStream::from(socket);
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            anyhow::Ok(stream)
        })
        .with_context(|| format!("no TCP connection from port {source_port} to {to}"))
    }

    /// Open a TCP connection.
    ///
    /// # Errors
    /// As [`Namespace::connect_tcp_from`].
    pub fn connect_tcp(&self, to: SocketAddr) -> Result<TcpStream> {
        self.connect_tcp_from(0, to)
    }

    /// Open a TCP connection, and send words that must come back.
    ///
    /// # Errors
    /// No connection, or other words.
    pub fn echo_tcp(&self, to: SocketAddr) -> Result<()> {
        let mut stream = self.connect_tcp(to)?;
        echo(&mut stream).with_context(|| format!("no echo from {to} over TCP"))?;
        // A child that another test starts holds a copy until it becomes its own program: to close this one alone would end nothing.
        Ok(stream.shutdown(Shutdown::Both)?)
    }

    /// Send the first SYN of a connection and do not wait for an answer. The kernel repeats it after a second, as long as the
    /// socket that is returned lives.
    ///
    /// # Errors
    /// The SYN could not be sent.
    pub fn try_tcp(&self, to: SocketAddr) -> Result<Socket> {
        self.enter(|| {
            let socket = stream(0, to)?;
            socket.set_nonblocking(true)?;
            match socket.connect(&to.into()) {
                Err(error) if error.raw_os_error() != Some(nix::libc::EINPROGRESS) => Err(error.into()),
                _ => Ok(socket),
            }
        })
    }

    /// A UDP socket on a port, or any where it is 0, in the family of `peer`.
    ///
    /// # Errors
    /// The port is taken.
    pub fn udp_socket(&self, port: u16, peer: IpAddr) -> Result<UdpSocket> {
        let address = (unspecified(peer), port);
        let socket = self.enter(|| wait::bind(format!("UDP port {port}"), || UdpSocket::bind(address)))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(socket)
    }

    /// Send a datagram from `source_port`, or any where it is 0, and wait until it comes back from where it went.
    ///
    /// # Errors
    /// No answer, or another one.
    pub fn echo_udp_from(&self, source_port: u16, to: SocketAddr) -> Result<()> {
        let socket = self.udp_socket(source_port, to.ip())?;
        socket.send_to(WORDS, to).with_context(|| format!("cannot send to {to}"))?;
        let mut buffer = [0; WORDS.len() + 1];
        let (length, from) = wait::uninterrupted(|| socket.recv_from(&mut buffer))
            .with_context(|| format!("no answer from {to} to UDP port {source_port}"))?;
        ensure!(from == to && &buffer[..length] == WORDS, "{from} answered {:?} for {to}", &buffer[..length]);
        Ok(())
    }

    /// The same from any port.
    ///
    /// # Errors
    /// As [`Namespace::echo_udp_from`].
    pub fn echo_udp(&self, to: SocketAddr) -> Result<()> {
        self.echo_udp_from(0, to)
    }

    /// Send one datagram from `source_port`, or any where it is 0, and forget it.
    ///
    /// # Errors
    /// It could not be sent.
    pub fn send_udp_from(&self, source_port: u16, to: SocketAddr, payload: &[u8]) -> Result<()> {
        let sent = self.udp_socket(source_port, to.ip())?.send_to(payload, to)?;
        ensure!(sent == payload.len());
        Ok(())
    }

    /// Ping an address: one echo request that must be answered.
    ///
    /// # Errors
    /// No answer.
    pub fn ping(&self, to: IpAddr) -> Result<()> {
        let socket = self.send_ping(to)?;
        // Type echo reply.
        let reply = if to.is_ipv4() { 0 } else { 129 };
        let mut answer = [0; 64];
        let length = wait::uninterrupted(|| (&socket).read(&mut answer))
            .with_context(|| format!("{to} does not answer a ping"))?;
        ensure!(length == 10 && answer[0] == reply, "{to} answered a ping with {:?}", &answer[..length]);
        Ok(())
    }

    /// Send an echo request, and leave its answer to the socket.
    ///
    /// # Errors
    /// It cannot be sent.
    pub fn send_ping(&self, to: IpAddr) -> Result<Socket> {
        // Type echo request, code 0; the kernel fills in checksum and identifier of an ICMP datagram socket.
        let (domain, protocol, request) = match to {
            IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4, 8),
            IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6, 128),
        };
        let socket = self.enter(|| Socket::new(domain, Type::DGRAM, Some(protocol)))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.send_to(&[request, 0, 0, 0, 0, 0, 0, 1, b'f', b'w'], &SocketAddr::new(to, 0).into())?;
        Ok(socket)
    }
}

/// Send words over an open connection that must come back.
///
/// # Errors
/// The connection broke, or other words came.
pub fn echo(stream: &mut TcpStream) -> Result<()> {
    stream.write_all(WORDS)?;
    let mut buffer = [0; WORDS.len()];
    stream.read_exact(&mut buffer)?;
    ensure!(buffer == WORDS, "{buffer:?} came back");
    Ok(())
}

/// Whether a datagram comes within `patience`, for answers that may fail to come.
///
/// # Errors
/// The socket failed.
pub fn receives(socket: &UdpSocket, patience: Duration) -> Result<bool> {
    socket.set_read_timeout(Some(patience))?;
    match wait::uninterrupted(|| socket.recv(&mut [0; 2048])) {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn stream(source_port: u16, to: SocketAddr) -> std::io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
    // A port that a connection of a moment ago still holds in TIME_WAIT is as good as a fresh one.
    socket.set_reuse_address(true)?;
    socket.bind(&SocketAddr::new(unspecified(to.ip()), source_port).into())?;
    Ok(socket)
}
