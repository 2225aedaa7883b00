//! Counts per second.

use std::time::Duration;

/// The count per second; `None` for no time at all.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a float's 52 bits are plenty for what is shown, and neither a count nor a time is negative"
)]
pub(crate) fn per_second(count: u64, elapsed: Duration) -> u64 {
    if elapsed.is_zero() { 0 } else { (count as f64 / elapsed.as_secs_f64()).round() as u64 }
}
