//! Locks that keep commands from changing the same interface at the same time.

use crate::{
    error::Result,
    kernel::{
        deadline::{self, Which},
        lock::Lock,
        pins::Pins,
        turn::Turn,
    },
};

/// Prevent other commands from changing anything meanwhile. First undo changes that nobody confirmed in time, in case the process for that is dead. A
/// command reads the state that it decides by only after this.
pub(crate) fn lock(pins: &Pins) -> Result<Option<Lock>> {
    let lock = pins.lock()?;
    deadline::roll_back(pins, &pins.interfaces()?, Which::Due)?;
    Ok(lock)
}

/// The same for a command that may attach: mounts a BPF file system if there is none.
pub(crate) fn turn(pins: &Pins) -> Result<Turn> {
    let turn = Turn::take(pins)?;
    deadline::roll_back(pins, &pins.interfaces()?, Which::Due)?;
    Ok(turn)
}
