//! The lock for changes: one command at a time.
//!
//! The lock is a folder beside the pins that only root can open. So it is visible wherever the pins are, even in containers and services whose other
//! file systems are read-only. If other users could open it, they could hold the lock.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use nix::{
    fcntl::OFlag,
    sys::stat::{major, minor},
};
use procfs::process::Process;

use crate::{
    error::{Error, HostError, KernelError, Result},
    kernel::trust,
    output::complain,
    printable::printable,
};

/// The folder that is locked.
pub(crate) const NAME: &str = "fw-user-lock";
/// The folder of all pins.
pub(crate) const PINS: &str = "fw-user";

/// How long a command waits for its turn: at boot the services of all interfaces start at the same time. It is less than systemd's time limit.
const PATIENCE: Duration = Duration::from_mins(2);
/// The time after which it prints whom it waits for.
const SILENCE: Duration = Duration::from_secs(1);
/// How often it tries again.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The lock, held while a command changes something. It ends with the process, however that ends.
#[derive(Debug)]
pub struct Lock {
    path: PathBuf,
    file: File,
}

/// The wait for a lock.
#[derive(Debug)]
pub(crate) struct Wait {
    from: Instant,
    patience: Duration,
    has_told: bool,
}

impl Wait {
    /// Start the wait. A process with a watchdog waits only a part of the watchdog's time.
    pub(crate) fn begin() -> Self {
        let patience = sd_notify::watchdog_enabled().map_or(PATIENCE, |watchdog| PATIENCE.min(watchdog / 4));
        Self { from: Instant::now(), patience, has_told: false }
    }
}

/// Take the lock of a folder that has passed [`trust::secure_way`]. `None` if the locked folder was removed meanwhile: then the caller checks again
/// whether there is still something to lock.
pub(crate) fn take(folder: &Path, wait: &mut Wait) -> Result<Option<Lock>> {
    let path = folder.join(NAME);
    let failed = |source| Error::Host(HostError::File { what: "locking", path: path.clone(), source });
    trust::claim(&path)?;
    let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW;
    let file = match OpenOptions::new().read(true).custom_flags(flags.bits()).open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(failed)?,
    };
    loop {
        match file.try_lock() {
            Ok(()) => {
                let lock = Lock { path, file };
                return Ok(lock.is_in_its_place().then_some(lock));
            }
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let waited = wait.from.elapsed();
        if waited > wait.patience {
            return Err(Error::Kernel(KernelError::Locked { path: folder.to_owned(), holder: holder(&file) }));
        }
        if waited > SILENCE && !wait.has_told {
            wait.has_told = true;
            complain(&format!("fw-user: waiting for another command: {}", holder(&file)));
        }
        thread::sleep(LOOK_EVERY);
    }
}

impl Lock {
    /// Whether it is still the folder that others find and lock.
    fn is_in_its_place(&self) -> bool {
        let identity = |facts: io::Result<fs::Metadata>| facts.ok().map(|facts| (facts.dev(), facts.ino()));
        identity(fs::symlink_metadata(&self.path)) == identity(self.file.metadata())
    }
}

impl Drop for Lock {
    /// Without pins beside it, the folder is removed too. A waiting command notices, and creates another one.
    fn drop(&mut self) {
        if fs::symlink_metadata(self.path.with_file_name(PINS)).is_err() && self.is_in_its_place() {
            // The next command removes leftovers.
            let _unused = fs::remove_dir(&self.path);
        }
    }
}

/// The holder of the lock, in words, from `/proc/locks` (proc(5)).
fn holder(file: &File) -> String {
    let find = || {
        let facts = file.metadata().ok()?;
        let (major, minor) = (major(facts.dev()), minor(facts.dev()));
        let is_it = |lock: &procfs::Lock| {
            (u64::from(lock.devmaj), u64::from(lock.devmin), lock.inode) == (major, minor, facts.ino())
        };
        procfs::locks().ok()?.iter().find(|lock| is_it(lock))?.pid
    };
    let Some(pid) = find() else { return "a process that /proc does not show".to_owned() };
    let words = Process::new(pid).and_then(|process| process.cmdline()).unwrap_or_default();
    if words.is_empty() {
        format!("process {pid}")
    } else {
        format!("process {pid}, `{}`", printable(&words.join(" ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of somebody without patience.
    fn wait() -> Wait {
        Wait { from: Instant::now(), patience: Duration::ZERO, has_told: true }
    }

    #[test]
    fn who_waits_in_vain_is_told_who_holds_it_and_where() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let held = take(folder.path(), &mut wait())?;
        assert!(held.is_some());
        let Err(Error::Kernel(KernelError::Locked { path, holder })) = take(folder.path(), &mut wait()) else {
            panic!("it is held twice")
        };
        assert_eq!(path, folder.path());
        assert!(holder.starts_with(&format!("process {}, `", std::process::id())), "{holder}");
        Ok(())
    }

    #[test]
    fn a_lock_that_was_replaced_is_none_and_the_folder_goes_with_the_last_pin() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join(NAME);
        let held = take(folder.path(), &mut wait())?;
        fs::remove_dir(&path)?;
        assert!(held.is_some_and(|lock| !lock.is_in_its_place()));
        fs::create_dir(folder.path().join(PINS))?;
        drop(take(folder.path(), &mut wait())?);
        assert!(path.exists(), "there are pins still");
        fs::remove_dir(folder.path().join(PINS))?;
        drop(take(folder.path(), &mut wait())?);
        assert!(!path.exists());
        Ok(())
    }
}
