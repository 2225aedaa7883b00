//! Where maps and links are pinned: `BPFFS/fw-user/vABI/`, a folder `shared` for what all interfaces share, and one an interface.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use aya::programs::links::PinnedLink;
use fw_common::abi::{ABI_VERSION, map};
use nix::{
    errno::Errno,
    mount::{MsFlags, mount},
    sys::statfs::{BPF_FS_MAGIC, statfs},
};

use super::lock::{self, Lock};
use crate::{Error, Result};

/// Where the BPF file system is mounted, unless `--bpffs` says otherwise.
pub const DEFAULT_BPFFS: &str = "/sys/fs/bpf";

/// Every interface's folder starts with this, so that none is called like the shared one.
const INTERFACE_PREFIX: &str = "if-";
const SHARED: &str = "shared";
const INGRESS_LINK: &str = "ingress-link";
const EGRESS_LINK: &str = "egress-link";

/// The pins of this ABI below one BPF file system.
#[derive(Clone, Debug)]
pub struct Pins {
    bpffs: PathBuf,
    root: PathBuf,
}

impl Pins {
    /// The pins below a folder of a BPF file system. Nothing is looked at yet.
    #[must_use]
    pub fn new(bpffs: &Path) -> Self {
        Self { bpffs: bpffs.to_owned(), root: bpffs.join("fw-user").join(format!("v{ABI_VERSION}")) }
    }

    /// The folder of the BPF file system below which everything is.
    #[must_use]
    pub fn bpffs(&self) -> &Path {
        &self.bpffs
    }

    /// The pin of a map that all interfaces share.
    #[must_use]
    pub fn shared_map(&self, name: &str) -> PathBuf {
        self.root.join(SHARED).join(name)
    }

    /// The pin of an interface's own map.
    #[must_use]
    pub fn map(&self, interface: &str, name: &str) -> PathBuf {
        self.interface(interface).join(name)
    }

    /// The pin of an interface's XDP link.
    #[must_use]
    pub fn ingress_link(&self, interface: &str) -> PathBuf {
        self.interface(interface).join(INGRESS_LINK)
    }

    /// The pin of an interface's TCX link.
    #[must_use]
    pub fn egress_link(&self, interface: &str) -> PathBuf {
        self.interface(interface).join(EGRESS_LINK)
    }

    fn interface(&self, interface: &str) -> PathBuf {
        self.root.join(format!("{INTERFACE_PREFIX}{}", encode(interface)))
    }

    /// The interfaces that have pins, by name.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn interfaces(&self) -> Result<Vec<String>> {
        let entries = match fs::read_dir(&self.root) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(Error::File { what: "reading", path: self.root.clone(), source }),
        };
        let mut names: Vec<String> = entries
            .filter_map(|entry| decode(entry.ok()?.file_name().to_str()?.strip_prefix(INTERFACE_PREFIX)?))
            .collect();
        names.sort_unstable();
        Ok(names)
    }

    /// Make the folders for an interface, where they are missing.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn prepare(&self, interface: &str) -> Result<()> {
        for folder in [self.root.join(SHARED), self.interface(interface)] {
            fs::create_dir_all(&folder).map_err(|source| Error::File { what: "making", path: folder, source })?;
        }
        Ok(())
    }

    /// Make sure that the pins' folder is on a BPF file system: mount one where none is.
    ///
    /// # Errors
    /// [`Error::NoBpffs`].
    pub fn ensure_bpffs(&self) -> Result<()> {
        let no_bpffs = |source: io::Error| Error::NoBpffs { path: self.bpffs.clone(), source };
        let is_bpffs = |path: &Path| statfs(path).map(|stat| stat.filesystem_type() == BPF_FS_MAGIC);
        match is_bpffs(&self.bpffs) {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(Errno::ENOENT) => {
                // A folder yet to be made, below a BPF file system.
                fs::create_dir_all(&self.bpffs).map_err(no_bpffs)?;
                if is_bpffs(&self.bpffs) == Ok(true) {
                    return Ok(());
                }
            }
            Err(error) => return Err(no_bpffs(error.into())),
        }
        mount(Some("bpf"), &self.bpffs, Some("bpf"), MsFlags::empty(), Some("mode=700"))
            .map_err(|error| no_bpffs(error.into()))
    }

    /// Take the lock that commands hold which change something.
    ///
    /// # Errors
    /// [`Error::Locked`], [`Error::File`].
    pub fn lock(&self) -> Result<Lock> {
        lock::take(&self.bpffs)
    }

    /// Remove an interface's maps and folder, and what is shared with the last one. Links are not touched: their pins must be gone.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn remove(&self, interface: &str) -> Result<()> {
        for name in map::PER_INTERFACE {
            remove_file(&self.map(interface, name))?;
        }
        remove_folder(&self.interface(interface))?;
        self.remove_unused()
    }

    /// Remove what is shared where no interface has pins: with the last one, or because a command was killed in between.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn remove_unused(&self) -> Result<()> {
        if self.interfaces()?.is_empty() {
            for name in map::SHARED {
                remove_file(&self.shared_map(name))?;
            }
            remove_folder(&self.root.join(SHARED))?;
            remove_folder(&self.root)?;
            // Another version of fw-user may have its folder beside this one.
            if let Some(parent) = self.root.parent()
                && let Err(error) = remove_folder(parent)
                && !matches!(&error, Error::File { source, .. } if source.kind() == io::ErrorKind::DirectoryNotEmpty)
            {
                return Err(error);
            }
        }
        Ok(())
    }
}

/// Remove a link's pin, if it is there, and close the link last: only then is its program off the interface when this returns. What a
/// pin alone held, the kernel takes off some time later.
pub(super) fn remove_link(path: &Path) -> Result<()> {
    // What is pinned there and is no link holds no program.
    let link = PinnedLink::from_pin(path).ok();
    remove_file(path)?;
    drop(link);
    Ok(())
}

/// Remove a pin, if it is there.
pub(super) fn remove_file(path: &Path) -> Result<()> {
    absent_is_fine(fs::remove_file(path), path)
}

fn remove_folder(path: &Path) -> Result<()> {
    absent_is_fine(fs::remove_dir(path), path)
}

fn absent_is_fine(result: io::Result<()>, path: &Path) -> Result<()> {
    match result {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(Error::File { what: "removing", path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}

/// The BPF file system takes no dots, which VLAN interfaces have in their names: they become `%2E`, and `%` becomes `%25`.
fn encode(interface: &str) -> String {
    interface.replace('%', "%25").replace('.', "%2E")
}

fn decode(folder: &str) -> Option<String> {
    let name = folder.replace("%2E", ".").replace("%25", "%");
    (encode(&name) == folder).then_some(name)
}
