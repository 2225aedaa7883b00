//! The addresses of the lab: documentation prefixes (RFC 5737, RFC 3849) on the wire, private ones behind the bridge.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The Pi on the LAN.
pub const PI4: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
/// The Pi on the LAN.
pub const PI6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 1));
/// The other machine on the LAN.
pub const LAN4: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 10));
/// The other machine on the LAN.
pub const LAN6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0x10));
/// The LAN's broadcast address.
pub const LAN_BROADCAST: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 255));
/// The Pi on a second LAN, see [`Lab::add_second_lan`](super::Lab::add_second_lan).
pub const SECOND_PI4: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1));
/// The Pi on a second LAN.
pub const SECOND_PI6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 1));
/// The other machine on the second LAN.
pub const SECOND_LAN4: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 10));
/// The other machine on the second LAN.
pub const SECOND_LAN6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 0x10));
/// A machine beyond the LAN, see [`Lab::add_far_host`](super::Lab::add_far_host).
pub const FAR4: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 10));
/// A machine beyond the LAN.
pub const FAR6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 3, 0, 0, 0, 0, 0x10));

/// The Pi's end of the containers' bridge.
pub const BRIDGE4: IpAddr = IpAddr::V4(Ipv4Addr::new(172, 17, 0, 1));
/// The Pi's end of the containers' bridge.
pub const BRIDGE6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd00, 0x17, 0, 0, 0, 0, 0, 1));

/// A container's address, counted from 0.
#[must_use]
pub const fn container4(index: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(172, 17, 0, index + 2))
}

/// A container's address, counted from 0.
#[must_use]
pub const fn container6(index: u8) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x17, 0, 0, 0, 0, 0, index as u16 + 2))
}
