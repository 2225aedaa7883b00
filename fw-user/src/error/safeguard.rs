//! A safeguard holds a change back, or takes it back.

use std::io;

use thiserror::Error;

/// A safeguard holds a change back, or takes it back.
#[derive(Debug, Error)]
pub enum SafeguardError {
    /// A change waits to be confirmed.
    #[error(
        "the last change of {name} still waits to be confirmed and reverts in {seconds} s; `fw-user confirm` keeps it, `fw-user rollback` \
         undoes it"
    )]
    Unconfirmed {
        name: String,
        /// How long it can still be confirmed.
        seconds: u64,
    },
    /// The own session, or `sshd`, would be cut.
    #[error("{0}")]
    LocksOut(String),
    /// Nothing waits to be confirmed.
    #[error("no change waits to be confirmed, or its time was over; `fw-user status` shows what is in force")]
    NothingToConfirm,
    /// Nobody confirmed in time.
    #[error("nobody confirmed in time; reverted: {names}")]
    NotConfirmed {
        /// The interfaces.
        names: String,
    },
    /// More would change than can be taken back.
    #[error("{name}: {what} cannot be undone alone; attach without --confirm first, then change the ports with it")]
    NotOnTrial {
        name: String,
        /// What would change.
        what: &'static str,
    },
    /// The process that takes an unconfirmed change back cannot be started.
    #[error("cannot start the process that would undo the change ({0}); nothing was changed")]
    NoWatcher(io::Error),
}
