//! A small Debian that really boots, in qemu, with its network card in a namespace of the test. Without KVM, so that it works on any
//! machine.

mod control;
pub mod disk;
pub mod image;
pub mod machine;
pub mod peer;
pub mod platform;
mod watch;

use std::time::Duration;

pub use self::{
    disk::{Disk, Tree},
    machine::Machine,
    peer::Peer,
    platform::{PLATFORM, Platform},
};

/// How long a boot, or a command in the guest, may take: an emulated processor on a loaded machine is slow, at times ten times as slow as on
/// an idle one.
pub const PATIENCE: Duration = Duration::from_mins(10);
