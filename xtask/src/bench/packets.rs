//! The packets that are judged.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Context as _, Result};
use etherparse::{PacketBuilder, PacketBuilderStep, TcpHeader, UdpHeader};
use fw_common::Verdict;

/// The host that is filtered.
pub(super) const HOST4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
pub(super) const HOST6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
const PEER4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
const PEER6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);

/// The TCP port that is allowed.
pub(super) const ALLOWED: u16 = 80;
const CLOSED: u16 = 9125;
/// Whence the peer sends, and the host when it asks something of the peer.
const EPHEMERAL: u16 = 40_000;

/// What issue 2 asks of a packet's cost, as a part of xdp-filter's for the same packet.
#[derive(Clone, Copy)]
pub(super) enum Goal {
    None,
    AtMost(f64),
}

/// A packet, and what becomes of it.
pub(super) struct Packet {
    pub(super) name: &'static str,
    pub(super) frame: Vec<u8>,
    pub(super) verdict: Verdict,
    /// xdp-filter knows no replies: it drops them.
    pub(super) xdp_filter: Verdict,
    /// What left before, to which this is a reply.
    pub(super) request: Option<Vec<u8>>,
    pub(super) goal: Goal,
}

/// All packets, IPv4 first.
pub(super) fn all() -> Result<Vec<Packet>> {
    let v4 = Pair { peer: PEER4.into(), host: HOST4.into() };
    let v6 = Pair { peer: PEER6.into(), host: HOST6.into() };
    let dropped = |name, frame, goal| Packet {
        name,
        frame,
        verdict: Verdict::Drop,
        xdp_filter: Verdict::Drop,
        request: None,
        goal,
    };
    let allowed = |name, frame| Packet {
        name,
        frame,
        verdict: Verdict::Pass,
        xdp_filter: Verdict::Pass,
        request: None,
        goal: Goal::None,
    };
    let reply = |name, frame, request| Packet {
        name,
        frame,
        verdict: Verdict::Pass,
        xdp_filter: Verdict::Drop,
        request: Some(request),
        goal: Goal::AtMost(1.0),
    };
    let third = Goal::AtMost(1.0 / 3.0);
    Ok(vec![
        dropped("closed TCP port, SYN, IPv4", v4.incoming().tcp_syn(EPHEMERAL, CLOSED)?, third),
        dropped("closed TCP port, SYN, IPv6", v6.incoming().tcp_syn(EPHEMERAL, CLOSED)?, third),
        dropped("closed UDP port, IPv4", v4.incoming().udp(EPHEMERAL, CLOSED)?, Goal::None),
        dropped("closed UDP port, IPv6", v6.incoming().udp(EPHEMERAL, CLOSED)?, Goal::None),
        allowed("allowed TCP port, SYN, IPv4", v4.incoming().tcp_syn(EPHEMERAL, ALLOWED)?),
        allowed("allowed TCP port, SYN, IPv6", v6.incoming().tcp_syn(EPHEMERAL, ALLOWED)?),
        reply("TCP reply, IPv4", v4.incoming().tcp_ack(443, EPHEMERAL)?, v4.outgoing().tcp_syn(EPHEMERAL, 443)?),
        reply("TCP reply, IPv6", v6.incoming().tcp_ack(443, EPHEMERAL)?, v6.outgoing().tcp_syn(EPHEMERAL, 443)?),
        reply("UDP reply, IPv4", v4.incoming().udp(53, EPHEMERAL)?, v4.outgoing().udp(EPHEMERAL, 53)?),
        reply("UDP reply, IPv6", v6.incoming().udp(53, EPHEMERAL)?, v6.outgoing().udp(EPHEMERAL, 53)?),
    ])
}

/// Two machines on one link.
#[derive(Clone, Copy)]
struct Pair {
    peer: IpAddr,
    host: IpAddr,
}

impl Pair {
    fn incoming(self) -> Way {
        Way { source: self.peer, destination: self.host }
    }

    fn outgoing(self) -> Way {
        Way { source: self.host, destination: self.peer }
    }
}

struct Way {
    source: IpAddr,
    destination: IpAddr,
}

impl Way {
    fn ip(&self) -> Result<PacketBuilderStep<etherparse::IpHeaders>> {
        const TTL: u8 = 64;
        let link = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 2], [2, 0, 0, 0, 0, 1]);
        match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => Ok(link.ipv4(source.octets(), destination.octets(), TTL)),
            (IpAddr::V6(source), IpAddr::V6(destination)) => Ok(link.ipv6(source.octets(), destination.octets(), TTL)),
            _ => anyhow::bail!("a packet has addresses of one family"),
        }
    }

    fn tcp_syn(&self, source: u16, destination: u16) -> Result<Vec<u8>> {
        tcp(self.ip()?.tcp(source, destination, 1, 65_535).syn())
    }

    fn tcp_ack(&self, source: u16, destination: u16) -> Result<Vec<u8>> {
        tcp(self.ip()?.tcp(source, destination, 1, 65_535).ack(2))
    }

    fn udp(&self, source: u16, destination: u16) -> Result<Vec<u8>> {
        let step: PacketBuilderStep<UdpHeader> = self.ip()?.udp(source, destination);
        let mut frame = Vec::new();
        step.write(&mut frame, b"fw").context("cannot write a UDP datagram")?;
        Ok(frame)
    }
}

fn tcp(step: PacketBuilderStep<TcpHeader>) -> Result<Vec<u8>> {
    let mut frame = Vec::new();
    step.write(&mut frame, &[]).context("cannot write a TCP segment")?;
    Ok(frame)
}
