//! One command at a time changes something.

use std::{
    fs::{self, File},
    os::unix::fs::MetadataExt,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use nix::sys::stat::{major, minor};
use procfs::process::Process;

use crate::{Error, Result};

/// How long a command waits for the one before it: at boot the units of several interfaces start at the same time.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it looks.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Held while a command changes something. It goes with the process, however that ends.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "the lock goes with the open file")] File);

/// Take the lock of a folder, and wait for whoever has it. The BPF file system has no other place for a lock than a folder.
///
/// # Errors
/// [`Error::Locked`] when the other command takes longer than ten seconds, [`Error::File`].
pub(super) fn take(folder: &Path) -> Result<Lock> {
    let failed = |source| Error::File { what: "locking", path: folder.to_owned(), source };
    let file = File::open(folder).map_err(failed)?;
    let until = Instant::now() + PATIENCE;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Lock(file)),
            Err(fs::TryLockError::WouldBlock) if Instant::now() < until => thread::sleep(LOOK_EVERY),
            Err(fs::TryLockError::WouldBlock) => {
                let holder = holder(&file).unwrap_or_else(|| "a process that /proc does not show".to_owned());
                return Err(Error::Locked { path: folder.to_owned(), holder });
            }
            Err(fs::TryLockError::Error(error)) => return Err(failed(error)),
        }
    }
}

/// Who holds the lock, in words, by `/proc/locks` (proc(5)).
fn holder(file: &File) -> Option<String> {
    let facts = file.metadata().ok()?;
    let (major, minor) = (major(facts.dev()), minor(facts.dev()));
    let is_it = |lock: &procfs::Lock| {
        (u64::from(lock.devmaj), u64::from(lock.devmin), lock.inode) == (major, minor, facts.ino())
    };
    let pid = procfs::locks().ok()?.iter().find(|lock| is_it(lock))?.pid?;
    let words = Process::new(pid).and_then(|process| process.cmdline()).unwrap_or_default();
    Some(if words.is_empty() { format!("process {pid}") } else { format!("process {pid}, `{}`", words.join(" ")) })
}
