//! Ethernet, VLAN tags, and what is not IP.

use super::{
    ipv4::Ipv4,
    ipv6::Ipv6,
    other::Raw,
    stack::{Around, Layer, Named, Payload, Stack},
};
use crate::world::{HOST, PEER};

/// An Ethernet header from [`PEER`] to [`HOST`].
#[must_use]
pub fn eth() -> Stack<Ethernet> {
    Stack::of(Ethernet { destination: HOST.mac, source: PEER.mac, ether_type: None })
}

/// An Ethernet II or IEEE 802.3 header.
pub struct Ethernet {
    destination: [u8; 6],
    source: [u8; 6],
    ether_type: Option<u16>,
}

setters! { Ethernet:
    /// Set the destination address.
    to(mac: [u8; 6]) => |layer| layer.destination = mac;
    /// Set the source address.
    from(mac: [u8; 6]) => |layer| layer.source = mac;
    /// Set the `EtherType`, whatever follows; below 1536 it is an IEEE 802.3 length.
    ether_type(ether_type: u16) => |layer| layer.ether_type = Some(ether_type);
}

impl Stack<Ethernet> {
    /// An ARP request (RFC 826): who has the host's address?
    #[must_use]
    pub fn arp(self) -> Stack<Payload> {
        let mut body = vec![0, 1, 8, 0, 6, 4, 0, 1];
        body.extend(PEER.mac);
        body.extend(PEER.v4().octets());
        body.extend([0; 6]);
        body.extend(HOST.v4().octets());
        self.ether_type(0x0806).payload(&body)
    }
}

impl Layer for Ethernet {
    fn named(&self) -> Option<Named> {
        // Transparent Ethernet bridging in GRE; IP protocol 143.
        Some(Named { ether_type: 0x6558, protocol: 143 })
    }

    fn write(&self, payload: Vec<u8>, around: &Around) -> Vec<u8> {
        let ether_type = self.ether_type.unwrap_or_else(|| around.next_ether_type());
        [&self.destination[..], &self.source, &ether_type.to_be_bytes(), &payload].concat()
    }
}

/// A VLAN tag.
pub struct Vlan {
    tag_type: u16,
    control: u16,
    ether_type: Option<u16>,
}

setters! { Vlan:
    /// Set the `EtherType` behind the tag, whatever follows.
    ether_type(ether_type: u16) => |layer| layer.ether_type = Some(ether_type);
    /// Set the priority, 0 to 7.
    priority(priority: u16) => |layer| layer.control |= priority << 13;
}

impl Layer for Vlan {
    fn named(&self) -> Option<Named> {
        Some(Named { ether_type: self.tag_type, protocol: 143 })
    }

    fn write(&self, payload: Vec<u8>, around: &Around) -> Vec<u8> {
        let ether_type = self.ether_type.unwrap_or_else(|| around.next_ether_type());
        [&self.control.to_be_bytes()[..], &ether_type.to_be_bytes(), &payload].concat()
    }
}

impl<L: Layer> Stack<L> {
    /// An 802.1Q tag with this VLAN ID; 0 for a priority tag.
    #[must_use]
    pub fn vlan(self, id: u16) -> Stack<Vlan> {
        self.tag(0x8100, id)
    }

    /// An 802.1ad service tag.
    #[must_use]
    pub fn service_vlan(self, id: u16) -> Stack<Vlan> {
        self.tag(0x88a8, id)
    }

    /// A tag under any `EtherType`.
    #[must_use]
    pub fn tag(self, tag_type: u16, id: u16) -> Stack<Vlan> {
        self.then(Vlan { tag_type, control: id, ether_type: None })
    }

    /// An IPv4 header.
    #[must_use]
    pub fn ipv4(self) -> Stack<Ipv4> {
        self.then(Ipv4::default())
    }

    /// An IPv6 header.
    #[must_use]
    pub fn ipv6(self) -> Stack<Ipv6> {
        self.then(Ipv6::default())
    }

    /// Bytes under any IP protocol number.
    #[must_use]
    pub fn raw(self, protocol: u8, bytes: &[u8]) -> Stack<Raw> {
        self.then(Raw::new(protocol, bytes))
    }
}

/// The `EtherType` of an untagged frame.
#[must_use]
pub fn ether_type(frame: &[u8]) -> u16 {
    u16::from_be_bytes([frame[12], frame[13]])
}
