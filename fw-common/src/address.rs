//! IPv4 and IPv6 addresses, and where the two families differ.
//!
//! An address is kept as the words in the packet, so that it is copied and compared by the word: the compiler would split and join bytes on the
//! packet path. [`from_bytes`](Address::from_bytes) and [`to_bytes`](Address::to_bytes) are the only conversions.

use crate::{
    frame::Frame,
    protocol::number,
    wire::{Addresses, transport::Ports},
};

/// An IPv4 address: its bytes in network byte order, as one word of memory.
pub type V4 = u32;
/// An IPv6 address: its bytes in network byte order, as four words of memory.
pub type V6 = [u32; 4];

const DHCP_SERVER: u16 = 67;
const DHCPV6_SERVER: u16 = 547;

/// An address of either family. The decision is written once over this trait, and compiled once per family.
pub trait Address: Copy + Eq {
    /// The address' bytes.
    type Bytes;

    /// Whether it is an IPv6 address.
    const IS_IPV6: bool;
    /// Where the addresses start in the IP header, the source first, in bytes (RFC 791, 3.1; RFC 8200, 3).
    const OFFSET: usize;
    /// Whether a later fragment passes whatever protocol it claims. In IPv6 the Next Header of the first one is used (RFC 8200, 4.5).
    const LATER_FRAGMENT_IS_ANONYMOUS: bool;
    /// The family's ICMP.
    const ICMP: u8;
    /// The type of its echo requests (RFC 792; RFC 4443, 4.1).
    const ECHO_REQUEST: u8;
    /// The port at which a DHCP client hears answers.
    const DHCP_CLIENT: u16;

    /// The address with these bytes, in network byte order.
    fn from_bytes(bytes: Self::Bytes) -> Self;

    /// Its bytes, in network byte order.
    fn to_bytes(self) -> Self::Bytes;

    /// The addresses of a packet, or `None` if the frame's readable part ends before them.
    fn read<F: Frame + ?Sized>(frame: &F, at: usize) -> Option<Addresses<Self>>;

    /// Whether the IP protocol is the family's ICMP or IGMP, without which a host falls off the network.
    fn is_control(protocol: u8) -> bool;

    /// A multicast address or the limited broadcast.
    fn is_multicast(self) -> bool;

    /// Whether a datagram from here with these ports is a DHCP client's request (RFC 2131, 4.1: from 0.0.0.0).
    fn is_dhcp_request(self, ports: &Ports) -> bool;

    /// Whether a datagram from here with these ports is a DHCP server's answer to a client (RFC 2131, 4.1; RFC 8415, 7.2). It never matches the
    /// request's tuple, and clients with raw sockets see only packets that passed XDP.
    fn is_dhcp_answer(self, ports: &Ports) -> bool;
}

impl Address for V4 {
    type Bytes = [u8; 4];

    const IS_IPV6: bool = false;
    const OFFSET: usize = 12;
    const LATER_FRAGMENT_IS_ANONYMOUS: bool = false;
    const ICMP: u8 = number::ICMP;
    const ECHO_REQUEST: u8 = 8;
    const DHCP_CLIENT: u16 = 68;

    #[inline(always)]
    fn from_bytes(bytes: [u8; 4]) -> Self {
        Self::from_ne_bytes(bytes)
    }

    #[inline(always)]
    fn to_bytes(self) -> [u8; 4] {
        self.to_ne_bytes()
    }

    #[inline(always)]
    fn read<F: Frame + ?Sized>(frame: &F, at: usize) -> Option<Addresses<Self>> {
        let [source, destination] = frame.words(at)?;
        Some(Addresses { source, destination })
    }

    #[inline(always)]
    fn is_control(protocol: u8) -> bool {
        matches!(protocol, number::ICMP | number::IGMP)
    }

    #[inline(always)]
    fn is_multicast(self) -> bool {
        first_byte(self) & 0xf0 == 0xe0 || self == u32::MAX
    }

    #[inline(always)]
    fn is_dhcp_request(self, ports: &Ports) -> bool {
        self == 0 && ports.source() == Self::DHCP_CLIENT && ports.destination() == DHCP_SERVER
    }

    #[inline(always)]
    fn is_dhcp_answer(self, ports: &Ports) -> bool {
        ports.source() == DHCP_SERVER && ports.destination() == Self::DHCP_CLIENT
    }
}

impl Address for V6 {
    type Bytes = [u8; 16];

    const IS_IPV6: bool = true;
    const OFFSET: usize = 8;
    const LATER_FRAGMENT_IS_ANONYMOUS: bool = true;
    const ICMP: u8 = number::ICMPV6;
    const ECHO_REQUEST: u8 = 128;
    const DHCP_CLIENT: u16 = 546;

    #[inline(always)]
    fn from_bytes(bytes: [u8; 16]) -> Self {
        bytemuck::cast(bytes)
    }

    #[inline(always)]
    fn to_bytes(self) -> [u8; 16] {
        bytemuck::cast(self)
    }

    #[inline(always)]
    fn read<F: Frame + ?Sized>(frame: &F, at: usize) -> Option<Addresses<Self>> {
        let [source, destination] = bytemuck::cast::<[u32; 8], [Self; 2]>(frame.words(at)?);
        Some(Addresses { source, destination })
    }

    #[inline(always)]
    fn is_control(protocol: u8) -> bool {
        protocol == number::ICMPV6
    }

    #[inline(always)]
    fn is_multicast(self) -> bool {
        first_byte(self[0]) == 0xff
    }

    #[inline(always)]
    fn is_dhcp_request(self, _ports: &Ports) -> bool {
        false
    }

    /// Only from a link-local address.
    #[inline(always)]
    fn is_dhcp_answer(self, ports: &Ports) -> bool {
        ports.source() == DHCPV6_SERVER && ports.destination() == Self::DHCP_CLIENT && is_link_local(self)
    }
}

/// An IPv4 address as an IPv4-mapped IPv6 address (RFC 4291, 2.5.5.2).
#[inline(always)]
#[must_use]
pub const fn mapped(address: V4) -> V6 {
    [0, 0, u32::from_ne_bytes([0, 0, 0xff, 0xff]), address]
}

#[inline(always)]
const fn first_byte(word: u32) -> u8 {
    word.to_ne_bytes()[0]
}

/// In `fe80::/10` (RFC 4291, 2.5.6).
#[inline(always)]
#[must_use]
pub const fn is_link_local(address: V6) -> bool {
    let [first, second, ..] = address[0].to_ne_bytes();
    first == 0xfe && second & 0xc0 == 0x80
}

/// So many bits for a word: neighbours end far from each other.
#[inline(always)]
pub(crate) const fn spread(word: u32, bits: u32) -> u32 {
    // 2^32 divided by the golden ratio.
    word.wrapping_mul(0x9e37_79b1) >> (u32::BITS - bits)
}
