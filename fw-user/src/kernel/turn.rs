//! The turn of a command that may attach: it holds the lock, and there is a BPF file system to pin to.

use nix::mount::MntFlags;

use crate::{
    error::Result,
    kernel::{
        lock::Lock,
        mount::{self, Made},
        pins::Pins,
    },
};

/// Dropping it removes what was created, unless it is kept.
#[derive(Debug)]
pub(crate) struct Turn {
    lock: Option<Lock>,
    made: Made,
}

impl Turn {
    /// Take the turn for these pins, and mount a BPF file system if there is none.
    pub(crate) fn take(pins: &Pins) -> Result<Self> {
        mount::check_mounts_last(pins.bpffs())?;
        loop {
            let mut made = mount::ensure(pins.bpffs())?;
            match pins.lock() {
                Ok(Some(lock)) => return Ok(Self { lock: Some(lock), made }),
                // Another command that failed has unmounted its file system.
                Ok(None) => {}
                Err(error) => {
                    made.unmount(MntFlags::empty());
                    made.remove_folders();
                    return Err(error);
                }
            }
        }
    }

    /// End it, and keep what was created.
    pub(crate) fn keep(mut self) {
        self.made = Made::default();
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        // Waiting commands find that the lock is gone.
        self.made.unmount(MntFlags::MNT_DETACH);
        drop(self.lock.take());
        self.made.remove_folders();
    }
}
