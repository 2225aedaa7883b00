//! The patience that emulation asks for.

use std::time::Duration;

/// How long a boot, or a command in the guest, may take: an emulated processor on a loaded machine is slow, at times ten times as slow as on
/// an idle one.
pub const PATIENCE: Duration = Duration::from_mins(10);
