//! How senders are let in to a port: until when, and how often.

use bytemuck::{Pod, Zeroable};

use crate::{bans::FOR_EVER, rate::Rate};

/// How a network is let in to the ports of a class; the value of `SOURCES4` and `SOURCES6`. The longest prefix alone is looked up, so it also holds
/// what wider networks allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Pod, Zeroable)]
#[repr(C)]
pub struct Admission {
    /// Until then the ports are open without a limit: nanoseconds of `CLOCK_BOOTTIME`, which counts suspend; 0 for never, [`FOR_EVER`] for
    /// ever.
    pub open_until: u64,
    /// From then on so many TCP connections of a sender pass; [`Rate::NONE`] closes the ports.
    pub then: Rate,
}

impl Admission {
    /// Open for ever.
    pub const OPEN: Self = Self { open_until: FOR_EVER, then: Rate::NONE };
    /// Closed.
    pub const CLOSED: Self = Self { open_until: 0, then: Rate::NONE };

    /// Whether it depends on the time.
    #[inline(always)]
    #[must_use]
    pub const fn ends(&self) -> bool {
        // Of these two alone adding 1 makes at most 1.
        self.open_until.wrapping_add(1) > 1
    }

    /// 1 where packets are let in at a time of `CLOCK_BOOTTIME`, else 0. The ends are exact to 2 ns.
    #[inline(always)]
    #[must_use]
    pub const fn lets_in(&self, now: u64) -> u64 {
        // Without comparisons: the verifier follows both outcomes of each.
        let is_open = (now >> 1).wrapping_sub(self.open_until >> 1) >> 63;
        is_open | (self.then.count as u64).wrapping_neg() >> 63
    }
}

/// What a limit counts: connections of a sender to a port. The key of `ATTEMPTS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Pod, Zeroable)]
#[repr(C)]
pub struct LimitKey {
    /// The sender, in network byte order, IPv4 as an IPv4-mapped IPv6 address. Of IPv6 senders that are not on the link the first half.
    pub sender: [u32; 4],
    /// The port's [number](crate::abi::port_index).
    pub port: u32,
}

impl LimitKey {
    /// Echo requests of all senders.
    pub const PING: Self = Self { sender: [0; 4], port: u32::MAX };
}
