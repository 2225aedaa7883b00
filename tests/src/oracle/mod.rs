//! A second opinion on every packet: whether it may pass, by another reading than the one under test.
//!
//! `reading` takes a frame apart with etherparse's headers, and [`Situation::verdict`] judges what was read by the policy as people write
//! it and by a plain list of what was sent. Neither uses anything of fw-common's parser, tables or decision.

mod reading;
mod situation;

pub use self::{
    reading::{Packet, Parsed, Piece, read},
    situation::{Conversation, Situation},
};

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use fw_common::{PortProtocol, Verdict, forward::Forward};

use crate::world::leads_elsewhere;

const ICMP: u8 = 1;
const IGMP: u8 = 2;
const TCP: u8 = 6;
const ICMPV6: u8 = 58;

impl Situation {
    /// The expected verdict on an inbound frame.
    #[must_use]
    pub fn verdict(&self, frame: &[u8]) -> Verdict {
        let passes = match read(frame) {
            Parsed::NotIp => true,
            Parsed::Unreadable => false,
            Parsed::Ip(packet) => self.lets_in(&packet),
        };
        if passes { Verdict::Pass } else { Verdict::Drop }
    }

    fn lets_in(&self, packet: &Packet<'_>) -> bool {
        if packet.is_source_routed || is_martian(packet) {
            return false;
        }
        let ports = port_protocol(packet.protocol);
        match (packet.piece, ports) {
            // A datagram needs its first fragment, which is judged. No later fragment may overwrite TCP's flags.
            (Piece::Later { at_byte }, _) => match packet.source {
                IpAddr::V4(_) => {
                    !(packet.protocol == TCP && at_byte == 8)
                        && (ports.is_some()
                            || is_control(packet)
                            || self.policy.protocols.contains(&packet.protocol)
                            || self.is_routed_to_network(packet))
                }
                IpAddr::V6(_) => true,
            },
            (_, Some(protocol)) => self.lets_in_ports(packet, protocol),
            (_, None) => {
                is_control(packet)
                    || self.policy.protocols.contains(&packet.protocol) && !self.is_forbidden(packet)
                    || self.is_routed_to_network(packet)
            }
        }
    }

    fn lets_in_ports(&self, packet: &Packet<'_>, protocol: PortProtocol) -> bool {
        let Some([source_port, port]) = packet.ports() else { return false };
        let is_udp = protocol == PortProtocol::Udp;
        if is_this_network(packet.source)
            && !(is_udp && packet.source == Ipv4Addr::UNSPECIFIED && (source_port, port) == (68, 67))
        {
            return false;
        }
        if port == 0 {
            return self.is_routed_to_network(packet);
        }
        let is_open = self.policy.is_open_to(protocol, port, packet.source);
        is_open && !self.is_forbidden(packet)
            || self.is_routed_to_network(packet)
            || !packet.opens_connection()
                && self.sent.iter().any(|sent| self.answers(sent, packet, protocol, [source_port, port]))
            || is_udp && is_dhcp_answer(packet.source, [source_port, port])
    }

    /// Whether a packet is the exact reverse of what was sent or, where that went to many, comes to the port that asked from the port
    /// that was asked.
    fn answers(&self, sent: &Conversation, packet: &Packet<'_>, protocol: PortProtocol, ports: [u16; 2]) -> bool {
        let remote = sent.remote();
        // An answer that is let in anyway needs no note of the request.
        let is_noted = match protocol {
            PortProtocol::Tcp => sent.opens && !sent.goes_to_many(),
            _ => !self.policy.is_open_to(protocol, sent.local_port, remote),
        };
        is_noted
            && sent.protocol == protocol
            && sent.local() == packet.destination
            && [sent.remote_port, sent.local_port] == ports
            && (sent.goes_to_many() || remote == packet.source)
    }

    /// Whether it is routed on to where no rule lets it.
    fn is_forbidden(&self, packet: &Packet<'_>) -> bool {
        self.policy.forward != Forward::Pass && self.is_routed_on(packet) && !self.is_for_network(packet)
    }

    fn is_routed_to_network(&self, packet: &Packet<'_>) -> bool {
        self.is_for_network(packet) && self.is_routed_on(packet)
    }

    fn is_for_network(&self, packet: &Packet<'_>) -> bool {
        self.policy.forward.networks().iter().any(|network| network.contains(&packet.destination))
    }

    fn is_routed_on(&self, packet: &Packet<'_>) -> bool {
        self.is_router && leads_elsewhere(packet.tags, packet.source, packet.destination)
    }
}

fn port_protocol(number: u8) -> Option<PortProtocol> {
    match number {
        TCP => Some(PortProtocol::Tcp),
        17 => Some(PortProtocol::Udp),
        132 => Some(PortProtocol::Sctp),
        33 => Some(PortProtocol::Dccp),
        136 => Some(PortProtocol::UdpLite),
        _ => None,
    }
}

/// ICMP and IGMP, without which a host falls off the network.
fn is_control(packet: &Packet<'_>) -> bool {
    match packet.source {
        IpAddr::V4(_) => matches!(packet.protocol, ICMP | IGMP),
        IpAddr::V6(_) => packet.protocol == ICMPV6,
    }
}

/// Addresses that never belong on a wire.
fn is_martian(packet: &Packet<'_>) -> bool {
    let is_foreign = |address: Ipv6Addr| address == Ipv6Addr::LOCALHOST || address.to_ipv4_mapped().is_some();
    match (packet.source, packet.destination) {
        (IpAddr::V4(source), destination) => {
            source.is_loopback()
                || source.is_multicast()
                || source.is_broadcast()
                || destination.is_loopback()
                // A DHCP client has no other address, nor has a switch that asks who listens: both are judged later.
                || is_this_network(packet.source)
                    && !matches!((port_protocol(packet.protocol), packet.piece), (Some(_), Piece::Whole | Piece::First))
                    && packet.protocol != IGMP
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            source.is_multicast() || is_foreign(source) || is_foreign(destination)
        }
        (IpAddr::V6(_), IpAddr::V4(_)) => unreachable!("one header, one family"),
    }
}

/// In 0/8.
fn is_this_network(address: IpAddr) -> bool {
    matches!(address, IpAddr::V4(v4) if v4.octets()[0] == 0)
}

fn is_dhcp_answer(source: IpAddr, ports: [u16; 2]) -> bool {
    match source {
        IpAddr::V4(_) => ports == [67, 68],
        IpAddr::V6(source) => ports == [547, 546] && source.is_unicast_link_local(),
    }
}
