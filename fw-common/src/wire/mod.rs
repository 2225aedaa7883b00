//! The headers of a packet, from the first byte of the frame to the transport header.
//!
//! Each header has a file. Nothing here knows the policy.

pub mod ethernet;
pub mod ipv4;
pub mod ipv6;
pub mod located;
pub mod transport;

use core::marker::PhantomData;

use crate::frame::Frame;

/// Which part of a datagram a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Piece {
    /// All of it.
    Whole = 0,
    /// The first fragment (or an atomic one, RFC 6946): it must hold the ports.
    First = 1,
    /// A fragment with an offset other than 0.
    Later = 2,
}

/// An IP packet, read up to its transport header.
///
/// The addresses stay in the frame: most packets are dropped without them.
#[derive(Clone, Copy, Debug)]
pub struct Packet<A> {
    /// Where the addresses start, the source first, in bytes from the start of the frame.
    pub addresses: usize,
    /// A source in 0/8, "this host on this network", which only a DHCP client may use (RFC 1122, 3.2.1.3).
    pub from_this_network: bool,
    /// The IP protocol number of the transport. For a later IPv6 fragment: what its fragment header claims.
    pub protocol: u8,
    /// Whole, first fragment or later fragment.
    pub piece: Piece,
    /// Where the transport header starts, in bytes from the start of the frame.
    pub transport: usize,
    /// Where the IP packet ends, in bytes from the start of the frame; padding may follow.
    pub end: usize,
    /// Whether the link-layer destination is a multicast or broadcast address.
    pub link_multicast: bool,
    /// The address family.
    pub family: PhantomData<A>,
}

/// The addresses of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses<A> {
    /// The sender.
    pub source: A,
    /// The receiver.
    pub destination: A,
}

impl<A> Addresses<A> {
    /// The addresses of an answer.
    #[inline(always)]
    #[must_use]
    pub fn swapped(self) -> Self {
        let Self { source, destination } = self;
        Self { source: destination, destination: source }
    }
}

/// Whether a frame has more bytes after `at` than the length field of a header can hold. Such a packet never came in one piece: this host's kernel
/// joined it (BIG TCP, Linux 5.19). The verifier learns nothing from the comparison.
#[inline(always)]
fn is_joined<F: Frame + ?Sized>(frame: &F, at: usize) -> bool {
    frame.forget(frame.len() as u64) as usize > at + usize::from(u16::MAX)
}
