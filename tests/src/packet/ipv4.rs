//! IPv4 (RFC 791).

use std::net::Ipv4Addr;

use super::{Around, Layer, Named, Pseudo, Stack, checksum};
use crate::world::{HOST, PEER};

/// An IPv4 header.
pub struct Ipv4 {
    source: Ipv4Addr,
    destination: Ipv4Addr,
    version: u8,
    words: Option<u8>,
    tos: u8,
    total_len: Option<u16>,
    id: u16,
    flags: u16,
    offset: u16,
    ttl: u8,
    protocol: Option<u8>,
    bad_checksum: bool,
    options: Vec<u8>,
}

impl Default for Ipv4 {
    fn default() -> Self {
        Self {
            source: PEER.v4(),
            destination: HOST.v4(),
            version: 4,
            words: None,
            tos: 0,
            total_len: None,
            id: 0x1234,
            flags: 0,
            offset: 0,
            ttl: 64,
            protocol: None,
            bad_checksum: false,
            options: Vec::new(),
        }
    }
}

impl Stack<Ipv4> {
    /// Set the source address.
    ///
    /// # Panics
    /// On anything but an IPv4 address.
    #[must_use]
    pub fn from(mut self, address: &str) -> Self {
        self.layer.source = address.parse().expect("an IPv4 address");
        self
    }

    /// Set the destination address.
    ///
    /// # Panics
    /// On anything but an IPv4 address.
    #[must_use]
    pub fn to(mut self, address: &str) -> Self {
        self.layer.destination = address.parse().expect("an IPv4 address");
        self
    }

    /// Claim another version.
    #[must_use]
    pub fn version(mut self, version: u8) -> Self {
        self.layer.version = version;
        self
    }

    /// Claim a header length in 32-bit words.
    #[must_use]
    pub fn header_words(mut self, words: u8) -> Self {
        self.layer.words = Some(words);
        self
    }

    /// Claim a total length in bytes.
    #[must_use]
    pub fn total_len(mut self, bytes: u16) -> Self {
        self.layer.total_len = Some(bytes);
        self
    }

    /// Claim another protocol than what follows.
    #[must_use]
    pub fn protocol(mut self, number: u8) -> Self {
        self.layer.protocol = Some(number);
        self
    }

    /// Set the type of service.
    #[must_use]
    pub fn tos(mut self, tos: u8) -> Self {
        self.layer.tos = tos;
        self
    }

    /// Set the time to live.
    #[must_use]
    pub fn ttl(mut self, hops: u8) -> Self {
        self.layer.ttl = hops;
        self
    }

    /// Set "don't fragment".
    #[must_use]
    pub fn dont_fragment(mut self) -> Self {
        self.layer.flags |= 0x4000;
        self
    }

    /// Set the reserved flag (RFC 3514).
    #[must_use]
    pub fn evil(mut self) -> Self {
        self.layer.flags |= 0x8000;
        self
    }

    /// Set the identification, which pieces of a datagram have in common.
    #[must_use]
    pub fn id(mut self, id: u16) -> Self {
        self.layer.id = id;
        self
    }

    /// Set "more fragments".
    #[must_use]
    pub fn more_fragments(mut self) -> Self {
        self.layer.flags |= 0x2000;
        self
    }

    /// Set the fragment offset, in units of eight bytes.
    #[must_use]
    pub fn fragment_offset(mut self, units: u16) -> Self {
        self.layer.offset = units;
        self
    }

    /// Get the header's checksum wrong.
    #[must_use]
    pub fn bad_checksum(mut self) -> Self {
        self.layer.bad_checksum = true;
        self
    }

    /// Append option bytes; the list is filled up to a multiple of four with end-of-list.
    #[must_use]
    pub fn options(mut self, bytes: &[u8]) -> Self {
        self.layer.options.extend(bytes);
        self
    }
}

impl Layer for Ipv4 {
    fn named(&self) -> Option<Named> {
        Some(Named { ether_type: 0x0800, protocol: 4 })
    }

    fn pseudo(&self) -> Option<Pseudo> {
        Some(Pseudo::V4(self.source, self.destination))
    }

    fn write(&self, payload: Vec<u8>, around: &Around) -> Vec<u8> {
        let mut options = self.options.clone();
        options.resize(options.len().next_multiple_of(4), 0);
        let len = 20 + options.len();
        let words = self.words.unwrap_or((len / 4) as u8);
        let total_len = self.total_len.unwrap_or((len + payload.len()) as u16);
        let mut header = vec![self.version << 4 | words, self.tos];
        header.extend(total_len.to_be_bytes());
        header.extend(self.id.to_be_bytes());
        header.extend((self.flags | self.offset).to_be_bytes());
        header.extend([self.ttl, self.protocol.unwrap_or_else(|| around.next_protocol()), 0, 0]);
        header.extend(self.source.octets());
        header.extend(self.destination.octets());
        header.extend(options);
        let mut sum = checksum::internet(&header);
        if self.bad_checksum {
            sum[0] ^= 0x55;
        }
        header[10..12].copy_from_slice(&sum);
        [header, payload].concat()
    }
}
