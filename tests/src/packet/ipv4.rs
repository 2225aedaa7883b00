//! IPv4 (RFC 791).

use std::net::Ipv4Addr;

use super::{
    checksum::{self, Pseudo},
    stack::{Around, Layer, Named, address},
};
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

setters! { Ipv4:
    /// Set the source address.
    from(text: &str) => |layer| layer.source = address(text);
    /// Set the destination address.
    to(text: &str) => |layer| layer.destination = address(text);
    /// Claim another version.
    version(version: u8) => |layer| layer.version = version;
    /// Claim a header length in 32-bit words.
    header_words(words: u8) => |layer| layer.words = Some(words);
    /// Claim a total length in bytes.
    total_len(bytes: u16) => |layer| layer.total_len = Some(bytes);
    /// Claim another protocol than what follows.
    protocol(number: u8) => |layer| layer.protocol = Some(number);
    /// Set the type of service.
    tos(tos: u8) => |layer| layer.tos = tos;
    /// Set the time to live.
    ttl(hops: u8) => |layer| layer.ttl = hops;
    /// Set "don't fragment".
    dont_fragment() => |layer| layer.flags |= 0x4000;
    /// Set the reserved flag (RFC 3514).
    evil() => |layer| layer.flags |= 0x8000;
    /// Set the identification, which pieces of a datagram have in common.
    id(id: u16) => |layer| layer.id = id;
    /// Set "more fragments".
    more_fragments() => |layer| layer.flags |= 0x2000;
    /// Set the fragment offset, in units of eight bytes.
    fragment_offset(units: u16) => |layer| layer.offset = units;
    /// Get the header's checksum wrong.
    bad_checksum() => |layer| layer.bad_checksum = true;
    /// Append option bytes; the list is filled up to a multiple of four with end-of-list.
    options(bytes: &[u8]) => |layer| layer.options.extend(bytes);
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
