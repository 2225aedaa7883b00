//! Removes pins and nothing else: files that no version of `fw-user` creates are left and reported. Symbolic links are not followed.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{
    error::{Error, HostError, Result},
    kernel::{
        pins::{EGRESS_LINK, INGRESS_LINK, NEXT_LINK, Pins},
        sys, trust,
    },
};

/// Remove an interface's pins of one ABI, and with the last interface the shared ones. Links go first, so that a program is off before its maps lose
/// their names. Returns what was left.
pub(crate) fn interface(pins: &Pins, interface: &str) -> Result<Vec<PathBuf>> {
    for link in links(pins, interface) {
        remove_link(&link)?;
    }
    let mut left = folder(&pins.interface(interface))?;
    let mut is_used = false;
    for other in pins.interfaces()? {
        is_used |= entries(&pins.interface(&other))?.iter().any(|(_, is_ours)| *is_ours);
    }
    if pins.interfaces()?.is_empty() {
        left.extend(root(pins)?);
    } else if !is_used {
        // Another interface still has a folder, but without our pins.
        folder(&pins.shared())?;
    }
    Ok(left)
}

/// Remove the shared pins and the folders above them, if no interface has pins. Returns what was left.
pub(crate) fn root(pins: &Pins) -> Result<Vec<PathBuf>> {
    let mut left = folder(&pins.shared())?;
    // A folder that is not empty is left. Its contents are reported already.
    if left.is_empty() {
        left.extend(remove_folder(pins.root())?);
    }
    if left.is_empty() && pins.others()?.is_empty() {
        left.extend(remove_folder(&pins.folder())?);
    }
    Ok(left)
}

/// The paths of an interface's links.
pub(super) fn links(pins: &Pins, interface: &str) -> [PathBuf; 3] {
    [pins.next_link(interface), pins.ingress_link(interface), pins.egress_link(interface)]
}

/// Remove an interface's maps, but not its links.
pub(crate) fn maps(pins: &Pins, interface: &str) -> Result<()> {
    for (path, is_ours) in entries(&pins.interface(interface))? {
        if is_ours && !links(pins, interface).contains(&path) {
            remove_file(&path)?;
        }
    }
    Ok(())
}

/// The foreign files in an interface's folder.
pub(crate) fn strangers(pins: &Pins, interface: &str) -> Result<Vec<PathBuf>> {
    Ok(entries(&pins.interface(interface))?.into_iter().filter(|(_, is_ours)| !is_ours).map(|(path, _)| path).collect())
}

/// Remove our pins in a folder, and the folder if it is empty then.
pub(crate) fn folder(path: &Path) -> Result<Vec<PathBuf>> {
    for (path, is_ours) in entries(path)? {
        if is_ours {
            remove_file(&path)?;
        }
    }
    remove_folder(path)
}

/// Remove a folder that should be empty; otherwise return its contents.
fn remove_folder(path: &Path) -> Result<Vec<PathBuf>> {
    let left: Vec<PathBuf> = entries(path)?.into_iter().map(|(path, _)| path).collect();
    if left.is_empty() && fs::symlink_metadata(path).is_ok_and(|facts| facts.is_dir()) {
        absent_is_fine(fs::remove_dir(path), path)?;
    }
    Ok(left)
}

/// The contents of a folder, each with whether it is a pin of root under a name of some ABI. Empty if it is not a folder.
fn entries(path: &Path) -> Result<Vec<(PathBuf, bool)>> {
    let failed = |source| Error::Host(HostError::File { what: "reading", path: path.to_owned(), source });
    if !fs::symlink_metadata(path).is_ok_and(|facts| facts.is_dir()) {
        return Ok(Vec::new());
    }
    let mut entries = Vec::new();
    for entry in fs::read_dir(path).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let facts = entry.metadata().map_err(failed)?;
        // On a BPF file system, every ordinary file is a pin.
        let is_pin = facts.is_file() && trust::is_roots(&facts);
        entries.push((entry.path(), is_pin && entry.file_name().to_str().is_some_and(is_our_name)));
    }
    entries.sort_unstable();
    Ok(entries)
}

fn is_our_name(name: &str) -> bool {
    [INGRESS_LINK, EGRESS_LINK, NEXT_LINK].contains(&name)
        || name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
}

/// Remove a link's pin, if it exists, and detach its program, whoever else holds the link. The link is closed last: the kernel detaches a program
/// only some time after its last pin is gone.
pub(crate) fn remove_link(path: &Path) -> Result<()> {
    if !fs::symlink_metadata(path).is_ok_and(|facts| facts.is_file()) {
        return Ok(());
    }
    // A pin that cannot be opened, or is not a link, holds no program.
    let link = sys::open_pin(path).ok();
    if let Some(link) = &link {
        let _unused = sys::detach_link(link);
    }
    remove_file(path)?;
    drop(link);
    Ok(())
}

/// Remove a pin, if it exists.
pub(crate) fn remove_file(path: &Path) -> Result<()> {
    absent_is_fine(fs::remove_file(path), path)
}

fn absent_is_fine(result: io::Result<()>, path: &Path) -> Result<()> {
    match result {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(Error::Host(HostError::File { what: "removing", path: path.to_owned(), source }))
        }
        _ => Ok(()),
    }
}
