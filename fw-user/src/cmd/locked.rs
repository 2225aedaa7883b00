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

/// Keep other commands from changing anything meanwhile. A change that nobody confirmed in time is taken back first, should the process
/// that was to do it be dead. Whatever a command decides by is read after this.
pub(crate) fn lock(pins: &Pins) -> Result<Option<Lock>> {
    let lock = pins.lock()?;
    deadline::roll_back(pins, &pins.interfaces()?, Which::Due)?;
    Ok(lock)
}

/// The same for a command that may attach: a BPF file system is mounted where there is none.
pub(crate) fn turn(pins: &Pins) -> Result<Turn> {
    let turn = Turn::take(pins)?;
    deadline::roll_back(pins, &pins.interfaces()?, Which::Due)?;
    Ok(turn)
}
