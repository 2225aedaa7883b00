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

/// What the link layer says.
pub struct Link {
    /// The first `EtherType` that is not a VLAN tag, host byte order.
    pub ether_type: u16,
    /// Where the network header starts, in bytes from the start of the frame.
    pub network: usize,
    /// Whether the destination is a group address (the lowest bit of the first byte, IEEE 802 8.2.2).
    pub multicast: bool,
}

impl Link {
    /// A link that puts no header before the network's (tun, `WireGuard`, PPP): the kernel says which network protocol follows.
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
/// [`Reason::Truncated`], and [`Reason::VlanDepth`] where a tag is left over.
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

/// The same for a frame that is long enough and has no tag; `None` for any other.
#[inline(always)]
pub fn parse_plain<F: Frame + ?Sized>(frame: &F) -> Option<Link> {
    let header: [u8; HEADER] = frame.head()?;
    let ether_type = u16::from_be_bytes([header[12], header[13]]);
    (!is_tag(ether_type)).then_some(Link { ether_type, network: HEADER, multicast: header[0] & 1 != 0 })
}

#[inline(always)]
const fn is_tag(ether_type: u16) -> bool {
    matches!(ether_type, ETHER_TYPE_8021Q | ETHER_TYPE_8021AD)
}
