//! Where maps and links are pinned: `BPFFS/fw-user/vABI/`, a folder `shared` for what all interfaces share, and one an interface.
//!
//! What every ABI keeps to, so that any version can take over or take off what any other has attached:
//! - an interface's folder is `if-NAME`, the shared one `shared`, and nothing is nested deeper;
//! - in an interface's folder, `ingress-link` is the XDP link and `egress-link` the TCX link, where there is one;
//! - a clsact filter has priority 1 and handle 0xf1e0;
//! - maps are pinned under names of capitals, digits and underscores, and nothing else is pinned.
//!
//! Which maps there are and what is in them belongs to the ABI.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use fw_common::abi::ABI_VERSION;
use nix::{
    errno::Errno,
    mount::{MsFlags, mount},
    sys::statfs::{BPF_FS_MAGIC, statfs},
};

use super::{
    lock::{self, Lock},
    remove,
};
use crate::{Error, Result, processes};

/// Where the BPF file system is mounted, unless `--bpffs` says otherwise.
pub const DEFAULT_BPFFS: &str = "/sys/fs/bpf";

const FOLDER: &str = "fw-user";
/// Every interface's folder starts with this, so that none is called like the shared one.
const INTERFACE_PREFIX: &str = "if-";
const SHARED: &str = "shared";
pub(super) const INGRESS_LINK: &str = "ingress-link";
pub(super) const EGRESS_LINK: &str = "egress-link";

/// The pins of one ABI below one BPF file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pins {
    bpffs: PathBuf,
    root: PathBuf,
    abi: u32,
}

impl Pins {
    /// The pins of this version below a folder of a BPF file system. Nothing is looked at yet.
    #[must_use]
    pub fn new(bpffs: &Path) -> Self {
        Self::of_abi(bpffs, ABI_VERSION)
    }

    fn of_abi(bpffs: &Path, abi: u32) -> Self {
        Self { bpffs: bpffs.to_owned(), root: bpffs.join(FOLDER).join(format!("v{abi}")), abi }
    }

    /// Which ABI they are of.
    #[must_use]
    pub const fn abi(&self) -> u32 {
        self.abi
    }

    /// The pins of the other ABIs that have some here.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn others(&self) -> Result<Vec<Self>> {
        let mut abis: Vec<u32> = folders(&self.bpffs.join(FOLDER))?
            .into_iter()
            .filter_map(|folder| folder.strip_prefix('v')?.parse().ok().filter(|abi| format!("v{abi}") == folder))
            .filter(|&abi| abi != self.abi)
            .collect();
        abis.sort_unstable();
        Ok(abis.into_iter().map(|abi| Self::of_abi(&self.bpffs, abi)).collect())
    }

    /// These and those of the other ABIs.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn all(&self) -> Result<Vec<Self>> {
        let mut all = vec![self.clone()];
        all.extend(self.others()?);
        Ok(all)
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

    /// The folder of an interface.
    #[must_use]
    pub fn interface(&self, interface: &str) -> PathBuf {
        self.root.join(format!("{INTERFACE_PREFIX}{}", encode(interface)))
    }

    /// The folder of what all interfaces share.
    #[must_use]
    pub fn shared(&self) -> PathBuf {
        self.root.join(SHARED)
    }

    /// The folder of everything of this ABI.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of everything, of all ABIs.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        self.bpffs.join(FOLDER)
    }

    /// The interfaces that have a folder, by name.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn interfaces(&self) -> Result<Vec<String>> {
        let mut names: Vec<String> = folders(&self.root)?
            .into_iter()
            .filter_map(|folder| decode(folder.strip_prefix(INTERFACE_PREFIX)?))
            .collect();
        names.sort_unstable();
        Ok(names)
    }

    /// The interfaces that have a folder of any ABI, by name.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn interfaces_of_all(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for pins in self.all()? {
            names.extend(pins.interfaces()?);
        }
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    /// Make the folders for an interface, where they are missing.
    ///
    /// # Errors
    /// [`Error::NotOurs`], [`Error::File`].
    pub fn prepare(&self, interface: &str) -> Result<()> {
        let folders = self.folders_of(interface);
        if let Some(astray) = remove::astray(&folders) {
            return Err(Error::not_ours(&[astray]));
        }
        for folder in folders {
            match fs::create_dir(&folder) {
                Err(source) if source.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(Error::File { what: "making", path: folder, source });
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The folders that an interface's pins are in, outermost first.
    #[must_use]
    pub fn folders_of(&self, interface: &str) -> [PathBuf; 4] {
        [self.folder(), self.root.clone(), self.shared(), self.interface(interface)]
    }

    /// Whether the pins' folder is on a BPF file system.
    #[must_use]
    pub fn is_on_bpffs(&self) -> bool {
        statfs(&self.bpffs).is_ok_and(|stat| stat.filesystem_type() == BPF_FS_MAGIC)
    }

    /// Refuse where a BPF file system would have to be mounted, and would be gone with the mount namespace of this process, the filter with
    /// it: `ip netns exec` makes one for each command.
    ///
    /// # Errors
    /// [`Error::PrivateMounts`].
    pub fn check_mounts_last(&self) -> Result<()> {
        // Who started this is elsewhere, as far as that may be looked at.
        let mut namespaces: Vec<PathBuf> = processes::ancestors()
            .iter()
            .filter_map(|process| fs::read_link(format!("/proc/{}/ns/mnt", process.pid)).ok())
            .collect();
        namespaces.dedup();
        let lasts = namespaces.len() <= 1;
        // A folder yet to be made may be below one.
        let place = self.bpffs.ancestors().find(|folder| folder.exists()).unwrap_or(&self.bpffs);
        let is_mounted = statfs(place).is_ok_and(|stat| stat.filesystem_type() == BPF_FS_MAGIC);
        if lasts || is_mounted { Ok(()) } else { Err(Error::PrivateMounts { path: self.bpffs.clone() }) }
    }

    /// Make sure that the pins' folder is on a BPF file system: mount one where none is.
    ///
    /// # Errors
    /// [`Error::NoBpffs`], [`Error::Locked`].
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
        // Two commands at once: of two file systems, one over the other, the first would be out of sight.
        let _turn = lock::take(&self.bpffs)?;
        if is_bpffs(&self.bpffs) == Ok(true) {
            return Ok(());
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
}

/// The names of the folders in a folder; none where it is missing. Symbolic links are none.
fn folders(path: &Path) -> Result<Vec<String>> {
    let failed = |source| Error::File { what: "reading", path: path.to_owned(), source };
    if !fs::symlink_metadata(path).is_ok_and(|facts| facts.is_dir()) {
        return Ok(Vec::new());
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(path).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.file_type().map_err(failed)?.is_dir() {
            names.extend(entry.file_name().into_string());
        }
    }
    Ok(names)
}

/// The BPF file system takes no dots, which VLAN interfaces have in their names: they become `%2E`, and `%` becomes `%25`.
fn encode(interface: &str) -> String {
    interface.replace('%', "%25").replace('.', "%2E")
}

fn decode(folder: &str) -> Option<String> {
    let name = folder.replace("%2E", ".").replace("%25", "%");
    (encode(&name) == folder).then_some(name)
}
