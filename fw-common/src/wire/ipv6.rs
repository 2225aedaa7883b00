//! IPv6 and its extension headers (RFC 8200).

use core::marker::PhantomData;

use super::{Packet, Piece, ethernet::Link, is_joined};
use crate::{
    address::{Address, V6},
    frame::Frame,
    protocol::number,
    reason::Reason,
};

/// Length of the fixed header, in bytes.
pub const HEADER: usize = 40;
/// Offset of the source address, in bytes.
pub const SOURCE: usize = V6::OFFSET;
/// How many extension headers are walked; a longer chain drops.
pub const MAX_EXTENSION_HEADERS: usize = 8;

/// The most bytes of all extension headers together; a longer chain drops. If the kernel keeps a packet in pages, this much of it is fetched.
pub const MAX_CHAIN: usize = 512;

/// All bits of an offset to any header: two VLAN tags, the fixed header and a chain of [`MAX_CHAIN`] end below that.
const OFFSET_MASK: usize = 0x3ff;
/// Routing header type 0, deprecated by RFC 5095.
const ROUTING_TYPE_SOURCE_ROUTE: u8 = 0;
/// The fragment offset in the fragment header's third and fourth byte: the upper 13 bits, in units of eight bytes.
const FRAGMENT_OFFSET: u16 = 0xfff8;

/// The fixed header, in the words of the frame.
struct Header([u32; HEADER / 4]);

impl Header {
    #[inline(always)]
    fn read<F: Frame + ?Sized>(frame: &F, link: &Link) -> Result<Self, Reason> {
        frame.words(link.network).map(Self).ok_or(Reason::Truncated)
    }

    /// Only if TCP, UDP or `ICMPv6` follows directly, and there is a length, as in nearly every packet.
    #[inline(always)]
    fn plain<F: Frame + ?Sized>(frame: &F, link: &Link) -> Option<Self> {
        let is_plain = |header: &Self| {
            matches!(header.next_header(), number::TCP | number::UDP | number::ICMPV6) && header.payload_len() != 0
        };
        Self::read(frame, link).ok().filter(is_plain)
    }

    #[inline(always)]
    const fn version(&self) -> u8 {
        self.0[0].to_ne_bytes()[0] >> 4
    }

    #[inline(always)]
    const fn payload_len(&self) -> usize {
        (u32::from_be(self.0[1]) >> 16) as usize
    }

    #[inline(always)]
    const fn next_header(&self) -> u8 {
        self.0[1].to_ne_bytes()[2]
    }

    /// Loopback or IPv4-mapped on either side, or a multicast source (RFC 4291, 2.5 and 2.7). Linux delivers a datagram with
    /// a mapped source to sockets that listen on `::`, so it must never come from a network.
    #[inline(always)]
    const fn is_martian(&self) -> bool {
        let [_, _, s0, s1, s2, s3, d0, d1, d2, d3] = self.0;
        s0.to_ne_bytes()[0] == 0xff
            || is_loopback_or_mapped([s0, s1, s2, s3])
            || is_loopback_or_mapped([d0, d1, d2, d3])
    }

    /// Refuse lengths that contradict each other, and addresses that are never valid on a network.
    #[inline(always)]
    fn check<F: Frame + ?Sized>(&self, frame: &F, at: usize) -> Result<(), Reason> {
        if self.version() != 6 || self.end(at) > frame.len() {
            return Err(Reason::Malformed);
        }
        if self.is_martian() { Err(Reason::Martian) } else { Ok(()) }
    }

    #[inline(always)]
    const fn end(&self, at: usize) -> usize {
        at + HEADER + self.payload_len()
    }

    /// The packet with this end of its extension headers, which itself ends at `end`.
    #[inline(always)]
    const fn packet(link: &Link, chain: &Chain, end: usize) -> Packet<V6> {
        let Chain { protocol, piece, transport } = *chain;
        Packet {
            addresses: link.network + SOURCE,
            from_this_network: false,
            protocol,
            piece,
            transport,
            end,
            link_multicast: link.multicast,
            family: PhantomData,
        }
    }

    /// The end of an empty chain.
    #[inline(always)]
    const fn no_chain(&self, at: usize) -> Chain {
        Chain { protocol: self.next_header(), piece: Piece::Whole, transport: at + HEADER }
    }
}

#[inline(always)]
const fn is_loopback_or_mapped([first, second, third, fourth]: V6) -> bool {
    // The first word already identifies global addresses.
    first == 0 && second == 0 && (third == 0xffff_u32.to_be() || (third == 0 && fourth == 1_u32.to_be()))
}

/// Read the header, check it and the addresses, and walk the extension headers to the transport.
///
/// # Errors
/// [`Reason::Truncated`], [`Reason::Malformed`], [`Reason::Martian`], [`Reason::SourceRoute`], [`Reason::HeaderChain`],
/// [`Reason::TinyFragment`].
#[inline(always)]
pub fn parse<F: Frame + ?Sized>(frame: &F, link: &Link) -> Result<Packet<V6>, Reason> {
    let header = Header::read(frame, link)?;
    header.check(frame, link.network)?;
    let mut end = header.end(link.network);
    // Later kernels leave such a length at 0.
    if frame.forget(header.payload_len() as u64) == 0 {
        if is_joined(frame, link.network + HEADER) {
            end = frame.len();
        } else if header.next_header() == number::HOP_BY_HOP {
            // A jumbogram (RFC 2675), which Ethernet cannot carry.
            return Err(Reason::Malformed);
        }
    }
    let end = frame.forget(end as u64) as usize;
    let chain = walk(frame, header.next_header(), link.network + HEADER, end)?;
    Ok(Header::packet(link, &chain, end))
}

/// The same for a packet in which TCP, UDP or `ICMPv6` follows directly; `None` for all others. It needs no loop.
#[inline(always)]
pub fn parse_plain<F: Frame + ?Sized>(frame: &F, link: &Link) -> Option<Result<Packet<V6>, Reason>> {
    let header = Header::plain(frame, link)?;
    let packet = || Header::packet(link, &header.no_chain(link.network), header.end(link.network));
    Some(header.check(frame, link.network).map(|()| packet()))
}

/// Return where the transport of an outbound packet starts, and refuse no chain that can be followed.
///
/// # Errors
/// [`Reason::Truncated`], [`Reason::SourceRoute`], [`Reason::HeaderChain`], [`Reason::TinyFragment`].
#[inline(always)]
pub fn find<F: Frame + ?Sized>(frame: &F, link: &Link) -> Result<Packet<V6>, Reason> {
    let header = Header::read(frame, link)?;
    let chain = walk(frame, header.next_header(), link.network + HEADER, frame.len())?;
    Ok(Header::packet(link, &chain, frame.len()))
}

/// The same for a packet in which TCP, UDP or `ICMPv6` follows directly; `None` for all others.
#[inline(always)]
pub fn find_plain<F: Frame + ?Sized>(frame: &F, link: &Link) -> Option<Packet<V6>> {
    let chain = Header::plain(frame, link)?.no_chain(link.network);
    Some(Header::packet(link, &chain, frame.len()))
}

/// Where an extension header chain ends.
struct Chain {
    protocol: u8,
    piece: Piece,
    transport: usize,
}

/// Follow the chain that starts with `next_header` at offset `start`, and read nothing past `end`.
#[inline(always)]
fn walk<F: Frame + ?Sized>(frame: &F, next_header: u8, start: usize, end: usize) -> Result<Chain, Reason> {
    let mut protocol = next_header;
    // 1 behind the header of a first fragment.
    let mut is_first = 0;
    // The verifier forgets what it knows, so that all headers look the same to it and it follows only one.
    let start = frame.masked(start, OFFSET_MASK);
    let mut at = start;
    for walked in 0..=MAX_EXTENSION_HEADERS {
        match protocol {
            number::HOP_BY_HOP if walked != 0 => return Err(Reason::HeaderChain),
            number::HOP_BY_HOP
            | number::DESTINATION_OPTIONS
            | number::ROUTING
            | number::MOBILITY
            | number::AH
            | number::FRAGMENT => {}
            number::NO_NEXT_HEADER | number::HIP | number::SHIM6 | number::EXPERIMENT_1 | number::EXPERIMENT_2 => {
                return Err(Reason::HeaderChain);
            }
            _ => {
                let piece = if is_first == 0 { Piece::Whole } else { Piece::First };
                return Ok(Chain { protocol, piece, transport: at });
            }
        }
        if walked == MAX_EXTENSION_HEADERS {
            break;
        }
        protocol = frame.forget(u64::from(protocol)) as u8;
        if at + 8 > end {
            return Err(cut(is_first));
        }
        // Every extension header is at least eight bytes long and starts with Next Header and its length.
        let [next, len, third, fourth]: [u8; 4] = frame.read(at).ok_or(cut(is_first))?;
        let units = usize::from(len);
        let step = match protocol {
            number::FRAGMENT => {
                if is_first != 0 {
                    return Err(Reason::HeaderChain);
                }
                if u16::from_be_bytes([third, fourth]) & FRAGMENT_OFFSET != 0 {
                    return Ok(Chain { protocol: next, piece: Piece::Later, transport: at + 8 });
                }
                is_first = 1;
                8
            }
            // In units of four bytes, less two (RFC 4302, 2.2).
            number::AH => (units + 2) * 4,
            // A packet with segments left asks this host to send it on, which Linux does for some types (type 4 if `seg6_enabled` is set).
            number::ROUTING if third == ROUTING_TYPE_SOURCE_ROUTE || fourth > 0 => return Err(Reason::SourceRoute),
            // In units of eight bytes, not counting the first (RFC 8200, 4.3).
            _ => (units + 1) * 8,
        };
        protocol = next;
        is_first = frame.masked(is_first, 1);
        let behind = at + step;
        if behind > end {
            return Err(cut(is_first));
        }
        if behind > start + MAX_CHAIN {
            return Err(Reason::HeaderChain);
        }
        at = frame.masked(behind, OFFSET_MASK);
    }
    Err(Reason::HeaderChain)
}

/// Why a chain that breaks off is refused. Inside a first fragment it hides its ports in the next one (RFC 7112).
#[inline(always)]
const fn cut(is_first: usize) -> Reason {
    if is_first == 0 { Reason::Truncated } else { Reason::TinyFragment }
}
