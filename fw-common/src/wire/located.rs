//! Where the headers of a packet are, packed into words: BPF functions take and return only words.
//!
//! There are many paths through the tags, options and extension headers of a packet. In the kernel each path ends in one of these words, of which the
//! verifier knows nothing, so it checks the code that follows only once. The host uses the same words, so the tests there cover the code in the
//! kernel.

use core::marker::PhantomData;

use super::{
    Packet, Piece,
    ethernet::{self, Link},
    ipv4, ipv6,
};
use crate::{frame::Frame, reason::Reason};

/// A group of bits in a word.
#[derive(Clone, Copy)]
struct Field {
    from: u32,
    bits: u32,
}

impl Field {
    const fn new(from: u32, bits: u32) -> Self {
        Self { from, bits }
    }

    #[inline(always)]
    const fn of(self, word: u64) -> usize {
        (word >> self.from & ((1 << self.bits) - 1)) as usize
    }

    #[inline(always)]
    const fn put(self, value: usize) -> u64 {
        (value as u64) << self.from
    }

    const fn most(self) -> usize {
        (1 << self.bits) - 1
    }
}

/// In both words: 0, or the number of the reason why the packet was refused, plus 1.
const REFUSED: Field = Field::new(0, 8);

/// A link-layer header.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub struct LocatedNetwork(u64);

impl LocatedNetwork {
    const ETHER_TYPE: Field = Field::new(8, 16);
    const NETWORK: Field = Field::new(24, 5);
    const MULTICAST: Field = Field::new(29, 1);

    /// Read the link layer, tags included.
    #[inline(always)]
    #[must_use]
    pub fn locate<F: Frame + ?Sized>(frame: &F) -> Self {
        Self::of(frame, &ethernet::parse(frame))
    }

    /// The same for a frame whose outer tag was removed before: a frame that still has the maximum of tags had one too many.
    #[inline(always)]
    #[must_use]
    pub fn behind_tag<F: Frame + ?Sized>(self, frame: &F) -> Self {
        let is_deepest = Self::NETWORK.of(self.0) == ethernet::HEADER + ethernet::MAX_TAGS * ethernet::TAG;
        if is_deepest { Self(frame.forget(refused(Reason::VlanDepth))) } else { self }
    }

    /// The same; the verifier [forgets](Frame::forget) what it knows about it.
    #[inline(always)]
    #[must_use]
    pub fn forgotten<F: Frame + ?Sized>(self, frame: &F) -> Self {
        Self(frame.forget(self.0))
    }

    /// The same for a packet [without one](Link::bare).
    #[inline(always)]
    #[must_use]
    pub fn bare<F: Frame + ?Sized>(packet: &F, ether_type: u16) -> Self {
        Self::of(packet, &Ok(Link::bare(ether_type)))
    }

    #[inline(always)]
    fn of<F: Frame + ?Sized>(frame: &F, link: &Result<Link, Reason>) -> Self {
        let word = match *link {
            Ok(Link { ether_type, network, multicast }) => {
                Self::ETHER_TYPE.put(usize::from(ether_type))
                    | Self::NETWORK.put(network)
                    | Self::MULTICAST.put(usize::from(multicast))
            }
            Err(reason) => refused(reason),
        };
        Self(frame.forget(word))
    }

    /// The `EtherType` of the packet, host byte order; 0 where there is none.
    #[inline(always)]
    #[must_use]
    pub const fn ether_type(self) -> u16 {
        Self::ETHER_TYPE.of(self.0) as u16
    }

    /// Where the network header starts, in bytes from the start of the frame.
    #[inline(always)]
    #[must_use]
    pub const fn network(self) -> usize {
        Self::NETWORK.of(self.0)
    }

    #[inline(always)]
    fn link(self) -> Link {
        Link { ether_type: self.ether_type(), network: self.network(), multicast: Self::MULTICAST.of(self.0) != 0 }
    }
}

/// The headers of a packet up to its transport.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub struct Located(u64);

impl Located {
    const IPV6: Field = Field::new(8, 1);
    const FROM_THIS_NETWORK: Field = Field::new(9, 1);
    const MULTICAST: Field = Field::new(10, 1);
    const PIECE: Field = Field::new(11, 2);
    const PROTOCOL: Field = Field::new(13, 8);
    const ADDRESSES: Field = Field::new(21, 6);
    const TRANSPORT: Field = Field::new(27, 15);
    const END: Field = Field::new(42, 22);

    /// Read an inbound packet, with all checks.
    #[inline(always)]
    #[must_use]
    pub fn locate<F: Frame + ?Sized>(frame: &F, network: LocatedNetwork) -> Self {
        Self::read::<_, false>(frame, network)
    }

    /// Find the transport of an outbound packet.
    #[inline(always)]
    #[must_use]
    pub fn find<F: Frame + ?Sized>(frame: &F, network: LocatedNetwork) -> Self {
        Self::read::<_, true>(frame, network)
    }

    /// It takes no function as an argument: with several callers the compiler would make a BPF function of that, with a stack of its own.
    #[inline(always)]
    fn read<F: Frame + ?Sized, const LEAVES: bool>(frame: &F, network: LocatedNetwork) -> Self {
        let link = network.link();
        let word = if REFUSED.of(network.0) != 0 {
            REFUSED.put(REFUSED.of(network.0))
        } else {
            match link.ether_type {
                ethernet::ETHER_TYPE_IPV4 => {
                    Self::pack(if LEAVES { ipv4::find(frame, &link) } else { ipv4::parse(frame, &link) })
                }
                ethernet::ETHER_TYPE_IPV6 => {
                    Self::pack(if LEAVES { ipv6::find(frame, &link) } else { ipv6::parse(frame, &link) })
                        | Self::IPV6.put(1)
                }
                _ => refused(Reason::NotIp),
            }
        };
        Self(frame.forget(word))
    }

    #[inline(always)]
    fn pack<A>(packet: Result<Packet<A>, Reason>) -> u64 {
        match packet {
            Ok(packet) => {
                Self::FROM_THIS_NETWORK.put(usize::from(packet.from_this_network))
                    | Self::MULTICAST.put(usize::from(packet.link_multicast))
                    | Self::PIECE.put(packet.piece as usize)
                    | Self::PROTOCOL.put(usize::from(packet.protocol))
                    | Self::ADDRESSES.put(packet.addresses)
                    | Self::TRANSPORT.put(packet.transport)
                    // No header is at so large an offset.
                    | Self::END.put(packet.end.min(Self::END.most()))
            }
            Err(reason) => refused(reason),
        }
    }

    /// Whether it is an IPv6 packet.
    #[inline(always)]
    #[must_use]
    pub const fn is_ipv6(self) -> bool {
        Self::IPV6.of(self.0) != 0
    }

    /// Where the addresses start, in bytes from the start of the frame.
    #[inline(always)]
    #[must_use]
    pub const fn addresses(self) -> usize {
        Self::ADDRESSES.of(self.0)
    }

    /// Where the transport header starts, in bytes from the start of the frame.
    #[inline(always)]
    #[must_use]
    pub const fn transport(self) -> usize {
        Self::TRANSPORT.of(self.0)
    }

    /// The packet.
    ///
    /// # Errors
    /// The reason why it was refused.
    #[inline(always)]
    pub fn packet<A>(self) -> Result<Packet<A>, Reason> {
        if let Some(number) = (REFUSED.of(self.0) as u8).checked_sub(1) {
            // Never another number; and BPF has no panic.
            return Err(Reason::from_number(number).unwrap_or(Reason::Malformed));
        }
        Ok(Packet {
            addresses: Self::ADDRESSES.of(self.0),
            from_this_network: Self::FROM_THIS_NETWORK.of(self.0) != 0,
            protocol: Self::PROTOCOL.of(self.0) as u8,
            piece: match Self::PIECE.of(self.0) {
                0 => Piece::Whole,
                1 => Piece::First,
                _ => Piece::Later,
            },
            transport: Self::TRANSPORT.of(self.0),
            end: Self::END.of(self.0),
            link_multicast: Self::MULTICAST.of(self.0) != 0,
            family: PhantomData,
        })
    }
}

#[inline(always)]
const fn refused(reason: Reason) -> u64 {
    REFUSED.put(reason as usize + 1)
}
