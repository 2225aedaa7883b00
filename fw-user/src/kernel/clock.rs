//! The clock that deadlines are compared with.

use fw_common::active::Active;
use nix::time::{ClockId, clock_gettime};
use std::time::Duration;

use crate::error::{Error, Result};

/// Nanoseconds of `CLOCK_MONOTONIC`.
pub(crate) fn now() -> Result<u64> {
    read(ClockId::CLOCK_MONOTONIC)
}

/// Nanoseconds of `CLOCK_BOOTTIME`.
pub(crate) fn since_boot() -> Result<u64> {
    read(ClockId::CLOCK_BOOTTIME)
}

/// The end of what lasts for so many seconds from now on, in nanoseconds of `CLOCK_BOOTTIME`.
pub(crate) fn end_after(seconds: u32) -> Result<u64> {
    Ok(since_boot()?.saturating_add(u64::from(seconds) * 1_000_000_000))
}

fn read(clock: ClockId) -> Result<u64> {
    let failed = |error: Box<dyn std::error::Error + Send + Sync>| Error::refused("reading the clock", error);
    let time = clock_gettime(clock).map_err(|error| failed(error.into()))?;
    u64::try_from(Duration::from(time).as_nanos()).map_err(|error| failed(error.into()))
}

/// The deadline of a change that holds for at least so many seconds from now on.
pub(crate) fn after(seconds: u32) -> Result<u32> {
    let now = Duration::from_nanos(now()?).as_secs() + 1;
    u32::try_from(now + u64::from(seconds)).map_err(|error| Error::refused("reading the clock", error))
}

/// The time until a deadline; zero if it has passed.
pub(crate) fn until(deadline: u32) -> Result<Duration> {
    Ok(Duration::from_secs(u64::from(deadline)).saturating_sub(Duration::from_nanos(now()?)))
}

/// The time left to confirm a change; `None` if none waits for that.
pub(crate) fn left(active: Active) -> Result<Option<Duration>> {
    (active.deadline() != 0).then(|| until(active.deadline())).transpose()
}
