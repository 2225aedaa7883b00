//! IPv4 (RFC 791).

use core::{hint::black_box, marker::PhantomData};

use super::{Packet, Piece, ethernet::Link};
use crate::{address::V4, frame::Frame, protocol::number, reason::Reason};

/// Length of a header without options, in bytes.
pub const HEADER: usize = 20;

/// Offset of the source address, in bytes.
pub const SOURCE: usize = 12;

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
/// All bits of an offset into the option list.
const OPTIONS_MASK: usize = 63;

/// The "more fragments" bit of the flags and offset field.
const MORE_FRAGMENTS: u16 = 0x2000;
/// The fragment offset, in units of eight bytes.
const FRAGMENT_OFFSET: u16 = 0x1fff;

/// Version 4, and a header without options.
const PLAIN: u8 = 0x45;

/// What every header has, in the words of the frame.
pub struct Header([u32; HEADER / 4]);

impl Header {
    /// Read it.
    ///
    /// # Errors
    /// [`Reason::Truncated`].
    #[inline(always)]
    pub fn read<F: Frame + ?Sized>(frame: &F, link: &Link) -> Result<Self, Reason> {
        frame.words(link.network).map(Self).ok_or(Reason::Truncated)
    }

    /// Whether it has no options and is no fragment's, like nearly every header.
    #[inline(always)]
    #[must_use]
    pub const fn is_plain(&self) -> bool {
        self.first() == PLAIN && self.fragment() == 0
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

    /// Addresses that never belong on a wire (RFC 1122, 3.2.1.3): a loopback on either side, a source that is multicast or the limited
    /// broadcast. Sources in 0/8 are judged with the ports, since a DHCP client has no other.
    #[inline(always)]
    const fn is_martian(&self) -> bool {
        let [_, _, _, source, destination] = self.0;
        let network = source.to_ne_bytes()[0];
        // All of these sources have both bits, and few others.
        destination.to_ne_bytes()[0] == 127
            || (network & 0x60 == 0x60 && (network == 127 || network & 0xf0 == 0xe0 || source == u32::MAX))
    }

    /// Check it, the options and the addresses, and say where the transport starts. To be told that it is [plain](Self::is_plain) spares
    /// the compiler to ask for what follows from that.
    ///
    /// # Errors
    /// As [`parse`], but for the header itself.
    #[inline(always)]
    pub fn packet<F: Frame + ?Sized>(&self, frame: &F, link: &Link, is_plain: bool) -> Result<Packet<V4>, Reason> {
        let first = if is_plain { PLAIN } else { self.first() };
        let at = link.network;
        let header_len = usize::from(first & 0x0f) * 4;
        let total_len = self.total_len();
        if first >> 4 != 4 || header_len < HEADER || total_len < header_len || at + total_len > frame.len() {
            return Err(Reason::Malformed);
        }
        if self.is_martian() {
            return Err(Reason::Martian);
        }
        if header_len > HEADER {
            check_options(frame, at + HEADER, header_len - HEADER)?;
        }
        let protocol = self.protocol();
        let piece = match if is_plain { 0 } else { self.fragment() } {
            0 => Piece::Whole,
            MORE_FRAGMENTS => Piece::First,
            // "If FO=1 and PROTOCOL=TCP then DROP PACKET" (RFC 3128, replacing RFC 1858's check): such a piece could rewrite
            // the flags of the first one on a host that lets it.
            field if field & FRAGMENT_OFFSET == 1 && protocol == number::TCP => return Err(Reason::TinyFragment),
            _ => Piece::Later,
        };
        Ok(Packet {
            addresses: at + SOURCE,
            from_this_network: self.is_from_this_network(),
            protocol,
            piece,
            transport: at + header_len,
            end: at + total_len,
            link_multicast: link.multicast,
            family: PhantomData,
        })
    }
}

/// Read the header, check it, the options and the addresses, and say where the transport starts.
///
/// # Errors
/// [`Reason::Truncated`], [`Reason::Malformed`], [`Reason::SourceRoute`], [`Reason::Martian`],
/// [`Reason::TinyFragment`].
#[inline(always)]
pub fn parse<F: Frame + ?Sized>(frame: &F, link: &Link) -> Result<Packet<V4>, Reason> {
    Header::read(frame, link)?.packet(frame, link, false)
}

/// Walk the option list, `len` bytes from offset `start`, for source routes. A list that Linux would refuse is refused here.
#[inline(never)]
fn check_options<F: Frame + ?Sized>(frame: &F, start: usize, len: usize) -> Result<(), Reason> {
    let mut at = 0;
    for _ in 0..MAX_OPTIONS {
        // The masks change nothing. They keep what the verifier knows the same in each round, so that one round stands for all; black
        // boxes, because the compiler sees that they change nothing.
        at = black_box(at) & OPTIONS_MASK;
        let len = black_box(len) & OPTIONS_MASK;
        if at >= len {
            break;
        }
        // Two bytes also for the options that have one: behind the list there is a transport header, or it is missing.
        let [kind, option_len] = frame.pair(start + at).ok_or(Reason::Truncated)?;
        match kind {
            OPTION_END => break,
            OPTION_NOP => at += 1,
            OPTION_LOOSE_SOURCE_ROUTE | OPTION_STRICT_SOURCE_ROUTE => return Err(Reason::SourceRoute),
            _ => {
                let option_len = usize::from(option_len);
                if option_len < 2 || at + option_len > len {
                    return Err(Reason::Malformed);
                }
                at += option_len;
            }
        }
    }
    Ok(())
}
