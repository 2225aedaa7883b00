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

use crate::world::{MDNS, leads_elsewhere, may_be_on_link};

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
            Parsed::Ip(packet) => {
                !self.banned.iter().any(|network| network.contains(&packet.source)) && self.lets_in(&packet)
            }
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

    /// Whether a packet is the exact reverse of what was sent or answers what was sent to many.
    fn answers(&self, sent: &Conversation, packet: &Packet<'_>, protocol: PortProtocol, ports: [u16; 2]) -> bool {
        let remote = sent.remote();
        // An answer that is let in anyway needs no note of the request.
        let is_noted = match protocol {
            PortProtocol::Tcp => sent.opens,
            _ => !self.policy.is_open_to(protocol, sent.local_port, remote),
        };
        if !is_noted || sent.protocol != protocol || sent.local_port != ports[1] {
            return false;
        }
        if sent.goes_to_many() {
            return sent.is_datagram() && self.answers_many(sent, packet, ports[0]);
        }
        sent.local() == packet.destination && sent.remote_port == ports[0] && remote == packet.source
    }

    /// The same of what went to many: anybody on the link answers a client, and mDNS answers mDNS.
    fn answers_many(&self, sent: &Conversation, packet: &Packet<'_>, from_port: u16) -> bool {
        if sent.is_mdns() {
            let is_answer = packet.transport.get(10).is_some_and(|flags| flags & 0x80 != 0);
            let is_same_family = packet.destination.is_ipv4() == sent.local().is_ipv4();
            let is_from_link =
                packet.hops == 255 || [IpAddr::from(MDNS.v4()), MDNS.v6().into()].contains(&packet.destination);
            return is_same_family && from_port == 5353 && packet.transport.len() >= 12 && is_answer && is_from_link;
        }
        // Between mDNS's own ports there is nothing but mDNS.
        if (from_port, sent.local_port) == (5353, 5353) && sent.protocol == PortProtocol::Udp {
            return false;
        }
        let is_service =
            sent.local_port == sent.remote_port && [137, 138, 1900, 3702, 5353, 5355].contains(&sent.local_port);
        !is_service && sent.local() == packet.destination && may_be_on_link(self.routing(), packet.tags, packet.source)
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
