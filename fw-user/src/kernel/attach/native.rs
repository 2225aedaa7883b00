//! Why a filter is not in native mode.

use std::{fmt, io};

use nix::unistd::{SysconfVar, sysconf};

use crate::{host::interface::Interface, kernel::object};

/// The kernel's message for a driver without native XDP (`dev_xdp_attach`, net/core/dev.c); from 5.10 on, versions differ only in its first letter.
const ABSENT: &str = "nderlying driver does not support XDP in native mode";

/// Packets up to this size fit every driver with native XDP.
pub(crate) const SAFE_MTU: u32 = 1500;

/// Why a filter does not run in the driver.
#[derive(Debug)]
pub enum NotNative {
    /// The driver has no native XDP.
    Absent,
    /// It is a bond: in its members' drivers a packet does not belong to the bond yet.
    Bond,
    /// The driver has, or may have, native XDP, but refuses the program now.
    Refused {
        /// The kernel's error.
        error: io::Error,
        /// The driver's message, if any.
        words: Option<String>,
        /// The interface's MTU.
        mtu: u32,
        /// The largest MTU for native mode, if known.
        largest: Option<u32>,
    },
}

impl NotNative {
    /// The result of an attempt.
    #[must_use]
    pub fn new(interface: &Interface, error: io::Error, words: Option<String>) -> Self {
        if words.as_ref().is_some_and(|words| words.ends_with(ABSENT)) {
            return Self::Absent;
        }
        Self::Refused { error, words, mtu: interface.mtu, largest: largest_mtu(interface) }
    }
}

impl fmt::Display for NotNative {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (error, words, mtu, largest) = match self {
            Self::Absent => return write!(f, "the driver has no native XDP"),
            Self::Bond => return write!(f, "it is a bond, and native mode would see its packets as its members'"),
            Self::Refused { error, words, mtu, largest } => (error, words, mtu, largest),
        };
        let Some(words) = words else {
            write!(f, "the driver refuses native mode ({error}) and does not say why")?;
            return if *mtu > SAFE_MTU { write!(f, "; its MTU of {mtu} may be the reason") } else { Ok(()) };
        };
        write!(f, "the driver refuses native mode: {words}")?;
        let lower = words.to_lowercase();
        match largest {
            _ if !["mtu", "jumbo", "frame"].iter().any(|word| lower.contains(word)) => Ok(()),
            Some(largest) => write!(f, "; the MTU of its other end may be {largest} at most"),
            None => write!(f, "; its MTU is {mtu}"),
        }
    }
}

/// The largest MTU for native mode, if it is known. For a veth the MTU of the other end counts, and must fit into a page (`veth_xdp_set`,
/// drivers/net/veth.c) without `XDP_PACKET_HEADROOM`, `struct skb_shared_info` in whole cache lines, and an Ethernet header. Programs for frames with
/// fragments have seventeen pages more, so there every MTU fits. Other drivers have limits of their own that they do not report.
#[must_use]
pub(crate) fn largest_mtu(interface: &Interface) -> Option<u32> {
    if interface.kind.as_deref() != Some("veth") {
        return None;
    }
    let page = u32::try_from(sysconf(SysconfVar::PAGE_SIZE).ok()??).ok()?;
    Some(largest_mtu_of_veth(page, object::has_xdp_frags().ok()?))
}

fn largest_mtu_of_veth(page: u32, has_xdp_frags: bool) -> u32 {
    const HEADROOM: u32 = 256;
    const SHARED_INFO: u32 = 320;
    const ETHERNET: u32 = 14;
    const LARGEST: u32 = 65_535;
    if has_xdp_frags { LARGEST } else { (page - HEADROOM - SHARED_INFO - ETHERNET).min(LARGEST) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(kind: Option<&str>, mtu: u32) -> Interface {
        Interface { name: "eth0".to_owned(), index: 2, kind: kind.map(ToOwned::to_owned), mtu, ..Interface::default() }
    }

    #[test]
    fn a_veth_takes_a_page_or_every_mtu() {
        assert_eq!(largest_mtu_of_veth(4096, false), 3506);
        assert_eq!(largest_mtu_of_veth(16_384, false), 15_794);
        assert_eq!(largest_mtu_of_veth(4096, true), 65_535);
    }

    /// The drivers' messages are from their sources in Linux 6.18.
    #[test]
    fn no_more_is_claimed_than_the_driver_says() {
        let einval = || io::Error::from_raw_os_error(libc::EINVAL);
        let said = |mtu, words: Option<&str>| {
            NotNative::new(&interface(None, mtu), einval(), words.map(ToOwned::to_owned)).to_string()
        };
        for (mtu, words, expected) in [
            (9000, Some("Underlying driver does not support XDP in native mode"), "the driver has no native XDP"),
            (1500, Some("underlying driver does not support XDP in native mode"), "the driver has no native XDP"),
            (
                9000,
                Some("MTU too large to enable XDP without frags"),
                "the driver refuses native mode: MTU too large to enable XDP without frags; its MTU is 9000",
            ),
            (
                9000,
                Some("igc: Jumbo frames not supported"),
                "the driver refuses native mode: igc: Jumbo frames not supported; its MTU is 9000",
            ),
            (
                9000,
                Some("Can't set XDP while host is implementing GRO_HW/CSUM, disable GRO_HW/CSUM first"),
                "the driver refuses native mode: Can't set XDP while host is implementing GRO_HW/CSUM, disable GRO_HW/CSUM first",
            ),
            (
                9000,
                None,
                "the driver refuses native mode (Invalid argument (os error 22)) and does not say why; its MTU of 9000 may be the reason",
            ),
            (1500, None, "the driver refuses native mode (Invalid argument (os error 22)) and does not say why"),
        ] {
            assert_eq!(said(mtu, words), expected);
        }
    }
}
