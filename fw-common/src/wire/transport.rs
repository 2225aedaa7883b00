//! The ports of TCP (RFC 9293), UDP (RFC 768), SCTP (RFC 9260), DCCP (RFC 4340) and UDP-Lite (RFC 3828): all five start with the
//! source and the destination port.

use super::{Packet, Piece};
use crate::{frame::Frame, protocol::PortProtocol, reason::Reason};

/// What must be there of a TCP header, in bytes: the least that holds everything a filter looks at (RFC 1858, 3.2.1, "tmin").
const TCP_LEAST: usize = 16;

/// FIN, SYN, RST and ACK in TCP's fourteenth byte.
pub mod tcp_flag {
    /// No more data from the sender.
    pub const FIN: u64 = 0x01;
    /// Synchronize: the first packet of a connection, or with ACK its answer.
    pub const SYN: u64 = 0x02;
    /// Reset.
    pub const RST: u64 = 0x04;
    /// The acknowledgement number is valid.
    pub const ACK: u64 = 0x10;
}

/// The ports of a packet, host byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// Source port.
    pub source: u16,
    /// Destination port.
    pub destination: u16,
    /// TCP's flags, 0 for the others. Wider than they are: a result of eight bytes would be packed and unpacked on the packet path.
    pub tcp_flags: u64,
}

impl Ports {
    /// Both ports in one word of memory, as they stand in the packet.
    #[inline(always)]
    #[must_use]
    pub const fn word(&self) -> u32 {
        (((self.source as u32) << 16) | self.destination as u32).to_be()
    }

    /// Whether this is the packet that opens a TCP connection: SYN and not ACK.
    #[inline(always)]
    #[must_use]
    pub const fn opens_connection(&self) -> bool {
        self.tcp_flags & (tcp_flag::SYN | tcp_flag::ACK) == tcp_flag::SYN
    }
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
        let header: [u8; TCP_LEAST] = frame.read(at).ok_or(cut)?;
        if header[12] >> 4 < 5 {
            return Err(Reason::Malformed);
        }
        let [s0, s1, d0, d1, ..] = header;
        return Ok(Ports {
            source: u16::from_be_bytes([s0, s1]),
            destination: u16::from_be_bytes([d0, d1]),
            tcp_flags: u64::from(header[13]),
        });
    }
    if at + 4 > packet.end {
        return Err(cut);
    }
    let [s0, s1, d0, d1]: [u8; 4] = frame.read(at).ok_or(cut)?;
    Ok(Ports { source: u16::from_be_bytes([s0, s1]), destination: u16::from_be_bytes([d0, d1]), tcp_flags: 0 })
}
