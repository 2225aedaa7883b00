//! A frame as etherparse's headers have it.

use std::net::IpAddr;

use etherparse::{
    EtherType, Ethernet2Slice, IpAuthHeaderSlice, IpNumber, Ipv6FragmentHeaderSlice, Ipv6HeaderSlice,
    Ipv6RawExtHeaderSlice, LaxIpv4Slice, LenSource, SingleVlanSlice,
    err::ip_auth::{HeaderError, HeaderSliceError},
    ether_type, ip_number,
};
use fw_common::wire::ethernet::Tags;

/// How many VLAN tags, and how many IPv6 extension headers, are looked behind at the most.
const MAX_TAGS: usize = 2;
const MAX_EXTENSION_HEADERS: usize = 8;
/// Bytes of IPv6 extension headers that are looked behind at the most.
const MOST_EXTENSION_BYTES: usize = 512;
/// The required bytes of a TCP header, with ports and flags (RFC 1858).
const TCP_LEAST: usize = 16;

/// The contents of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed<'a> {
    /// No IP.
    NotIp,
    /// An IP packet.
    Ip(Packet<'a>),
    /// Something that contradicts itself, breaks off, or is too deep.
    Unreadable,
}

/// An IP packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// The VLANs that it is tagged for.
    pub tags: Tags,
    /// Its source address.
    pub source: IpAddr,
    /// Its destination address.
    pub destination: IpAddr,
    /// The TTL or hop limit.
    pub hops: u8,
    /// The IP protocol number of the transport.
    pub protocol: u8,
    /// Which piece of a datagram it is.
    pub piece: Piece,
    /// An option or a routing header that says which way to go.
    pub is_source_routed: bool,
    /// The transport header and what follows, inside the packet's own length.
    pub transport: &'a [u8],
}

/// Which piece of a datagram a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// All of it.
    Whole,
    /// The first.
    First,
    /// A later one.
    Later {
        /// Its correct offset, in bytes.
        at_byte: u16,
    },
}

impl Packet<'_> {
    /// The source and the destination port, where they and what belongs to them are there.
    #[must_use]
    pub fn ports(&self) -> Option<[u16; 2]> {
        let &[s0, s1, d0, d1, ..] = self.transport else { return None };
        if self.protocol == ip_number::TCP.0 && (self.transport.len() < TCP_LEAST || self.transport[12] >> 4 < 5) {
            return None;
        }
        Some([u16::from_be_bytes([s0, s1]), u16::from_be_bytes([d0, d1])])
    }

    /// TCP's SYN without ACK.
    #[must_use]
    pub fn opens_connection(&self) -> bool {
        self.protocol == ip_number::TCP.0 && self.transport.get(13).is_some_and(|flags| flags & 0x12 == 0x02)
    }
}

/// Read a frame.
#[must_use]
pub fn read(frame: &[u8]) -> Parsed<'_> {
    let Ok(ethernet) = Ethernet2Slice::from_slice_without_fcs(frame) else { return Parsed::Unreadable };
    let mut inside = ethernet.payload();
    let is_tag = |number: EtherType| matches!(number, ether_type::VLAN_TAGGED_FRAME | ether_type::PROVIDER_BRIDGING);
    let mut tags = Tags::NONE;
    for _ in 0..MAX_TAGS {
        if is_tag(inside.ether_type) {
            let Ok(tag) = SingleVlanSlice::from_slice(inside.payload) else { return Parsed::Unreadable };
            // The upper four bits are a priority and a hint that the frame may be dropped.
            let [control0, control1, ..] = *tag.slice() else { return Parsed::Unreadable };
            tags = tags.with(inside.ether_type.0, u16::from_be_bytes([control0, control1]));
            inside = tag.payload();
        }
    }
    let packet = match inside.ether_type {
        ether_type::IPV4 => read_ipv4(inside.payload, tags),
        ether_type::IPV6 => read_ipv6(inside.payload, tags),
        number if is_tag(number) => None,
        _ => return Parsed::NotIp,
    };
    packet.map_or(Parsed::Unreadable, Parsed::Ip)
}

fn read_ipv4(bytes: &[u8], tags: Tags) -> Option<Packet<'_>> {
    let (ip, _) = LaxIpv4Slice::from_slice(bytes).ok()?;
    let header = ip.header();
    // Where the header's length is no good, etherparse takes what there is.
    if ip.payload().incomplete || ip.payload().len_source != LenSource::Ipv4HeaderTotalLen {
        return None;
    }
    let at_byte = header.fragments_offset().byte_offset();
    Some(Packet {
        tags,
        source: header.source_addr().into(),
        destination: header.destination_addr().into(),
        hops: header.ttl(),
        protocol: header.protocol().0,
        piece: match (at_byte, header.more_fragments()) {
            (0, false) => Piece::Whole,
            (0, true) => Piece::First,
            _ => Piece::Later { at_byte },
        },
        is_source_routed: is_source_routed(header.options(), bytes.len() == header.slice().len())?,
        // Not ip.payload(), which is behind an authentication header.
        transport: &bytes[header.slice().len()..usize::from(header.total_len())],
    })
}

/// Whether a list of options has a loose or a strict source route; `None` for a list that is broken before one. Options are read by two
/// bytes, two no-operations at once, so that a frame may not end with a single byte: a packet that carries nothing at all is no loss.
fn is_source_routed(mut options: &[u8], ends_frame: bool) -> Option<bool> {
    loop {
        match options {
            [_] if ends_frame => return None,
            [] | [0, ..] => return Some(false),
            [1, 1, rest @ ..] | [1, rest @ ..] => options = rest,
            [131 | 137, ..] => return Some(true),
            &[_, len, ..] if len >= 2 => options = options.get(usize::from(len)..)?,
            _ => return None,
        }
    }
}

fn read_ipv6(bytes: &[u8], tags: Tags) -> Option<Packet<'_>> {
    let header = Ipv6HeaderSlice::from_slice(bytes).ok()?;
    let payload_len = usize::from(header.payload_length());
    let rest = bytes.get(header.slice().len()..)?.get(..payload_len)?;
    if payload_len == 0 && header.next_header() == ip_number::IPV6_HOP_BY_HOP {
        return None;
    }
    let mut chain =
        Chain { next: header.next_header(), rest, piece: Piece::Whole, is_source_routed: false, is_at_start: true };
    for _ in 0..MAX_EXTENSION_HEADERS {
        if !matches!(chain.piece, Piece::Later { .. }) && is_extension(chain.next) {
            chain.step()?;
            if !matches!(chain.piece, Piece::Later { .. }) && payload_len - chain.rest.len() > MOST_EXTENSION_BYTES {
                return None;
            }
        }
    }
    let is_deeper = is_extension(chain.next) || chain.next == ip_number::IPV6_NO_NEXT_HEADER;
    if is_deeper && !matches!(chain.piece, Piece::Later { .. }) {
        return None;
    }
    Some(Packet {
        tags,
        source: header.source_addr().into(),
        destination: header.destination_addr().into(),
        hops: header.hop_limit(),
        protocol: chain.next.0,
        piece: chain.piece,
        is_source_routed: chain.is_source_routed,
        transport: chain.rest,
    })
}

/// IANA's list of IPv6 extension headers, but for ESP: what is behind that is nobody's to read.
fn is_extension(number: IpNumber) -> bool {
    number.is_ipv6_ext_header_value() && number != ip_number::ENCAP_SEC
}

/// As far as a chain of extension headers was walked.
struct Chain<'a> {
    next: IpNumber,
    rest: &'a [u8],
    piece: Piece,
    is_source_routed: bool,
    is_at_start: bool,
}

impl Chain<'_> {
    /// Walk one header; `None` where it is not known, out of order or broken.
    fn step(&mut self) -> Option<()> {
        let (number, is_at_start) = (self.next, std::mem::take(&mut self.is_at_start));
        let len = match number {
            ip_number::IPV6_FRAG => {
                let fragment = Ipv6FragmentHeaderSlice::from_slice(self.rest).ok()?;
                if self.piece != Piece::Whole {
                    return None;
                }
                self.piece = match fragment.fragment_offset().byte_offset() {
                    // Also where no other piece follows (RFC 6946): it is judged as it stands.
                    0 => Piece::First,
                    at_byte => Piece::Later { at_byte },
                };
                self.next = fragment.next_header();
                fragment.slice().len()
            }
            ip_number::AUTH => {
                let (next, len) = match IpAuthHeaderSlice::from_slice(self.rest) {
                    Ok(header) => (header.next_header(), header.slice().len()),
                    // Shorter than its own fields. Who only walks past it goes by the length all the same, as Linux does
                    // (ipv6_skip_exthdr); who takes it up refuses it.
                    Err(HeaderSliceError::Content(HeaderError::ZeroPayloadLen)) => (IpNumber(self.rest[0]), 8),
                    Err(HeaderSliceError::Len(_)) => return None,
                };
                self.next = next;
                len
            }
            ip_number::IPV6_HOP_BY_HOP if !is_at_start => return None,
            ip_number::IPV6_HOP_BY_HOP | ip_number::IPV6_DEST_OPTIONS | ip_number::IPV6_ROUTE | ip_number::MOBILITY => {
                let header = Ipv6RawExtHeaderSlice::from_slice(self.rest).ok()?;
                let [kind, segments_left, ..] = *header.payload() else { return None };
                self.is_source_routed |= number == ip_number::IPV6_ROUTE && (kind == 0 || segments_left != 0);
                self.next = header.next_header();
                header.slice().len()
            }
            _ => return None,
        };
        self.rest = &self.rest[len..];
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::eth;

    #[test]
    fn ports_are_read_behind_tags_options_and_extension_headers() {
        let ports = |frame: &[u8]| match read(frame) {
            Parsed::Ip(packet) => (packet.protocol, packet.ports()),
            other => panic!("{other:?}"),
        };
        let v4 = eth().vlan(7).ipv4().options(&[148, 4, 0, 0]).udp(40_000, 53).build();
        assert_eq!(ports(&v4), (17, Some([40_000, 53])));
        let v6 = eth().vlan(7).vlan(0).ipv6().hop_by_hop().routing(2).authentication().fragment(0, true);
        assert_eq!(ports(&v6.tcp(40_000, 22).build()), (6, Some([40_000, 22])));
    }
}
