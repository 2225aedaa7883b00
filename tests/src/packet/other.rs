//! IP protocols without ports.

use fw_common::protocol::number;

use super::{
    checksum,
    stack::{Around, Layer, Named, Stack},
};

impl<L: Layer> Stack<L> {
    /// An ICMP message (RFC 792) with an empty second word.
    #[must_use]
    pub fn icmp(self, kind: u8, code: u8) -> Stack<Icmp> {
        self.then(Icmp { protocol: number::ICMP, kind, code, body: vec![0; 4] })
    }

    /// An `ICMPv6` message (RFC 4443) with an empty second word.
    #[must_use]
    pub fn icmpv6(self, kind: u8, code: u8) -> Stack<Icmp> {
        self.then(Icmp { protocol: number::ICMPV6, kind, code, body: vec![0; 4] })
    }

    /// An IGMP message (RFC 2236) about a group.
    #[must_use]
    pub fn igmp(self, kind: u8, group: [u8; 4]) -> Stack<Icmp> {
        self.then(Icmp { protocol: number::IGMP, kind, code: 0, body: group.to_vec() })
    }

    /// GRE (RFC 2784) without checksum, key or sequence number.
    #[must_use]
    pub fn gre(self) -> Stack<Gre> {
        self.then(Gre)
    }

    /// ESP (RFC 4303): an SPI, a sequence number, and what looks like a ciphertext.
    #[must_use]
    pub fn esp(self) -> Stack<Raw> {
        self.raw(50, &[0, 0, 1, 0, 0, 0, 0, 1, 0xa5, 0x5a, 0xa5, 0x5a, 0xa5, 0x5a, 0xa5, 0x5a])
    }
}

/// ICMP, `ICMPv6` or IGMP: type, code, checksum, body.
pub struct Icmp {
    protocol: u8,
    kind: u8,
    code: u8,
    body: Vec<u8>,
}

impl Layer for Icmp {
    fn named(&self) -> Option<Named> {
        Some(Named { ether_type: 0x88b5, protocol: self.protocol })
    }

    fn write(&self, payload: Vec<u8>, around: &Around) -> Vec<u8> {
        let mut bytes = [&[self.kind, self.code, 0, 0], &self.body[..], &payload].concat();
        let sum = match self.protocol {
            number::ICMPV6 => checksum::transport(&bytes, bytes.len(), self.protocol, around.pseudo),
            _ => checksum::internet(&bytes),
        };
        bytes[2..4].copy_from_slice(&sum);
        bytes
    }
}

/// A GRE header.
pub struct Gre;

impl Layer for Gre {
    fn named(&self) -> Option<Named> {
        Some(Named { ether_type: 0x88b5, protocol: 47 })
    }

    fn write(&self, payload: Vec<u8>, around: &Around) -> Vec<u8> {
        [&[0, 0], &around.next_ether_type().to_be_bytes()[..], &payload].concat()
    }
}

/// Bytes under an IP protocol number.
pub struct Raw {
    protocol: u8,
    bytes: Vec<u8>,
}

impl Raw {
    pub(crate) fn new(protocol: u8, bytes: &[u8]) -> Self {
        Self { protocol, bytes: bytes.to_vec() }
    }
}

impl Layer for Raw {
    fn named(&self) -> Option<Named> {
        Some(Named { ether_type: 0x88b5, protocol: self.protocol })
    }

    fn write(&self, payload: Vec<u8>, _around: &Around) -> Vec<u8> {
        [self.bytes.clone(), payload].concat()
    }
}
