//! Locks that keep commands from changing the same interface at the same time.

use crate::{
    error::Result,
    host::privilege,
    kernel::{
        attach::follow,
        deadline::{self, Which},
        lock::Lock,
        pins::Pins,
        turn::Turn,
    },
    output::complain,
};

/// Prevent other commands from changing anything meanwhile. First move the pins of renamed interfaces, and undo changes that nobody confirmed in
/// time, in case the process for that is dead. A command reads the state that it decides by only after this.
pub(crate) fn lock(pins: &Pins) -> Result<Option<Lock>> {
    let lock = pins.lock()?;
    follow::follow(pins)?;
    deadline::roll_back(pins, &pins.interfaces()?, Which::Due)?;
    Ok(lock)
}

/// The same for a command that may attach: mounts a BPF file system if there is none.
pub(crate) fn turn(pins: &Pins) -> Result<Turn> {
    let turn = Turn::take(pins)?;
    follow::follow(pins)?;
    deadline::roll_back(pins, &pins.interfaces()?, Which::Due)?;
    Ok(turn)
}

/// Move the pins of renamed interfaces, for a command that takes no lock. It continues if that fails.
pub(crate) fn follow(pins: &Pins) {
    // Without privileges the command itself fails.
    if privilege::check().is_err() {
        return;
    }
    let moved = follow::renamed(pins).and_then(|renamed| {
        if renamed.is_empty() {
            return Ok(());
        }
        let _lock = pins.lock()?;
        follow::follow(pins)
    });
    if let Err(error) = moved {
        complain(&format!("note: {error}"));
    }
}
