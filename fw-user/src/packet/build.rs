//! Builds an inbound packet: the first one of a connection, a datagram, or one of a protocol without ports.

use std::net::{IpAddr, SocketAddr};

use etherparse::{IpNumber, PacketBuilder};
use fw_common::{PortProtocol, protocol::number};

/// The default source port of a packet: one that clients use.
pub(crate) const EPHEMERAL: u16 = 40_000;
/// Locally administered addresses (IEEE 802, 8.2): the verdict does not depend on them.
const SENDER: [u8; 6] = [2, 0, 0, 0, 0, 1];
const RECEIVER: [u8; 6] = [2, 0, 0, 0, 0, 2];
/// The remaining hops of the packet.
const TTL: u8 = 64;
/// The length of the longest header of the other transports: DCCP's with long sequence numbers (RFC 4340, 5.1).
const TRANSPORT: usize = 16;

/// The destination of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PacketTarget {
    /// A port: the first packet to it.
    Port(PortProtocol, u16),
    /// An IP protocol without ports, by number.
    Protocol(u8),
}

/// The frame of a packet. Sender and receiver have the same address family.
#[must_use]
pub(crate) fn frame(target: PacketTarget, from: SocketAddr, to: IpAddr) -> Vec<u8> {
    let ethernet = PacketBuilder::ethernet2(SENDER, RECEIVER);
    let ip = match (from.ip(), to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => ethernet.ipv4(from.octets(), to.octets(), TTL),
        (from, to) => ethernet.ipv6(as_v6(from), as_v6(to), TTL),
    };
    let mut frame = Vec::new();
    let written = match target {
        PacketTarget::Port(PortProtocol::Tcp, port) => {
            ip.tcp(from.port(), port, 1, 64_240).syn().write(&mut frame, &[])
        }
        PacketTarget::Port(PortProtocol::Udp, port) => ip.udp(from.port(), port).write(&mut frame, &[]),
        PacketTarget::Port(protocol, port) => {
            // All of them start with the ports, and nothing else of them is read.
            let mut header = [0; TRANSPORT];
            header[..2].copy_from_slice(&from.port().to_be_bytes());
            header[2..4].copy_from_slice(&port.to_be_bytes());
            ip.write(&mut frame, IpNumber(protocol.number()), &header)
        }
        PacketTarget::Protocol(number::ICMP) if to.is_ipv4() => ip.icmpv4_echo_request(1, 1).write(&mut frame, &[]),
        PacketTarget::Protocol(number::ICMPV6) if to.is_ipv6() => ip.icmpv6_echo_request(1, 1).write(&mut frame, &[]),
        PacketTarget::Protocol(protocol) => ip.write(&mut frame, IpNumber(protocol), &[0; TRANSPORT]),
    };
    match written {
        Ok(()) => frame,
        Err(error) => unreachable!("memory takes a packet of a few headers that fit each other: {error}"),
    }
}

fn as_v6(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}
