//! Waiting for a condition, with a deadline and no guess at how long it takes.

use std::{
    fmt::Display,
    io, thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

/// How long anything in the lab may take. Far above what it needs, so that a loaded machine does not fail a test.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The pause between two looks at a condition that nothing announces.
const PAUSE: Duration = Duration::from_millis(5);

/// Look until the answer is there.
///
/// # Errors
/// The look itself failed, or [`PATIENCE`] ran out; then the message names `what` was awaited.
pub fn until<T>(what: impl Display, look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    within(PATIENCE, what, look)
}

/// The same with another deadline, for what is slower than anything in the lab.
///
/// # Errors
/// As [`until`].
pub fn within<T>(patience: Duration, what: impl Display, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if Instant::now() > deadline {
            bail!("waited {patience:?} in vain for {what}");
        }
        thread::sleep(PAUSE);
    }
}

/// Bind a socket, and wait for its port where it was in use until a moment ago: a child process that another test starts holds copies
/// of this process' sockets until it becomes its own program.
///
/// # Errors
/// The port stays in use, or the socket cannot be bound for another reason.
pub fn bind<T>(what: impl Display, mut bind: impl FnMut() -> io::Result<T>) -> Result<T> {
    until(format!("{what} to be free"), || match bind() {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Ok(None),
        bound => Ok(Some(bound.with_context(|| format!("cannot bind {what}"))?)),
    })
}

/// Make a call again that a signal ended. The kernel does not take up a receive with a deadline by itself (signal(7)).
///
/// # Errors
/// The call's own.
pub fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}
