//! The ports of TCP (RFC 9293), UDP (RFC 768), SCTP (RFC 9260), DCCP (RFC 4340) and UDP-Lite (RFC 3828): all five start with the
//! source and the destination port.

use super::{Packet, Piece};
use crate::{frame::Frame, protocol::PortProtocol, reason::Reason};

/// The least number of bytes of a TCP header that a packet must have: the fields that a filter reads (RFC 1858, 3.2.1, "tmin").
const TCP_LEAST: usize = 16;

/// FIN, SYN, RST and ACK in TCP's fourteenth byte.
pub mod tcp_flag {
    /// No more data from the sender.
    pub const FIN: u64 = 0x01;
    /// Synchronize: the first packet of a connection or, with ACK, the answer to it.
    pub const SYN: u64 = 0x02;
    /// Reset.
    pub const RST: u64 = 0x04;
    /// The acknowledgement number is valid.
    pub const ACK: u64 = 0x10;
}

/// The ports of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// Both in one word of memory, as in the packet.
    word: u32,
    /// TCP's flags, 0 for the others. Wider than needed: the compiler would pack and unpack a result of eight bytes on the packet path.
    pub tcp_flags: u64,
}

impl Ports {
    /// Ports in host byte order.
    #[must_use]
    pub const fn new(source: u16, destination: u16) -> Self {
        let word = (((source as u32) << 16) | destination as u32).to_be();
        Self { word, tcp_flags: 0 }
    }

    /// Ports as they stand in the packet.
    #[inline(always)]
    #[must_use]
    pub const fn from_word(word: u32) -> Self {
        Self { word, tcp_flags: 0 }
    }

    /// Source port, host byte order.
    #[inline(always)]
    #[must_use]
    pub const fn source(&self) -> u16 {
        (u32::from_be(self.word) >> 16) as u16
    }

    /// Destination port, host byte order.
    #[inline(always)]
    #[must_use]
    pub const fn destination(&self) -> u16 {
        u32::from_be(self.word) as u16
    }

    /// The ports of an answer.
    #[inline(always)]
    #[must_use]
    pub const fn reversed(&self) -> Self {
        Self { word: self.word.rotate_left(16), tcp_flags: 0 }
    }

    /// Both ports in one word of memory, as they stand in the packet.
    #[inline(always)]
    #[must_use]
    pub const fn word(&self) -> u32 {
        self.word
    }

    /// Whether this is the packet that opens a TCP connection: SYN and not ACK.
    #[inline(always)]
    #[must_use]
    pub const fn opens_connection(&self) -> bool {
        self.tcp_flags & (tcp_flag::SYN | tcp_flag::ACK) == tcp_flag::SYN
    }
}

/// Whether a TCP header, whose flags were read before, [opens a connection](Ports::opens_connection).
#[inline(always)]
pub fn opens_connection_at<F: Frame + ?Sized>(frame: &F, at: usize) -> bool {
    frame.words(at + TCP_LEAST - 4).is_some_and(|[flags]: [u32; 1]| {
        let [_, tcp_flags, ..] = flags.to_ne_bytes();
        Ports { word: 0, tcp_flags: u64::from(tcp_flags) }.opens_connection()
    })
}

/// Read the ports inside the IP packet's own length.
///
/// # Errors
/// [`Reason::Truncated`] or, in a first fragment, [`Reason::TinyFragment`] where they are not there (for TCP: they and
/// the flags, RFC 1858); [`Reason::Malformed`] for a TCP data offset below the header's own length.
#[inline(always)]
pub fn ports<F: Frame + ?Sized, A>(frame: &F, packet: &Packet<A>, protocol: PortProtocol) -> Result<Ports, Reason> {
    let cut = if matches!(packet.piece, Piece::First) { Reason::TinyFragment } else { Reason::Truncated };
    let at = packet.transport;
    if matches!(protocol, PortProtocol::Tcp) {
        if at + TCP_LEAST > packet.end {
            return Err(cut);
        }
        let [word, _, _, flags]: [u32; TCP_LEAST / 4] = frame.words(at).ok_or(cut)?;
        let [data_offset, tcp_flags, ..] = flags.to_ne_bytes();
        if data_offset >> 4 < 5 {
            return Err(Reason::Malformed);
        }
        return Ok(Ports { word, tcp_flags: u64::from(tcp_flags) });
    }
    if at + 4 > packet.end {
        return Err(cut);
    }
    let [word] = frame.words(at).ok_or(cut)?;
    Ok(Ports { word, tcp_flags: 0 })
}
