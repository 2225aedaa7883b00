//! Ownership of folders: our files are only in folders where root controls the names.
//!
//! A BPF file system has mode 1777 by default, so any user can create a folder with one of our names before `attach` does, and could remove the files
//! in it. If root owns a file in a folder of root that others cannot write to, or that is sticky, nobody else can rename, remove or replace the file
//! (`__check_sticky` in the kernel's fs/namei.c). So a single check before the first use is enough.

use std::{
    fmt,
    fs::{self, DirBuilder, Metadata, Permissions},
    hash::{BuildHasher, RandomState},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use nix::unistd::Uid;

use crate::{
    error::{Error, HostError, KernelError, Result},
    kernel::bpffs::is_bpffs,
    output::complain,
};

/// The mode of our folders: users that cannot enter cannot open the files in them either.
const MODE: u32 = 0o700;
const STICKY: u32 = 0o1000;
/// The start of the new name of a file that was in the place of our folder.
const ASIDE: &str = "aside-";

/// Why users other than root control a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    /// Another user owns it.
    Owner(u32),
    /// Its mode lets other users rename and remove files in it.
    Mode(u32),
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Owner(uid) => write!(f, "it belongs to user {uid}, not to root"),
            Self::Mode(mode) => write!(f, "other users can write to it (mode {mode:o})"),
        }
    }
}

/// Whether it belongs to root, or to the user of this process.
pub(crate) fn is_roots(facts: &Metadata) -> bool {
    facts.uid() == 0 || facts.uid() == Uid::effective().as_raw()
}

/// Whether users other than the owner can create files in a folder. Members of root's group count as root.
fn others_can_write(facts: &Metadata) -> bool {
    let group = if facts.gid() == 0 { 0 } else { 0o020 };
    facts.mode() & (group | 0o002) != 0
}

fn flaw(facts: &Metadata) -> Option<Flaw> {
    if !is_roots(facts) {
        Some(Flaw::Owner(facts.uid()))
    } else if others_can_write(facts) && facts.mode() & STICKY == 0 {
        Some(Flaw::Mode(facts.mode() & 0o7777))
    } else {
        None
    }
}

/// The metadata of a path, without following symbolic links; `None` if nothing is there.
fn look(path: &Path) -> Result<Option<Metadata>> {
    match fs::symlink_metadata(path) {
        Ok(facts) => Ok(Some(facts)),
        Err(error) if is_absent(&error) => Ok(None),
        Err(source) => Err(Error::Host(HostError::File { what: "looking at", path: path.to_owned(), source })),
    }
}

/// Whether the folder is missing, or something else is in its place.
fn is_absent(error: &io::Error) -> bool {
    [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory].contains(&error.kind())
}

/// The folders on the way to a path, from the root of the file system, including the path itself.
fn way(path: &Path) -> Vec<&Path> {
    let mut way: Vec<&Path> = path.ancestors().collect();
    way.reverse();
    way
}

/// Why users other than root control a path, in words, for the first such folder on the way, including the path itself.
pub(crate) fn why_not(path: &Path) -> Result<Option<String>> {
    for folder in way(path) {
        let Some(facts) = look(folder)? else { return Ok(None) };
        if let Some(flaw) = flaw(&facts) {
            return Ok(Some(format!("{}: {flaw}", folder.display())));
        }
    }
    Ok(None)
}

/// The mode of a folder in which every user can create files, even if they cannot touch those of others.
#[must_use]
pub(crate) fn open_to_others(path: &Path) -> Option<u32> {
    fs::symlink_metadata(path).ok().filter(others_can_write).map(|facts| facts.mode() & 0o7777)
}

/// Make sure that only root controls the folder for pins. On a BPF file system another user's folder is moved aside, so that nobody can keep the
/// machine open with one.
pub(crate) fn secure_way(path: &Path) -> Result<()> {
    let mut device = None;
    for folder in way(path) {
        let Some(facts) = look(folder)? else { return Ok(()) };
        let is_mount = device.replace(facts.dev()) != Some(facts.dev());
        match flaw(&facts) {
            None => {}
            Some(Flaw::Owner(_)) if !is_mount && is_bpffs(folder) => claim(folder)?,
            Some(Flaw::Mode(mode)) if is_bpffs(folder) => {
                chmod(folder, mode | STICKY)?;
                complain(&format!(
                    "note: other users could remove files in {}: its mode is now {:o}, no longer {mode:o}",
                    folder.display(),
                    mode | STICKY
                ));
            }
            Some(flaw) => {
                let fix = match flaw {
                    Flaw::Owner(_) => format!("chown root {}", folder.display()),
                    Flaw::Mode(_) => format!("chmod go-w {}", folder.display()),
                };
                return Err(Error::Kernel(KernelError::Untrusted {
                    path: folder.to_owned(),
                    why: flaw.to_string(),
                    fix,
                }));
            }
        }
    }
    Ok(())
}

/// Make sure that a folder of ours exists, belongs to root, and that nobody else can enter it. Move aside what is in its place. Its parent has passed
/// [`secure_way`].
pub(crate) fn claim(path: &Path) -> Result<()> {
    loop {
        match DirBuilder::new().mode(MODE).create(path) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(source) => return Err(Error::Host(HostError::File { what: "making", path: path.to_owned(), source })),
        }
        // It is gone if another command moved it aside, or does not need it any more.
        let Some(facts) = look(path)? else { continue };
        if is_ours(&facts) {
            return close(path, &facts);
        }
        move_aside(path, facts)?;
    }
}

/// Make sure that nothing in a folder of ours belongs to another user, and that its subfolders are closed to all but root. The caller holds the lock.
pub(crate) fn tidy(folder: &Path, is_our_folder: impl Fn(&str) -> bool) -> Result<()> {
    for Intruder { path, facts } in intruders(folder, &is_our_folder)? {
        move_aside(&path, facts)?;
    }
    for path in list(folder)?.into_iter().filter(|path| is_our_folder(name(path))) {
        claim(&path)?;
    }
    Ok(())
}

/// A file of another user in one of our folders, or in the place of one.
#[derive(Debug)]
pub struct Intruder {
    /// Its path.
    pub path: PathBuf,
    facts: Metadata,
}

impl Intruder {
    /// The file in the place of our folder, if it is not a folder of root.
    pub(crate) fn at(path: &Path) -> Result<Option<Self>> {
        Ok(look(path)?.filter(|facts| !is_ours(facts)).map(|facts| Self { path: path.to_owned(), facts }))
    }
}

impl fmt::Display for Intruder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, facts } = self;
        if is_roots(facts) {
            write!(f, "{} is not a folder", path.display())
        } else {
            write!(f, "{} belongs to user {}, not to root", path.display(), facts.uid())
        }
    }
}

/// The files of other users in our folder.
pub(crate) fn intruders(folder: &Path, is_our_folder: impl Fn(&str) -> bool) -> Result<Vec<Intruder>> {
    let mut found = Vec::new();
    for path in list(folder)? {
        let Some(facts) = look(&path)? else { continue };
        let is_amiss = if is_our_folder(name(&path)) {
            !is_ours(&facts)
        } else {
            !is_roots(&facts) && !name(&path).starts_with(ASIDE)
        };
        found.extend(is_amiss.then_some(Intruder { path, facts }));
    }
    Ok(found)
}

fn name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

/// The paths in a folder; none if it is missing, or not a folder.
fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    let failed = |source| Error::Host(HostError::File { what: "reading", path: folder.to_owned(), source });
    match fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| Ok(entry.map_err(failed)?.path())).collect(),
        Err(error) if is_absent(&error) => Ok(Vec::new()),
        Err(error) => Err(failed(error)),
    }
}

/// The files that were moved aside in a folder, and still exist.
pub(crate) fn moved_aside(folder: &Path) -> Result<Vec<PathBuf>> {
    Ok(list(folder)?.into_iter().filter(|path| name(path).starts_with(ASIDE)).collect())
}

/// Whether it is a folder of root: if others could write to it, a change of its mode makes it ours.
fn is_ours(facts: &Metadata) -> bool {
    facts.is_dir() && is_roots(facts)
}

fn close(path: &Path, facts: &Metadata) -> Result<()> {
    if facts.mode() & 0o7777 == MODE { Ok(()) } else { chmod(path, MODE) }
}

fn chmod(path: &Path, mode: u32) -> Result<()> {
    fs::set_permissions(path, Permissions::from_mode(mode))
        .map_err(|source| Error::Host(HostError::File { what: "changing the mode of", path: path.to_owned(), source }))
}

/// Rename another user's file or folder. It is not removed, because its contents are unknown.
fn move_aside(path: &Path, facts: Metadata) -> Result<()> {
    // Nobody can guess the name and take it.
    let chance = RandomState::new().hash_one(std::process::id());
    let aside = path.with_file_name(format!("{ASIDE}{}-{chance:016x}", name(path)));
    match fs::rename(path, &aside) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => {
            return Err(Error::Host(HostError::File { what: "moving aside", path: path.to_owned(), source }));
        }
        Ok(()) => {}
    }
    if look(&aside)?.is_some_and(|moved| is_ours(&moved)) {
        // Another command was quicker, and this is its new folder. If yet another one exists by now, it is in use.
        let _unused = fs::rename(&aside, path);
        return Ok(());
    }
    let intruder = Intruder { path: path.to_owned(), facts };
    complain(&format!("note: {intruder}; it is called {} now", aside.display()));
    Ok(())
}
