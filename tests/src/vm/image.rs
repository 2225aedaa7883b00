//! The guest's system: Debian's packages, installed into a folder below `target` once.

use std::{
    collections::hash_map::DefaultHasher,
    env,
    fs::{self, File},
    hash::{Hash, Hasher},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use super::platform::PLATFORM;
use crate::lab::{
    command,
    skip::{self, Missing},
};

/// Packages that are installed in addition to Debian's standard ones.
const PACKAGES: &str = "systemd-sysv,udev,iproute2,socat,initramfs-tools";

/// An installed system.
#[derive(Clone, Debug)]
pub struct Image {
    root: PathBuf,
}

impl Image {
    /// The system: from `target`, or installed now, in half a minute.
    ///
    /// # Errors
    /// [`Missing`] without mmdebstrap or on another system than Debian; else what mmdebstrap says.
    pub fn provide() -> Result<Self> {
        let suite = suite()?;
        let options = options();
        let mut hasher = DefaultHasher::new();
        options.hash(&mut hasher);
        let home = folder()?.join(format!("{suite}-{:016x}", hasher.finish()));
        let image = Self { root: home.join("root") };
        // One process installs, the others wait.
        fs::create_dir_all(&home)?;
        let lock = File::create(home.join("lock"))?;
        lock.lock()?;
        if !image.root.exists() {
            skip::need("mmdebstrap", "mmdebstrap")?;
            let half = home.join("unfinished");
            if half.exists() {
                fs::remove_dir_all(&half)?;
            }
            let mut mmdebstrap = Command::new("mmdebstrap");
            command::run(mmdebstrap.args(&options).arg(&suite).arg(&half))?;
            fs::rename(&half, &image.root)?;
        }
        Ok(image)
    }

    /// The folder with the system's files.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The kernel and its initial RAM disk.
    ///
    /// # Errors
    /// The kernel's package made no links to them.
    pub fn kernel(&self) -> Result<(PathBuf, PathBuf)> {
        let find = |name: &str| {
            let link = self.root.join(name);
            link.canonicalize().with_context(|| format!("the guest has no {}", link.display()))
        };
        Ok((find("vmlinuz")?, find("initrd.img")?))
    }
}

/// The folder of images and disks.
///
/// # Errors
/// It cannot be made.
pub fn folder() -> Result<PathBuf> {
    let target = env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"), PathBuf::from);
    let folder = target.join("vm");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder.canonicalize()?)
}

/// The release of this very machine, whose libraries the program under test wants.
fn suite() -> Result<String> {
    let release = fs::read_to_string("/etc/os-release")?;
    let field = |key: &str| release.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    match (field("ID"), field("VERSION_CODENAME")) {
        (Some("debian"), Some(codename)) => Ok(codename.trim_matches('"').to_owned()),
        _ => {
            Err(Missing("the guest is installed from Debian's packages, and this is another system".to_owned()).into())
        }
    }
}

fn options() -> Vec<String> {
    let mut options = vec![
        "--mode=root".to_owned(),
        "--variant=essential".to_owned(),
        format!("--include={PACKAGES},{}", PLATFORM.kernel),
        "--aptopt=Acquire::Languages \"none\"".to_owned(),
    ];
    for folder in ["doc", "man", "locale"] {
        options.push(format!("--dpkgopt=path-exclude=/usr/share/{folder}/*"));
    }
    options
}
