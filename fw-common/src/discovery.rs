//! Services that announce and look for each other on the link: mDNS, SSDP, `NetBIOS` and their like.

use crate::{
    address::{Address, V4, V6},
    frame::Frame,
    wire::transport::Ports,
};

/// mDNS (RFC 6762).
pub const MDNS_PORT: u16 = 5353;
/// `NetBIOS` names and datagrams (RFC 1002), SSDP (`UPnP` 1.1, 1.3), WS-Discovery (2005/04, 2.4) and LLMNR (RFC 4795, 2).
const OTHER_PORTS: [u16; 5] = [137, 138, 1900, 3702, 5355];

/// Bytes of a UDP header.
const UDP_HEADER: usize = 8;
/// What must be there of an mDNS message and of UDP's header, in bytes: as much as tells an answer from a question.
pub const MDNS_LEAST: usize = UDP_HEADER + 4;
/// The bit that tells an answer from a question, in the third byte of a DNS message (RFC 1035, 4.1.1).
const QR: u8 = 0x80;
/// The TTL or hop limit of what no router has passed on (RFC 6762, 11).
const FROM_THE_LINK: u8 = u8::MAX;

/// Who sends a datagram to many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    /// Anyone who waits for answers at the port that it was sent from.
    Client,
    /// A service, from its own port to the same: answers are for those to whom the port is open.
    Service,
    /// The same of mDNS, which has all on the link hear every answer.
    Mdns,
}

impl Asker {
    /// By the ports of the datagram.
    #[inline(always)]
    #[must_use]
    pub const fn of(ports: &Ports) -> Self {
        let [netbios_names, netbios_datagrams, ssdp, ws_discovery, llmnr] = OTHER_PORTS;
        let port = ports.source();
        if port != ports.destination() {
            Self::Client
        } else if port == MDNS_PORT {
            Self::Mdns
        } else if port == netbios_names
            || port == netbios_datagrams
            || port == ssdp
            || port == ws_discovery
            || port == llmnr
        {
            Self::Service
        } else {
            Self::Client
        }
    }
}

/// Whether the mDNS message behind the UDP header at `transport` is an answer; `None` where the frame ends before it says so.
#[inline(always)]
pub fn is_mdns_answer<F: Frame + ?Sized>(frame: &F, transport: usize) -> Option<bool> {
    let [word] = frame.words(transport + UDP_HEADER)?;
    Some(word.to_ne_bytes()[2] & QR != 0)
}

/// Whether mDNS takes the sender of a packet for one on the link (RFC 6762, 11): it goes to mDNS's group, which no router passes on, or no
/// router has passed it on. `addresses` is where its addresses start.
#[inline(always)]
pub fn is_mdns_from_link<F: Frame + ?Sized, A: Group>(frame: &F, addresses: usize, destination: A) -> bool {
    destination == A::MDNS
        || frame.words(addresses - 4).is_some_and(|[word]| word.to_ne_bytes()[A::HOPS] == FROM_THE_LINK)
}

/// An address whose family has a group for mDNS.
pub trait Group: Address {
    /// The group (RFC 6762, 3).
    const MDNS: Self;
    /// Which byte of the four before the addresses is the TTL (RFC 791, 3.1) or the hop limit (RFC 8200, 3).
    const HOPS: usize;
}

impl Group for V4 {
    const MDNS: Self = Self::from_ne_bytes([224, 0, 0, 251]);
    const HOPS: usize = 0;
}

impl Group for V6 {
    const MDNS: Self = [0xff02_0000_u32.to_be(), 0, 0, 0xfb_u32.to_be()];
    const HOPS: usize = 3;
}
