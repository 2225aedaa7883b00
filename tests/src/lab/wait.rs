//! Waiting for a condition, with a deadline and no guess at how long it takes.

use std::{
    fmt::Display,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

/// How long anything in the lab may take. Far above what it needs, so that a loaded machine does not fail a test.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The pause between two looks at a condition that nothing announces.
const PAUSE: Duration = Duration::from_millis(5);

/// Look until the answer is there.
///
/// # Errors
/// The look itself failed, or [`PATIENCE`] ran out; then the message names `what` was awaited.
pub fn until<T>(what: impl Display, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if Instant::now() > deadline {
            bail!("waited {PATIENCE:?} in vain for {what}");
        }
        thread::sleep(PAUSE);
    }
}
