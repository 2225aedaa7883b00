//! Mounts a BPF file system if there is none, and unmounts it again if the command fails.

use std::{
    ffi::OsString,
    fs::{self, DirBuilder},
    io,
    os::unix::{ffi::OsStrExt, fs::DirBuilderExt},
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    mount::{MntFlags, MsFlags, mount, umount2},
    sys::statfs::{BPF_FS_MAGIC, statfs},
};

use crate::{
    error::{Error, KernelError, Result},
    host::processes,
    kernel::{
        bpffs::{DEFAULT, is_bpffs},
        lock::{self, Lock, Wait},
        trust,
    },
};

/// The folder of the lock for mounting. The mount point is not ours, and others could lock it.
const RUN: &str = "/run";

/// Refuse if a BPF file system must be mounted, but would end with the mount namespace of this process, and the filter with it: `ip netns exec`
/// creates one for each command.
pub fn check_mounts_last(path: &Path) -> Result<()> {
    // The parent process is in another mount namespace, as far as that is readable.
    let mut namespaces: Vec<PathBuf> = processes::ancestors()
        .iter()
        .filter_map(|process| fs::read_link(format!("/proc/{}/ns/mnt", process.pid)).ok())
        .collect();
    namespaces.dedup();
    let lasts = namespaces.len() <= 1;
    // A future folder may be below one.
    let place = path.ancestors().find(|folder| folder.exists()).unwrap_or(path);
    if lasts || is_bpffs(place) {
        Ok(())
    } else {
        Err(Error::Kernel(KernelError::PrivateMounts { path: path.to_owned() }))
    }
}

/// Refuse a folder that is not empty, because a mount would hide its contents.
pub fn check_place(path: &Path) -> Result<()> {
    let no_bpffs = |source| Error::Kernel(KernelError::NoBpffs { path: path.to_owned(), source });
    if path == Path::new(DEFAULT) || fs::read_dir(path).map_err(no_bpffs)?.next().is_none() {
        return Ok(());
    }
    Err(Error::Kernel(KernelError::NotForBpffs { path: path.to_owned() }))
}

/// The mount and the folders that were created for the pins.
#[derive(Debug, Default)]
pub struct Made {
    mount: Option<PathBuf>,
    folders: Vec<PathBuf>,
}

/// Make sure that a folder is on a BPF file system: mount one if necessary.
pub fn ensure(path: &Path) -> Result<Made> {
    let mut made = Made::default();
    match try_to_ensure(path, &mut made) {
        Ok(()) => Ok(made),
        Err(error) => {
            made.remove_folders();
            Err(error)
        }
    }
}

fn try_to_ensure(path: &Path, made: &mut Made) -> Result<()> {
    let no_bpffs = |source: io::Error| Error::Kernel(KernelError::NoBpffs { path: path.to_owned(), source });
    match statfs(path) {
        Ok(stat) if stat.filesystem_type() == BPF_FS_MAGIC => return Ok(()),
        Ok(_) | Err(Errno::ENOENT) => {}
        Err(error) => return Err(no_bpffs(error.into())),
    }
    // No other user may control the mount point or the new folders.
    trust::secure_way(path)?;
    for folder in path.ancestors().filter(|folder| !folder.exists()).collect::<Vec<_>>().into_iter().rev() {
        match DirBuilder::new().mode(0o700).create(folder) {
            Ok(()) => made.folders.push(folder.to_owned()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(no_bpffs(error)),
        }
    }
    if is_bpffs(path) {
        return Ok(());
    }
    // Without a lock, two commands could mount two file systems, and the second would hide the first.
    let turn = turn_to_mount()?;
    if !is_bpffs(path) {
        check_place(path)?;
        mount(Some("bpf"), path, Some("bpf"), MsFlags::empty(), Some("mode=700"))
            .map_err(|error| no_bpffs(error.into()))?;
        made.mount = Some(path.to_owned());
    }
    drop(turn);
    Ok(())
}

/// Prevent other commands from mounting. If `/run` is not writable, as in a container with a read-only file system, this has no effect.
fn turn_to_mount() -> Result<Option<Lock>> {
    let mut wait = Wait::begin();
    loop {
        match lock::take(Path::new(RUN), &mut wait) {
            Ok(Some(lock)) => return Ok(Some(lock)),
            Ok(None) => {}
            Err(error @ Error::Kernel(KernelError::Locked { .. })) => return Err(error),
            Err(_) => return Ok(None),
        }
    }
}

impl Made {
    /// Unmount it, unless it contains anything besides the lock. The holder of the lock may detach it from waiting commands.
    pub(crate) fn unmount(&mut self, flags: MntFlags) {
        let Some(path) = self.mount.take() else { return };
        // Only the kernel's own files have dots in their names (`maps.debug`).
        let is_nothing = |name: OsString| name == lock::NAME || name.as_bytes().contains(&b'.');
        let is_empty =
            fs::read_dir(&path).is_ok_and(|entries| entries.flatten().all(|entry| is_nothing(entry.file_name())));
        if is_empty {
            // Report the original failure.
            let _unused = umount2(&path, flags);
        }
    }

    /// Remove the created folders, if they are empty.
    pub(crate) fn remove_folders(&mut self) {
        for folder in self.folders.drain(..).rev() {
            let _unused = fs::remove_dir(folder);
        }
    }
}
