//! IPv6 (RFC 8200): the fixed header.

use std::net::Ipv6Addr;

use super::{
    checksum::Pseudo,
    stack::{Around, Layer, Named, address},
};
use crate::world::{HOST, PEER};

/// An IPv6 header.
pub struct Ipv6 {
    source: Ipv6Addr,
    destination: Ipv6Addr,
    version: u8,
    traffic_class: u8,
    flow_label: u32,
    payload_len: Option<u16>,
    next_header: Option<u8>,
    hop_limit: u8,
}

impl Default for Ipv6 {
    fn default() -> Self {
        Self {
            source: PEER.v6(),
            destination: HOST.v6(),
            version: 6,
            traffic_class: 0,
            flow_label: 0,
            payload_len: None,
            next_header: None,
            hop_limit: 64,
        }
    }
}

setters! { Ipv6:
    /// Set the source address.
    from(text: &str) => |layer| layer.source = address(text);
    /// Set the destination address.
    to(text: &str) => |layer| layer.destination = address(text);
    /// Claim another version.
    version(version: u8) => |layer| layer.version = version;
    /// Claim a payload length in bytes.
    payload_len(bytes: u16) => |layer| layer.payload_len = Some(bytes);
    /// Claim another Next Header than what follows.
    next_header(number: u8) => |layer| layer.next_header = Some(number);
    /// Set the traffic class.
    traffic_class(class: u8) => |layer| layer.traffic_class = class;
    /// Set the flow label, 20 bits.
    flow_label(label: u32) => |layer| layer.flow_label = label;
    /// Set the hop limit.
    hop_limit(hops: u8) => |layer| layer.hop_limit = hops;
}

impl Layer for Ipv6 {
    fn named(&self) -> Option<Named> {
        Some(Named { ether_type: 0x86dd, protocol: 41 })
    }

    fn pseudo(&self) -> Option<Pseudo> {
        Some(Pseudo::V6(self.source, self.destination))
    }

    fn write(&self, payload: Vec<u8>, around: &Around) -> Vec<u8> {
        let first = u32::from(self.version) << 28 | u32::from(self.traffic_class) << 20 | self.flow_label;
        let payload_len = self.payload_len.unwrap_or(payload.len() as u16);
        let next_header = self.next_header.unwrap_or_else(|| around.next_protocol());
        let mut bytes = first.to_be_bytes().to_vec();
        bytes.extend(payload_len.to_be_bytes());
        bytes.extend([next_header, self.hop_limit]);
        bytes.extend(self.source.octets());
        bytes.extend(self.destination.octets());
        bytes.extend(payload);
        bytes
    }
}
