//! The sender and receiver of a frame, as far as its headers tell. The parser is that of the filter; frames that it refuses are read just far enough
//! to name the sender.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use fw_common::{
    Frame, PortProtocol, Reason,
    address::{Address, V4, V6},
    wire::{
        Packet, Piece,
        ethernet::{self, Link},
        ipv4, ipv6, transport,
    },
};

use crate::policy_text;

/// The beginning of a frame, and its total length.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// Its known bytes.
    pub bytes: &'a [u8],
    /// Its length on the wire, in bytes.
    pub len: usize,
    /// Whether it starts with its IP header.
    pub is_bare: bool,
}

impl Seen<'_> {
    /// The link layer; `None` if it is malformed.
    fn link(&self) -> Option<Link> {
        if !self.is_bare {
            return ethernet::parse(self).ok();
        }
        bare_ether_type(self.bytes).map(Link::bare)
    }
}

/// The `EtherType` of a packet that starts with its IP header, by the version there.
#[must_use]
pub(crate) fn bare_ether_type(packet: &[u8]) -> Option<u16> {
    match packet.first()? >> 4 {
        4 => Some(ethernet::ETHER_TYPE_IPV4),
        6 => Some(ethernet::ETHER_TYPE_IPV6),
        _ => None,
    }
}

impl Frame for Seen<'_> {
    fn len(&self) -> usize {
        self.len
    }

    fn read<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.bytes.read(at)
    }

    fn words<const N: usize>(&self, at: usize) -> Option<[u32; N]> {
        self.bytes.words(at)
    }

    fn pair(&self, at: usize) -> Option<[u8; 2]> {
        self.bytes.pair(at)
    }
}

/// The headers of a frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    /// The source MAC address on this link.
    pub mac: Option<[u8; 6]>,
    /// The VLAN IDs of its tags, the outer one first.
    pub vlans: Vec<u16>,
    /// The first `EtherType` that is not a VLAN tag.
    pub ether_type: Option<u16>,
    /// The sender.
    pub source: Option<IpAddr>,
    /// The receiver.
    pub destination: Option<IpAddr>,
    /// The IP protocol number of the transport.
    pub protocol: Option<u8>,
    /// Source and destination port.
    pub ports: Option<(u16, u16)>,
}

/// Bytes of a VLAN tag (IEEE 802.1Q, 9.6).
const TAG: usize = 4;
/// The twelve bits of a tag that name the VLAN.
const VLAN_ID: u16 = 0x0fff;

impl Headers {
    /// Read them.
    #[must_use]
    pub fn of(frame: &Seen<'_>) -> Self {
        let mac = || frame.bytes.get(6..12)?.try_into().ok();
        let mut headers = Self { mac: if frame.is_bare { None } else { mac() }, ..Self::default() };
        let Some(link) = frame.link() else { return headers };
        let tags = (ethernet::HEADER..link.network.max(ethernet::HEADER)).step_by(TAG).filter_map(|at| frame.pair(at));
        headers.vlans = tags.map(|tag| u16::from_be_bytes(tag) & VLAN_ID).collect();
        headers.ether_type = Some(link.ether_type);
        let at = link.network;
        match link.ether_type {
            ethernet::ETHER_TYPE_IPV4 => {
                let claimed = frame.pair(at + 8).map(|[_, protocol]| protocol);
                let transport = frame.pair(at).map(|[version, _]| at + usize::from(version & 0x0f) * 4);
                headers.read::<V4>(frame, at + ipv4::SOURCE, claimed.zip(transport), ipv4::parse(frame, &link));
            }
            ethernet::ETHER_TYPE_IPV6 => {
                let claimed = frame.pair(at + 6).map(|[next, _]| (next, at + ipv6::HEADER));
                headers.read::<V6>(frame, at + ipv6::SOURCE, claimed, ipv6::parse(frame, &link));
            }
            _ => {}
        }
        headers
    }

    /// `claimed` is the transport in the fixed header: its number, and where it would start.
    fn read<A: Address<Bytes: Into<IpAddr>>>(
        &mut self,
        frame: &Seen<'_>,
        addresses: usize,
        claimed: Option<(u8, usize)>,
        parsed: Result<Packet<A>, Reason>,
    ) {
        if let Some(addresses) = A::read(frame, addresses) {
            self.source = Some(addresses.source.to_bytes().into());
            self.destination = Some(addresses.destination.to_bytes().into());
        }
        self.protocol = parsed.as_ref().ok().map(|packet| packet.protocol).or(claimed.map(|(protocol, _)| protocol));
        let Some(protocol) = self.protocol.and_then(PortProtocol::from_number) else { return };
        let pair = |at: usize| Some((u16::from_be_bytes(frame.pair(at)?), u16::from_be_bytes(frame.pair(at + 2)?)));
        self.ports = match parsed {
            Ok(packet) if packet.piece == Piece::Later => None,
            Ok(packet) => match transport::ports(frame, &packet, protocol) {
                Ok(ports) => Some((ports.source(), ports.destination())),
                Err(_) if packet.transport + 4 <= packet.end => pair(packet.transport),
                Err(_) => None,
            },
            // Refused for its addresses or options, but complete.
            Err(Reason::Martian | Reason::SourceRoute) => claimed.and_then(|(_, transport)| pair(transport)),
            Err(_) => None,
        };
    }

    /// The transport and the destination port of a packet.
    #[must_use]
    pub fn target(&self) -> Option<(PortProtocol, u16)> {
        Some((PortProtocol::from_number(self.protocol?)?, self.ports?.1))
    }

    /// The kind of packet, in a word: `tcp`, `icmp`, `arp`, or a number.
    #[must_use]
    pub fn kind(&self) -> String {
        match (self.protocol, self.ether_type) {
            (Some(protocol), _) => protocol_name(protocol),
            (None, Some(ethernet::ETHER_TYPE_IPV4)) => "ipv4".to_owned(),
            (None, Some(ethernet::ETHER_TYPE_IPV6)) => "ipv6".to_owned(),
            (None, Some(0x0806)) => "arp".to_owned(),
            (None, Some(0x88cc)) => "lldp".to_owned(),
            (None, Some(0x888e)) => "eapol".to_owned(),
            (None, Some(ether_type)) => format!("0x{ether_type:04x}"),
            (None, None) => "ethernet".to_owned(),
        }
    }

    /// The sender: address and port, or only the MAC address.
    #[must_use]
    pub fn sender(&self) -> String {
        match (self.source, self.mac) {
            (Some(address), _) => end(address, self.ports.map(|(source, _)| source)),
            (None, Some(mac)) => mac_words(mac),
            (None, None) => "unknown".to_owned(),
        }
    }

    /// The receiver: address and port.
    #[must_use]
    pub fn receiver(&self) -> Option<String> {
        self.destination.map(|address| end(address, self.ports.map(|(_, destination)| destination)))
    }
}

impl fmt::Display for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind(), self.sender())?;
        self.receiver().map_or(Ok(()), |receiver| write!(f, " -> {receiver}"))?;
        self.vlans.iter().try_for_each(|vlan| write!(f, " vlan {vlan}"))
    }
}

/// A transport by its name in the allow grammar, another protocol by its name in `/etc/protocols`.
#[must_use]
pub fn protocol_name(protocol: u8) -> String {
    PortProtocol::from_number(protocol)
        .map_or_else(|| policy_text::protocol_name(protocol), |protocol| protocol.name().to_owned())
}

/// A MAC address in the usual form.
#[must_use]
pub fn mac_words(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

fn end(address: IpAddr, port: Option<u16>) -> String {
    port.map_or_else(|| address.to_string(), |port| SocketAddr::new(address, port).to_string())
}
