//! The paths of pinned maps and links: `BPFFS/fw-user/vABI/` has a folder `shared` for the maps of all interfaces, and one for each interface.
//!
//! What every ABI keeps to, so that any version can take over or take off what any other has attached:
//! - an interface's folder is `if-NAME`, the shared one `shared`, and nothing is nested deeper;
//! - in an interface's folder, `ingress-link` is the link of the program that judges, XDP or TCX, and `egress-link` the TCX link of the one that
//!   notes what leaves, where there is one; `next-link` is only there while the first of them changes its mode;
//! - a clsact filter has priority 1 and handle 0xf1e0;
//! - maps are pinned under names of capitals, digits and underscores, and nothing else is pinned;
//! - the folders are root's, and closed to everybody else.
//!
//! The ABI defines the maps and their contents.

use std::{
    fs,
    path::{Path, PathBuf},
};

use fw_common::abi::ABI_VERSION;

use crate::{
    error::{Error, HostError, Result},
    kernel::{
        bpffs,
        lock::{self, Lock, PINS as FOLDER, Wait},
        trust::{self, Intruder},
    },
};

/// The start of the name of every interface's folder, so that none has the name of the shared one.
const INTERFACE_PREFIX: &str = "if-";
const SHARED: &str = "shared";
pub(crate) const INGRESS_LINK: &str = "ingress-link";
pub(crate) const EGRESS_LINK: &str = "egress-link";
/// The start of a name longer than an interface's (`IFNAMSIZ`), for pins while others take their name.
const ASIDE: &str = "another-name-of-";
pub(crate) const NEXT_LINK: &str = "next-link";

/// The pins of one ABI below one BPF file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pins {
    bpffs: PathBuf,
    root: PathBuf,
    abi: u32,
    state: Option<PathBuf>,
}

impl Pins {
    /// The pins of this version below a folder of a BPF file system. This reads nothing yet.
    #[must_use]
    pub fn new(bpffs: &Path) -> Self {
        Self::of_abi(bpffs, ABI_VERSION)
    }

    fn of_abi(bpffs: &Path, abi: u32) -> Self {
        Self { bpffs: bpffs.to_owned(), root: bpffs.join(FOLDER).join(format!("v{abi}")), abi, state: None }
    }

    /// The same with a folder on disk for what outlives a reboot: the ledger of bans.
    #[must_use]
    pub fn with_state(self, folder: &Path) -> Self {
        Self { state: Some(folder.to_owned()), ..self }
    }

    /// The folder for what outlives a reboot, where there is one.
    #[must_use]
    pub fn state(&self) -> Option<&Path> {
        self.state.as_deref()
    }

    /// Their ABI.
    #[must_use]
    pub const fn abi(&self) -> u32 {
        self.abi
    }

    /// The pins of other ABIs here.
    pub fn others(&self) -> Result<Vec<Self>> {
        let mut abis: Vec<u32> = folders(&self.bpffs.join(FOLDER))?
            .into_iter()
            .filter_map(|folder| abi_of(&folder))
            .filter(|&abi| abi != self.abi)
            .collect();
        abis.sort_unstable();
        Ok(abis.into_iter().map(|abi| Self::of_abi(&self.bpffs, abi)).collect())
    }

    /// These and those of the other ABIs.
    pub fn all(&self) -> Result<Vec<Self>> {
        let mut all = vec![self.clone()];
        all.extend(self.others()?);
        Ok(all)
    }

    /// The folder of the BPF file system that contains everything.
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

    /// The pin of an interface's ingress link: XDP, or TCX in TC mode.
    #[must_use]
    pub fn ingress_link(&self, interface: &str) -> PathBuf {
        self.interface(interface).join(INGRESS_LINK)
    }

    /// The pin of the link that will replace the ingress link.
    #[must_use]
    pub fn next_link(&self, interface: &str) -> PathBuf {
        self.interface(interface).join(NEXT_LINK)
    }

    /// The pin of an interface's egress link (TCX).
    #[must_use]
    pub fn egress_link(&self, interface: &str) -> PathBuf {
        self.interface(interface).join(EGRESS_LINK)
    }

    /// The folder of an interface.
    #[must_use]
    pub fn interface(&self, interface: &str) -> PathBuf {
        self.root.join(format!("{INTERFACE_PREFIX}{}", encode(interface)))
    }

    /// The folder of the shared maps.
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
    pub fn interfaces(&self) -> Result<Vec<String>> {
        let mut names: Vec<String> = folders(&self.root)?
            .into_iter()
            .filter_map(|folder| decode(folder.strip_prefix(INTERFACE_PREFIX)?))
            .collect();
        names.sort_unstable();
        Ok(names)
    }

    /// The interfaces that have a folder of any ABI, by name.
    pub fn interfaces_of_all(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for pins in self.all()? {
            names.extend(pins.interfaces()?);
        }
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    /// Create the missing folders for an interface. Only root can enter them.
    pub fn prepare(&self, interface: &str) -> Result<()> {
        let folders = [self.folder(), self.root.clone(), self.shared(), self.interface(interface)];
        folders.iter().try_for_each(|folder| trust::claim(folder))
    }

    /// Whether the pins of one name can move to another name, which has none.
    #[must_use]
    pub(crate) fn can_rename(&self, from: &str, to: &str) -> bool {
        self.interface(from).is_dir() && fs::symlink_metadata(self.interface(to)).is_err()
    }

    /// Move the pins of a renamed interface to its new name. Pins that have that name get the former one, in three steps, because the BPF file system
    /// exchanges folders only on newer kernels. If the process is killed between them, the next command goes on.
    pub(crate) fn rename(&self, from: &str, to: &str) -> Result<()> {
        let step = |from: &str, to: &str| {
            let path = self.interface(from);
            fs::rename(&path, self.interface(to))
                .map_err(|source| Error::Host(HostError::File { what: "renaming", path, source }))
        };
        if self.can_rename(from, to) {
            return step(from, to);
        }
        let aside = format!("{ASIDE}{to}");
        step(to, &aside)?;
        step(from, to)?;
        step(&aside, from)
    }

    /// Whether the pins' folder is on a BPF file system.
    #[must_use]
    pub fn is_on_bpffs(&self) -> bool {
        bpffs::is_bpffs(&self.bpffs)
    }

    /// Take the lock for changes, and make sure that no files of other users are among ours. `None` without a BPF file system: then there are no
    /// pins.
    pub fn lock(&self) -> Result<Option<Lock>> {
        let mut wait = Wait::begin();
        while self.is_on_bpffs() {
            trust::secure_way(&self.bpffs)?;
            if let Some(lock) = lock::take(&self.bpffs, &mut wait)? {
                self.tidy()?;
                return Ok(Some(lock));
            }
        }
        Ok(None)
    }

    /// Move aside what other users put in the place of our folders and pins.
    fn tidy(&self) -> Result<()> {
        if fs::symlink_metadata(self.folder()).is_ok() {
            trust::claim(&self.folder())?;
        }
        self.inside(|folder, is_our_folder| trust::tidy(folder, is_our_folder))
    }

    /// Files that other users put in the place of our folders and pins.
    pub fn intruders(&self) -> Result<Vec<Intruder>> {
        let mut found = Vec::new();
        for path in [self.bpffs.join(lock::NAME), self.folder()] {
            found.extend(Intruder::at(&path)?);
        }
        self.inside(|folder, is_our_folder| {
            found.extend(trust::intruders(folder, is_our_folder)?);
            Ok(())
        })?;
        Ok(found)
    }

    /// Call a function for each of our folders, outermost first, with a predicate for the names of our subfolders.
    fn inside(&self, mut visit: impl FnMut(&Path, fn(&str) -> bool) -> Result<()>) -> Result<()> {
        if trust::why_not(&self.folder())?.is_some() {
            return Ok(());
        }
        visit(&self.folder(), |name| abi_of(name).is_some())?;
        for pins in self.all()? {
            visit(&pins.root, |name| name == SHARED || name.starts_with(INTERFACE_PREFIX))?;
            for folder in folders(&pins.root)? {
                visit(&pins.root.join(folder), |_| false)?;
            }
        }
        Ok(())
    }
}

/// The ABI of a folder, by its name.
fn abi_of(folder: &str) -> Option<u32> {
    folder.strip_prefix('v')?.parse().ok().filter(|abi| format!("v{abi}") == folder)
}

/// The names of root's folders in a folder; none if it is missing, or if other users control it. Symbolic links do not count.
fn folders(path: &Path) -> Result<Vec<String>> {
    let failed = |source| Error::Host(HostError::File { what: "reading", path: path.to_owned(), source });
    if trust::why_not(path)?.is_some() || !fs::symlink_metadata(path).is_ok_and(|facts| facts.is_dir()) {
        return Ok(Vec::new());
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(path).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let facts = entry.metadata().map_err(failed)?;
        if facts.is_dir() && trust::is_roots(&facts) {
            names.extend(entry.file_name().into_string());
        }
    }
    Ok(names)
}

/// The BPF file system allows no dots, but the names of VLAN interfaces have them: they become `%2E`, and `%` becomes `%25`.
fn encode(interface: &str) -> String {
    interface.replace('%', "%25").replace('.', "%2E")
}

fn decode(folder: &str) -> Option<String> {
    let name = folder.replace("%2E", ".").replace("%25", "%");
    (encode(&name) == folder).then_some(name)
}
