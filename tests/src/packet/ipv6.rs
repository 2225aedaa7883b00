//! IPv6 (RFC 8200): the fixed header.

use std::net::Ipv6Addr;

use super::{Around, Layer, Named, Pseudo, Stack};
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

impl Stack<Ipv6> {
    /// Set the source address.
    ///
    /// # Panics
    /// On anything but an IPv6 address.
    #[must_use]
    pub fn from(mut self, address: &str) -> Self {
        self.layer.source = address.parse().expect("an IPv6 address");
        self
    }

    /// Set the destination address.
    ///
    /// # Panics
    /// On anything but an IPv6 address.
    #[must_use]
    pub fn to(mut self, address: &str) -> Self {
        self.layer.destination = address.parse().expect("an IPv6 address");
        self
    }

    /// Claim another version.
    #[must_use]
    pub fn version(mut self, version: u8) -> Self {
        self.layer.version = version;
        self
    }

    /// Claim a payload length in bytes.
    #[must_use]
    pub fn payload_len(mut self, bytes: u16) -> Self {
        self.layer.payload_len = Some(bytes);
        self
    }

    /// Claim another Next Header than what follows.
    #[must_use]
    pub fn next_header(mut self, number: u8) -> Self {
        self.layer.next_header = Some(number);
        self
    }

    /// Set the traffic class.
    #[must_use]
    pub fn traffic_class(mut self, class: u8) -> Self {
        self.layer.traffic_class = class;
        self
    }

    /// Set the flow label, 20 bits.
    #[must_use]
    pub fn flow_label(mut self, label: u32) -> Self {
        self.layer.flow_label = label;
        self
    }

    /// Set the hop limit.
    #[must_use]
    pub fn hop_limit(mut self, hops: u8) -> Self {
        self.layer.hop_limit = hops;
        self
    }
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
