//! Rates of limits: how many in which time.

use bytemuck::{Pod, Zeroable};

use crate::timeouts::SECOND;

/// How many connections, or echo requests, pass in how many seconds. The first one starts the time; what is dropped does not prolong it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Pod, Zeroable)]
#[repr(C)]
pub struct Rate {
    /// How many; 0 only in [`Rate::NONE`].
    pub count: u32,
    /// In how many seconds.
    pub seconds: u32,
}

impl Rate {
    /// No rate.
    pub const NONE: Self = Self { count: 0, seconds: 0 };
    /// The rate of a limit that names none: 6 in 30 s, as with `ufw limit`.
    pub const DEFAULT: Self = Self { count: 6, seconds: 30 };
    /// The largest count.
    pub const MOST: u32 = 1_000_000;
    /// The longest time: a day.
    pub const LONGEST: u32 = 86_400;
}

/// What a limit counted lately.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Attempts {
    /// The time of the first one, in nanoseconds of `CLOCK_MONOTONIC`.
    pub since: u64,
    /// How many passed since then.
    pub count: u64,
}

impl Attempts {
    /// The first attempt.
    #[inline(always)]
    #[must_use]
    pub const fn first(now: u64) -> Self {
        Self { since: now, count: 1 }
    }

    /// Count one more attempt; returns whether it exceeds the rate. Two CPUs that count at the same time may count one.
    #[inline(always)]
    pub const fn exceed(&mut self, rate: Rate, now: u64) -> bool {
        if now.wrapping_sub(self.since) >= rate.seconds as u64 * SECOND {
            *self = Self::first(now);
            return false;
        }
        if self.count >= rate.count as u64 {
            return true;
        }
        self.count += 1;
        false
    }
}

#[cfg(feature = "std")]
mod text {
    use core::{fmt, str::FromStr};
    use std::{format, string::String};

    use super::Rate;

    /// The units of time, in seconds.
    const UNITS: [(&str, u32); 3] = [("h", 3600), ("m", 60), ("s", 1)];

    impl fmt::Display for Rate {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            let whole = UNITS.iter().find(|(_, seconds)| self.seconds.is_multiple_of(*seconds));
            let (unit, seconds) = whole.copied().unwrap_or(("s", 1));
            match self.seconds / seconds {
                1 => write!(f, "{}/{unit}", self.count),
                several => write!(f, "{}/{several}{unit}", self.count),
            }
        }
    }

    impl FromStr for Rate {
        type Err = String;

        /// Read `6/30s`, `100/s` or `20/5m`; the error says what to write instead.
        fn from_str(text: &str) -> Result<Self, String> {
            let bad = || format!("`{text}` is not a rate; write a number and a time, for example 6/30s or 100/s");
            let (count, time) = text.split_once('/').ok_or_else(bad)?;
            let unit = UNITS.iter().find_map(|(unit, seconds)| Some((time.strip_suffix(unit)?, *seconds)));
            let (number, unit) = unit.ok_or_else(bad)?;
            let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            if !is_number(count) || !(number.is_empty() || is_number(number)) {
                return Err(bad());
            }
            let out_of_range = || {
                let (most, days) = (Self::MOST, Self::LONGEST / 3600);
                format!("the rate `{text}` is out of range; write 1 to {most}, in one second to {days} hours")
            };
            let count: u32 = count.parse().map_err(|_| out_of_range())?;
            let number: u32 = if number.is_empty() { 1 } else { number.parse().map_err(|_| out_of_range())? };
            let seconds = number.checked_mul(unit).ok_or_else(out_of_range)?;
            if !(1..=Self::MOST).contains(&count) || !(1..=Self::LONGEST).contains(&seconds) {
                return Err(out_of_range());
            }
            Ok(Self { count, seconds })
        }
    }
}
