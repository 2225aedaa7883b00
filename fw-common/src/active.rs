//! The word that puts a policy in force.

use bytemuck::{Pod, Zeroable};

use crate::timeouts::SECOND;

/// The value of `ACTIVE`: one 64-bit store puts a whole policy in force, with its deadline.
///
/// | bits | what |
/// |---|---|
/// | 0-1 | the buffer in force |
/// | 2 | 1 where everything is judged and counted, and nothing dropped |
/// | 3 | 1 where the policy names [networks to route on to](crate::abi::CLASS_FORWARD) |
/// | 4 | 1 where the policy has limits |
/// | 8-12 | the same, from the deadline on |
/// | 16 | 1 where the interface had no filter before: from the deadline on the user side takes it off |
/// | 32-63 | the deadline, seconds of `CLOCK_MONOTONIC`; 0 for none |
///
/// The kernel checks the deadline, so an unconfirmed change ends even if every process of fw-user was killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(transparent)]
pub struct Active(pub u64);

impl Active {
    const BUFFER: u64 = 0b11;
    const MONITOR: u64 = 1 << 2;
    /// The bit that is set if the policy names networks that packets may be routed on to.
    pub const NETWORKS: u64 = 1 << 3;
    /// The bit that is set if the policy has limits.
    pub const LIMITS: u64 = 1 << 4;
    /// The bits that say what the policy has.
    const CONTENTS: u64 = Self::NETWORKS | Self::LIMITS;
    /// The bits of the state in force now.
    pub const STATE: u64 = Self::BUFFER | Self::MONITOR | Self::CONTENTS;
    const FALLBACK: u32 = 8;
    const ENDS_DETACHED: u64 = 1 << 16;
    const DEADLINE: u32 = 32;

    /// The buffer in force.
    #[inline(always)]
    #[must_use]
    pub const fn buffer(self) -> u32 {
        (self.0 & Self::BUFFER) as u32
    }

    /// Whether nothing is dropped.
    #[inline(always)]
    #[must_use]
    pub const fn monitors(self) -> bool {
        self.0 & Self::MONITOR != 0
    }

    /// A switch to a free buffer, without a deadline. `contents` are [`NETWORKS`](Self::NETWORKS) and [`LIMITS`](Self::LIMITS), if its
    /// policy has them.
    #[must_use]
    pub const fn flipped(self, contents: u64) -> Self {
        Self(self.0 & Self::MONITOR | self.free() as u64 | contents & Self::CONTENTS)
    }

    /// The lowest buffer that no packet is judged by: it is not in force, and is not the fallback of a change that waits to be confirmed.
    const fn free(self) -> u32 {
        let mut free = 0;
        while free == self.buffer() || self.deadline() != 0 && free == self.fallback().buffer() {
            free += 1;
        }
        free
    }

    /// The same buffer, without a deadline, in monitor mode or not.
    #[must_use]
    pub const fn monitoring(self, monitors: bool) -> Self {
        Self(self.0 & (Self::BUFFER | Self::CONTENTS) | if monitors { Self::MONITOR } else { 0 })
    }

    /// The same until `deadline` (seconds of `CLOCK_MONOTONIC`, not 0), and then `fallback`. Without a `fallback` the interface had no filter, and
    /// loses it then.
    #[must_use]
    pub const fn until(self, deadline: u32, fallback: Option<Self>) -> Self {
        let then = match fallback {
            Some(fallback) => (fallback.0 & Self::STATE) << Self::FALLBACK,
            None => (self.0 & Self::BUFFER | Self::MONITOR) << Self::FALLBACK | Self::ENDS_DETACHED,
        };
        Self(self.0 & Self::STATE | then | (deadline as u64) << Self::DEADLINE)
    }

    /// The same as a part of a change that waits to be confirmed: until `deadline`, and then what that change falls back to.
    #[must_use]
    pub const fn joining(self, trial: Self, deadline: u32) -> Self {
        let then = trial.0 & (Self::STATE << Self::FALLBACK | Self::ENDS_DETACHED);
        Self(self.0 & Self::STATE | then | (deadline as u64) << Self::DEADLINE)
    }

    /// The deadline, in seconds of `CLOCK_MONOTONIC`; 0 for none.
    #[inline(always)]
    #[must_use]
    pub const fn deadline(self) -> u32 {
        (self.0 >> Self::DEADLINE) as u32
    }

    /// The same without a deadline.
    #[must_use]
    pub const fn confirmed(self) -> Self {
        Self(self.0 & Self::STATE)
    }

    /// The same with a deadline that has passed.
    #[must_use]
    pub const fn ended(self) -> Self {
        Self(self.0 & !(u64::MAX << Self::DEADLINE) | 1 << Self::DEADLINE)
    }

    /// The state in force after the deadline.
    #[inline(always)]
    #[must_use]
    pub const fn fallback(self) -> Self {
        Self(self.0 >> Self::FALLBACK & Self::STATE)
    }

    /// Whether the filter is removed at the deadline.
    #[must_use]
    pub const fn ends_detached(self) -> bool {
        self.0 & Self::ENDS_DETACHED != 0
    }

    /// Whether the deadline has passed, at a time in nanoseconds of `CLOCK_MONOTONIC`.
    #[inline(always)]
    #[must_use]
    pub const fn has_ended(self, now: u64) -> bool {
        self.deadline() != 0 && now >= self.deadline() as u64 * SECOND
    }
}
