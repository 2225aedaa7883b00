//! A safeguard refuses a change, or undoes it.

use std::io;

use thiserror::Error;

/// A safeguard refuses a change, or undoes it.
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
    /// The user's own session, or `sshd`, would be cut.
    #[error("{0}")]
    LocksOut(String),
    /// No change waits to be confirmed.
    #[error("no change waits to be confirmed, or its time has run out; `fw-user status` shows the rules in force")]
    NothingToConfirm,
    /// Nobody confirmed in time.
    #[error("nobody confirmed in time; reverted: {names}")]
    NotConfirmed {
        /// The interfaces.
        names: String,
    },
    /// The filter was taken off before anybody confirmed.
    #[error("detached before the change was confirmed: {names}")]
    DetachedMeanwhile {
        /// The interfaces.
        names: String,
    },
    /// The change contains more than can be undone.
    #[error("{name}: --confirm cannot undo {what}; attach without --confirm first, then change the ports with it")]
    NotOnTrial {
        name: String,
        /// The part that cannot be undone.
        what: &'static str,
    },
    /// The process that undoes an unconfirmed change cannot be started.
    #[error("cannot start the process that would undo the change ({0}); nothing was changed")]
    NoWatcher(io::Error),
}
