//! Ethernet II and VLAN tags (IEEE 802.3, 802.1Q).

use crate::{frame::Frame, reason::Reason};

/// Length of an Ethernet header without tags, in bytes.
pub const HEADER: usize = 14;
/// Length of one VLAN tag, in bytes.
pub const TAG: usize = 4;
/// How many VLAN tags are parsed.
pub const MAX_TAGS: usize = 2;

/// `EtherType` of IPv4.
pub const ETHER_TYPE_IPV4: u16 = 0x0800;
/// `EtherType` of IPv6.
pub const ETHER_TYPE_IPV6: u16 = 0x86dd;
/// `EtherType` of an 802.1Q tag.
pub const ETHER_TYPE_8021Q: u16 = 0x8100;
/// `EtherType` of an 802.1ad service tag.
pub const ETHER_TYPE_8021AD: u16 = 0x88a8;

/// The contents of the link layer.
pub struct Link {
    /// The first `EtherType` that is not a VLAN tag, host byte order.
    pub ether_type: u16,
    /// Where the network header starts, in bytes from the start of the frame.
    pub network: usize,
    /// Whether the destination is a group address (the lowest bit of the first byte, IEEE 802 8.2.2).
    pub multicast: bool,
}

impl Link {
    /// A link without a header of its own (tun, `WireGuard`, PPP): the kernel says which network protocol follows.
    #[inline(always)]
    #[must_use]
    pub const fn bare(ether_type: u16) -> Self {
        Self { ether_type, network: 0, multicast: false }
    }
}

/// Read the Ethernet header and up to [`MAX_TAGS`] tags, whatever their VLAN IDs: Linux hands frames tagged with VLAN ID
/// 0 to the parent interface, however many such tags there are.
///
/// # Errors
/// [`Reason::Truncated`], and [`Reason::VlanDepth`] if there are more tags.
#[inline(always)]
pub fn parse<F: Frame + ?Sized>(frame: &F) -> Result<Link, Reason> {
    let header: [u8; HEADER] = frame.head().ok_or(Reason::Truncated)?;
    let mut ether_type = u16::from_be_bytes([header[12], header[13]]);
    let mut network = HEADER;
    for _ in 0..MAX_TAGS {
        if !is_tag(ether_type) {
            break;
        }
        // The tag control information, then the next EtherType.
        let tag: [u8; TAG] = frame.read(network).ok_or(Reason::Truncated)?;
        ether_type = u16::from_be_bytes([tag[2], tag[3]]);
        network += TAG;
    }
    if is_tag(ether_type) {
        return Err(Reason::VlanDepth);
    }
    Ok(Link { ether_type, network, multicast: header[0] & 1 != 0 })
}

/// The same for a frame that is long enough and has no tag; `None` for all others.
#[inline(always)]
pub fn parse_plain<F: Frame + ?Sized>(frame: &F) -> Option<Link> {
    let header: [u8; HEADER] = frame.head()?;
    let ether_type = u16::from_be_bytes([header[12], header[13]]);
    (!is_tag(ether_type)).then_some(Link { ether_type, network: HEADER, multicast: header[0] & 1 != 0 })
}

/// The VLAN IDs of a frame in a word, the outer one first; 0 for none. Tags with VLAN ID 0 only carry a priority and are left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Tags(pub u32);

impl Tags {
    /// No tag.
    pub const NONE: Self = Self(0);

    /// [`NONE`](Self::NONE).
    #[inline(always)]
    #[must_use]
    pub const fn none() -> Self {
        Self::NONE
    }

    /// Bits of a tag: its VLAN ID, and 1 where it is a service tag.
    const BITS: u32 = 13;
    const SERVICE: u32 = 1 << 12;

    /// The same tags with one more inside, with this `EtherType` and tag control information, host byte order.
    #[inline(always)]
    #[must_use]
    pub const fn with(self, ether_type: u16, control: u16) -> Self {
        let id = control as u32 & 0x0fff;
        if id == 0 {
            return self;
        }
        Self(self.0 << Self::BITS | id | if ether_type == ETHER_TYPE_8021AD { Self::SERVICE } else { 0 })
    }

    /// The same tags behind an outer one. The tags of three VLANs do not fit into the word, and equal those of no known interface.
    #[inline(always)]
    #[must_use]
    pub const fn behind(self, outer: Self) -> Self {
        if outer.0 == 0 {
            self
        } else if self.0 >> (2 * Self::BITS - 1) != 0 {
            Self(u32::MAX)
        } else {
            Self(outer.0 << if self.0 == 0 { 0 } else { Self::BITS } | self.0)
        }
    }

    /// The tags of a frame whose network header starts at `network`. A truncated tag counts as none.
    #[inline(always)]
    #[must_use]
    pub fn of<F: Frame + ?Sized>(frame: &F, network: usize) -> Self {
        if network < HEADER + TAG {
            return Self::NONE;
        }
        // Read both at once, from the end of the sender's address on: after a single tag, the IP header is longer than a second tag.
        let Some([first, second, third]) = frame.words(HEADER - 4) else { return Self::NONE };
        let (outer, inner) = (u32::from_be(second), u32::from_be(third));
        let tags = Self::NONE.with(u32::from_be(first) as u16, (outer >> 16) as u16);
        if network < HEADER + 2 * TAG { tags } else { tags.with(outer as u16, (inner >> 16) as u16) }
    }
}

#[inline(always)]
const fn is_tag(ether_type: u16) -> bool {
    matches!(ether_type, ETHER_TYPE_8021Q | ETHER_TYPE_8021AD)
}
