//! The turn of a command that may attach: nobody else changes anything meanwhile, and there is a BPF file system to pin to.

use nix::mount::MntFlags;

use crate::{
    error::Result,
    kernel::{
        lock::Lock,
        mount::{self, Made},
        pins::Pins,
    },
};

/// Dropped, it leaves no more behind than there was before, unless it is to be kept.
#[derive(Debug)]
pub(crate) struct Turn {
    lock: Option<Lock>,
    made: Made,
}

impl Turn {
    /// Take the turn of these pins; mount a BPF file system where none is.
    pub(crate) fn take(pins: &Pins) -> Result<Self> {
        mount::check_mounts_last(pins.bpffs())?;
        loop {
            let mut made = mount::ensure(pins.bpffs())?;
            match pins.lock() {
                Ok(Some(lock)) => return Ok(Self { lock: Some(lock), made }),
                // Another command that failed took away what it had mounted.
                Ok(None) => {}
                Err(error) => {
                    made.unmount(MntFlags::empty());
                    made.remove_folders();
                    return Err(error);
                }
            }
        }
    }

    /// End it, and keep what was made for it.
    pub(crate) fn keep(mut self) {
        self.made = Made::default();
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        // Those who wait for the lock find that it is not there any more.
        self.made.unmount(MntFlags::MNT_DETACH);
        drop(self.lock.take());
        self.made.remove_folders();
    }
}
