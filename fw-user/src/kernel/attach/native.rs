//! Why a filter is not in native mode.

use std::{fmt, io};

use nix::unistd::{SysconfVar, sysconf};

use crate::host::interface::Interface;

/// What the kernel says of a driver that never takes a program (`dev_xdp_attach`, net/core/dev.c); in the versions from 5.10 on it differs
/// in its first letter at most.
const ABSENT: &str = "nderlying driver does not support XDP in native mode";

/// Packets up to this size fit whatever driver has native XDP.
pub(crate) const SAFE_MTU: u32 = 1500;

/// Why the driver of an interface does not judge its packets.
#[derive(Debug)]
pub enum NotNative {
    /// It has no native XDP.
    Absent,
    /// It is a bond: in its members' drivers a packet is not known to be the bond's.
    Bond,
    /// It has, or may have, and refuses the program as things are.
    Refused {
        /// The kernel's error.
        error: io::Error,
        /// Why, in the driver's words; nothing where it gives none.
        words: Option<String>,
        /// The interface's MTU.
        mtu: u32,
        /// The MTU that native mode takes at most, where that is known.
        largest: Option<u32>,
    },
}

impl NotNative {
    /// What became of an attempt.
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
            Self::Bond => return write!(f, "it is a bond, whose packets native mode would take for its members'"),
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

/// The largest MTU that native mode takes. That of a veth is the MTU of its other end, and a page holds it (`veth_xdp_set`,
/// drivers/net/veth.c): a page less `XDP_PACKET_HEADROOM`, `struct skb_shared_info` in whole cache lines, and an Ethernet header. Other
/// drivers have limits of their own, which they do not tell.
#[must_use]
pub(crate) fn largest_mtu(interface: &Interface) -> Option<u32> {
    const HEADROOM: u32 = 256;
    const SHARED_INFO: u32 = 320;
    const ETHERNET: u32 = 14;
    let page = u32::try_from(sysconf(SysconfVar::PAGE_SIZE).ok()??).ok()?;
    (interface.kind.as_deref() == Some("veth")).then(|| page - HEADROOM - SHARED_INFO - ETHERNET)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(kind: Option<&str>, mtu: u32) -> Interface {
        Interface { name: "eth0".to_owned(), index: 2, kind: kind.map(ToOwned::to_owned), mtu, ..Interface::default() }
    }

    /// What drivers say is from their sources in Linux 6.18.
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
