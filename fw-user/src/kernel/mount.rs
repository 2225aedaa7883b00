//! A BPF file system is mounted where none is, and taken away again where that came to nothing.

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

/// Where the lock for mounting is. The folder to be mounted on is not ours, and others could lock it.
const RUN: &str = "/run";

/// Refuse where a BPF file system would have to be mounted, and would be gone with the mount namespace of this process, the filter with
/// it: `ip netns exec` makes one for each command.
pub fn check_mounts_last(path: &Path) -> Result<()> {
    // Who started this is elsewhere, as far as that may be looked at.
    let mut namespaces: Vec<PathBuf> = processes::ancestors()
        .iter()
        .filter_map(|process| fs::read_link(format!("/proc/{}/ns/mnt", process.pid)).ok())
        .collect();
    namespaces.dedup();
    let lasts = namespaces.len() <= 1;
    // A folder yet to be made may be below one.
    let place = path.ancestors().find(|folder| folder.exists()).unwrap_or(path);
    if lasts || is_bpffs(place) {
        Ok(())
    } else {
        Err(Error::Kernel(KernelError::PrivateMounts { path: path.to_owned() }))
    }
}

/// Refuse a folder on which no BPF file system is to be mounted, since that would hide what is in it.
pub fn check_place(path: &Path) -> Result<()> {
    let no_bpffs = |source| Error::Kernel(KernelError::NoBpffs { path: path.to_owned(), source });
    if path == Path::new(DEFAULT) || fs::read_dir(path).map_err(no_bpffs)?.next().is_none() {
        return Ok(());
    }
    Err(Error::Kernel(KernelError::NotForBpffs { path: path.to_owned() }))
}

/// What was made for a folder to be on a BPF file system.
#[derive(Debug, Default)]
pub struct Made {
    mount: Option<PathBuf>,
    folders: Vec<PathBuf>,
}

/// Make sure that a folder is on a BPF file system: mount one where none is.
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
    // Nobody else is to decide what is mounted on, or what is made.
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
    // Two commands at once: of two file systems, one over the other, the first would be out of sight.
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

/// Keep other commands from mounting. Where nothing can be written to `/run`, as in a container whose file system is read-only, one that
/// mounts at the very same moment is not kept from it.
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
    /// Unmount what was mounted, unless something is in it but the lock. Who holds that may detach it from those who wait.
    pub(crate) fn unmount(&mut self, flags: MntFlags) {
        let Some(path) = self.mount.take() else { return };
        // The kernel's own files have dots in their names (`maps.debug`), and no others can have.
        let is_nothing = |name: OsString| name == lock::NAME || name.as_bytes().contains(&b'.');
        let is_empty =
            fs::read_dir(&path).is_ok_and(|entries| entries.flatten().all(|entry| is_nothing(entry.file_name())));
        if is_empty {
            // The failure that led here is the one to tell of.
            let _unused = umount2(&path, flags);
        }
    }

    /// Remove the folders that were made, as long as nothing is in them.
    pub(crate) fn remove_folders(&mut self) {
        for folder in self.folders.drain(..).rev() {
            let _unused = fs::remove_dir(folder);
        }
    }
}
