//! The moment in which a command runs, by the clocks that bans end by.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use nix::time::{ClockId, clock_gettime};

use crate::error::{Error, HostError, Result};

/// The end of a ban that has none.
pub(crate) const NO_END: u64 = u64::MAX;

/// The same moment by two clocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    /// Seconds of the wall clock since 1970. People and NTP set it, and many a Pi starts with a wrong one.
    pub(crate) wall: u64,
    /// Seconds of `CLOCK_BOOTTIME`, which begins anew with each boot and counts suspend.
    pub(crate) boot: u64,
    /// Which boot that is.
    pub(crate) boot_id: String,
}

impl Moment {
    /// This one.
    pub(crate) fn now() -> Result<Self> {
        const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
        let failed = |source| Error::Host(HostError::File { what: "reading", path: PathBuf::from(BOOT_ID), source });
        let boot_id = fs::read_to_string(BOOT_ID).map_err(failed)?.trim().to_owned();
        let boot =
            clock_gettime(ClockId::CLOCK_BOOTTIME).map_err(|error| Error::refused("reading the clock", error))?;
        let (boot, wall) = (Duration::from(boot), SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default());
        // The seconds of both clocks begin at different times. Rounding the distance makes an end the same whenever it is asked for.
        let wall = match wall.checked_sub(boot) {
            Some(ahead) => boot.as_secs() + (ahead + Duration::from_millis(500)).as_secs(),
            None => wall.as_secs(),
        };
        Ok(Self { wall, boot: boot.as_secs(), boot_id })
    }

    /// The end of a ban of so many seconds, and not less, from now on.
    pub(crate) fn after(&self, seconds: u64) -> u64 {
        self.boot.saturating_add(1).saturating_add(seconds)
    }

    /// Whether a ban with this end is over.
    pub(crate) fn is_past(&self, end: u64) -> bool {
        end <= self.boot
    }

    /// How many seconds are left until an end; nothing for one that never comes.
    pub(crate) fn left(&self, end: u64) -> Option<u64> {
        (end != NO_END).then(|| end.saturating_sub(self.boot))
    }

    /// An end by the wall clock, as it stands now; nothing for one that never comes.
    pub(crate) fn on_the_wall(&self, end: u64) -> Option<u64> {
        self.left(end).map(|left| self.wall.saturating_add(left))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_the_same_in_every_part_of_a_second() {
        let first = Moment::now().expect("a moment");
        let end = first.after(60);
        loop {
            let now = Moment::now().expect("a moment");
            assert_eq!(now.on_the_wall(end), first.on_the_wall(end));
            if now.boot > first.boot + 1 {
                break;
            }
        }
    }
}
