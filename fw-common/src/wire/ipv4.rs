//! IPv4 (RFC 791).

use core::marker::PhantomData;

use super::{Packet, Piece, ethernet::Link, is_joined};
use crate::{
    address::{Address, V4},
    frame::Frame,
    protocol::number,
    reason::Reason,
};

/// Length of a header without options, in bytes.
pub const HEADER: usize = 20;

/// Offset of the source address, in bytes.
pub const SOURCE: usize = V4::OFFSET;

/// The end-of-list option, one byte.
const OPTION_END: u8 = 0;
/// The no-operation option, one byte.
const OPTION_NOP: u8 = 1;
/// Loose source and record route (RFC 791, page 18).
const OPTION_LOOSE_SOURCE_ROUTE: u8 = 131;
/// Strict source and record route (RFC 791, page 19).
const OPTION_STRICT_SOURCE_ROUTE: u8 = 137;
/// The longest option list, in bytes: IHL is four bits of 32-bit words.
const MAX_OPTIONS: usize = 40;
/// Steps to the end of such a list. No-operations are walked by two, and other options have two bytes, so that three bytes take two steps at most.
const MAX_STEPS: usize = MAX_OPTIONS.div_ceil(3) * 2 - 1;
/// All bits of an offset into the option list.
const OPTIONS_MASK: usize = 63;

/// The "more fragments" bit of the flags and offset field.
const MORE_FRAGMENTS: u16 = 0x2000;
/// The fragment offset, in units of eight bytes.
const FRAGMENT_OFFSET: u16 = 0x1fff;

/// Version 4, and a header without options.
const PLAIN: u8 = 0x45;

/// The fixed part of the header, in the words of the frame.
struct Header([u32; HEADER / 4]);

impl Header {
    #[inline(always)]
    fn read<F: Frame + ?Sized>(frame: &F, link: &Link) -> Result<Self, Reason> {
        frame.words(link.network).map(Self).ok_or(Reason::Truncated)
    }

    /// Only if it has no options, has a length, and is not of a fragment, like nearly every header.
    #[inline(always)]
    fn plain<F: Frame + ?Sized>(frame: &F, link: &Link) -> Option<Self> {
        let is_plain = |header: &Self| header.first() == PLAIN && header.fragment() == 0 && header.total_len() != 0;
        Self::read(frame, link).ok().filter(is_plain)
    }

    /// The version and the length.
    #[inline(always)]
    const fn first(&self) -> u8 {
        self.0[0].to_ne_bytes()[0]
    }

    #[inline(always)]
    const fn total_len(&self) -> usize {
        (u32::from_be(self.0[0]) & 0xffff) as usize
    }

    /// The length of the packet whose header is at `at`; the verifier knows nothing of it. A packet that is too long for the field (BIG TCP, Linux
    /// 6.3) ends with the frame.
    #[inline(always)]
    fn packet_len<F: Frame + ?Sized>(&self, frame: &F, at: usize) -> usize {
        let len = frame.forget(self.total_len() as u64);
        frame.forget(if len == 0 && is_joined(frame, at) { (frame.len() - at) as u64 } else { len }) as usize
    }

    #[inline(always)]
    const fn fragment(&self) -> u16 {
        u32::from_be(self.0[1]) as u16 & (MORE_FRAGMENTS | FRAGMENT_OFFSET)
    }

    #[inline(always)]
    const fn protocol(&self) -> u8 {
        self.0[2].to_ne_bytes()[1]
    }

    #[inline(always)]
    const fn is_from_this_network(&self) -> bool {
        self.0[3].to_ne_bytes()[0] == 0
    }

    /// Addresses that are never valid on a network (RFC 1122, 3.2.1.3): loopback on either side, a multicast source, the limited broadcast as a
    /// source. Sources in 0/8 are judged with the ports, because DHCP clients use them.
    #[inline(always)]
    const fn is_martian(&self) -> bool {
        let [_, _, _, source, destination] = self.0;
        let network = source.to_ne_bytes()[0];
        // All of these sources have both bits, and few others have.
        destination.to_ne_bytes()[0] == 127
            || (network & 0x60 == 0x60 && (network == 127 || network & 0xf0 == 0xe0 || source == u32::MAX))
    }

    /// Refuse lengths that contradict each other, addresses that are never valid on a network, and source routes. If the caller knows that the header
    /// is [plain](Self::plain), the compiler drops the checks for options and fragments, here and below.
    ///
    /// # Errors
    /// [`Reason::Malformed`], [`Reason::Martian`], [`Reason::SourceRoute`], [`Reason::Truncated`].
    #[inline(always)]
    fn check<F: Frame + ?Sized, const PLAIN: bool>(
        &self,
        frame: &F,
        at: usize,
        total_len: usize,
    ) -> Result<(), Reason> {
        let first = self.first_if::<PLAIN>();
        let header_len = header_len(first);
        if first >> 4 != 4 || header_len < HEADER || total_len < header_len || at + total_len > frame.len() {
            return Err(Reason::Malformed);
        }
        if self.is_martian() {
            return Err(Reason::Martian);
        }
        if header_len > HEADER { check_options(frame, at + HEADER, header_len - HEADER) } else { Ok(()) }
    }

    /// The packet that ends at `end`, with the transport that the header names.
    ///
    /// # Errors
    /// [`Reason::TinyFragment`].
    #[inline(always)]
    fn packet<const PLAIN: bool>(&self, link: &Link, end: usize) -> Result<Packet<V4>, Reason> {
        let protocol = self.protocol();
        let piece = match if PLAIN { 0 } else { self.fragment() } {
            0 => Piece::Whole,
            MORE_FRAGMENTS => Piece::First,
            // "If FO=1 and PROTOCOL=TCP then DROP PACKET" (RFC 3128, replacing RFC 1858's check): such a fragment could overwrite the flags of the
            // first one on a host that allows this.
            field if field & FRAGMENT_OFFSET == 1 && protocol == number::TCP => return Err(Reason::TinyFragment),
            _ => Piece::Later,
        };
        Ok(Packet {
            addresses: link.network + SOURCE,
            from_this_network: self.is_from_this_network(),
            protocol,
            piece,
            transport: link.network + header_len(self.first_if::<PLAIN>()),
            end,
            link_multicast: link.multicast,
            family: PhantomData,
        })
    }

    #[inline(always)]
    const fn first_if<const PLAIN: bool>(&self) -> u8 {
        if PLAIN { self::PLAIN } else { self.first() }
    }
}

#[inline(always)]
const fn header_len(first: u8) -> usize {
    (first & 0x0f) as usize * 4
}

/// Read the header, check it with its options and addresses, and return where the transport starts.
///
/// # Errors
/// [`Reason::Truncated`], [`Reason::Malformed`], [`Reason::SourceRoute`], [`Reason::Martian`],
/// [`Reason::TinyFragment`].
#[inline(always)]
pub fn parse<F: Frame + ?Sized>(frame: &F, link: &Link) -> Result<Packet<V4>, Reason> {
    let header = Header::read(frame, link)?;
    let len = header.packet_len(frame, link.network);
    header.check::<_, false>(frame, link.network, len)?;
    header.packet::<false>(link, link.network + len)
}

/// The same for a header without options that is not of a fragment; `None` for all others. It needs no loop.
#[inline(always)]
pub fn parse_plain<F: Frame + ?Sized>(frame: &F, link: &Link) -> Option<Result<Packet<V4>, Reason>> {
    let header = Header::plain(frame, link)?;
    let len = header.total_len();
    let checked = header.check::<_, true>(frame, link.network, len);
    Some(checked.and_then(|()| header.packet::<true>(link, link.network + len)))
}

/// Return where the transport of an outbound packet starts, and refuse nothing that this host sends.
///
/// # Errors
/// [`Reason::Truncated`], [`Reason::TinyFragment`].
#[inline(always)]
pub fn find<F: Frame + ?Sized>(frame: &F, link: &Link) -> Result<Packet<V4>, Reason> {
    Header::read(frame, link)?.packet::<false>(link, frame.len())
}

/// The same for a header without options that is not of a fragment; `None` for all others.
#[inline(always)]
pub fn find_plain<F: Frame + ?Sized>(frame: &F, link: &Link) -> Option<Packet<V4>> {
    Header::plain(frame, link)?.packet::<true>(link, frame.len()).ok()
}

/// Search the option list, `len` bytes from offset `start`, for source routes. Refuse a list that Linux would refuse.
#[inline(always)]
fn check_options<F: Frame + ?Sized>(frame: &F, start: usize, len: usize) -> Result<(), Reason> {
    // The verifier forgets what it knows, so that all rounds look the same to it and it follows only one.
    let (mut at, mut len) = (frame.masked(0, OPTIONS_MASK), frame.masked(len, OPTIONS_MASK));
    let start = frame.masked(start, OPTIONS_MASK);
    for _ in 0..MAX_STEPS {
        if at >= len {
            break;
        }
        // Read two bytes even for options of one byte: a transport header follows the list, or is missing.
        let [kind, next] = frame.pair(start + at).ok_or(Reason::Truncated)?;
        if kind == OPTION_END {
            break;
        }
        if matches!(kind, OPTION_LOOSE_SOURCE_ROUTE | OPTION_STRICT_SOURCE_ROUTE) {
            return Err(Reason::SourceRoute);
        }
        // 1 for a no-operation, else 0. Without a comparison: the verifier would follow both outcomes in each round.
        let is_nop = |byte| (frame.forget(u64::from(byte ^ OPTION_NOP)).wrapping_sub(1) >> 63) as usize;
        let one_byte = is_nop(kind);
        let option_len = one_byte | usize::from(next) & one_byte.wrapping_sub(1);
        // The length of other options includes their own two bytes.
        if at + option_len > len || option_len + one_byte < 2 {
            return Err(Reason::Malformed);
        }
        let step = option_len + (one_byte & is_nop(next));
        at = frame.masked(at + step, OPTIONS_MASK);
        len = frame.masked(len, OPTIONS_MASK);
    }
    Ok(())
}
