//! The guest's disk: the image's files, and those of one test.

use std::{
    fs::{self, File},
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use tempfile::TempDir;

use super::image::{self, Image};
use crate::lab::{command, fw};

/// How large the file system is, of which the guest fills a third.
const SIZE: &str = "1G";

/// Units that take a third of the boot and that no test needs: logins, unused file systems and modules.
const MASKED: [&str; 14] = [
    "dev-hugepages.mount",
    "dev-mqueue.mount",
    "getty-static.service",
    "getty.target",
    "modprobe@configfs.service",
    "modprobe@dm_mod.service",
    "modprobe@drm.service",
    "modprobe@efi_pstore.service",
    "modprobe@fuse.service",
    "modprobe@loop.service",
    "sys-fs-fuse-connections.mount",
    "sys-kernel-config.mount",
    "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount",
];

/// A disk that is thrown away when dropped.
#[derive(Debug)]
pub struct Disk {
    home: TempDir,
    image: Image,
    /// One guest at a time: an emulated machine takes all processors that there are.
    _turn: File,
}

/// The system's files by hard links, and what is added to them.
#[derive(Debug)]
pub struct Tree<'a>(&'a Path);

impl Disk {
    /// A disk with the command under test in `/usr/local/sbin`, the units of this folder's `guest`, systemd-networkd for eth0, for the card
    /// that is plugged in later and for a bridge as Docker makes it, and what a test adds.
    ///
    /// # Errors
    /// What [`Image::provide`], `add` and `mke2fs` say.
    pub fn new(add: impl FnOnce(&Tree<'_>) -> Result<()>) -> Result<Self> {
        let image = Image::provide()?;
        let turn = File::create(image::folder()?.join("turn"))?;
        turn.lock()?;
        let home = TempDir::with_prefix_in("disk-", image::folder()?)?;
        let root = home.path().join("root");
        command::run(Command::new("cp").args(["--archive", "--link"]).arg(image.root()).arg(&root))?;
        let tree = Tree(&root);
        tree.write("usr/local/sbin/fw-user", &fs::read(fw::binary())?, 0o755)?;
        tree.write("usr/local/bin/control", include_bytes!("guest/control"), 0o755)?;
        // Without one, systemd takes the boot for the first one ever and enables what it likes.
        tree.write("etc/machine-id", b"0123456789abcdef0123456789abcdef\n", 0o444)?;
        for (name, text) in [
            ("eth.network", &include_bytes!("guest/eth.network")[..]),
            ("later.network", include_bytes!("guest/later.network")),
            ("docker0.netdev", include_bytes!("guest/docker0.netdev")),
            ("docker0.network", include_bytes!("guest/docker0.network")),
        ] {
            tree.write(&format!("etc/systemd/network/{name}"), text, 0o644)?;
        }
        for (name, text) in [
            ("control.service", &include_bytes!("guest/control.service")[..]),
            ("listener@.service", include_bytes!("guest/listener@.service")),
            ("probe.service", include_bytes!("guest/probe.service")),
        ] {
            tree.write(&format!("etc/systemd/system/{name}"), text, 0o644)?;
        }
        tree.want("multi-user.target", "systemd-networkd.service", "/lib/systemd/system/systemd-networkd.service")?;
        tree.want("multi-user.target", "control.service", "../control.service")?;
        tree.want("sysinit.target", "probe.service", "../probe.service")?;
        for unit in MASKED {
            symlink("/dev/null", tree.free(&format!("etc/systemd/system/{unit}"))?)?;
        }
        // They take seconds of each boot and of each `systemctl daemon-reload`, and make nothing that this system has: encrypted disks, logins.
        for generator in fs::read_dir(image.root().join("usr/lib/systemd/system-generators"))? {
            let name = generator?.file_name();
            symlink("/dev/null", tree.free(&format!("etc/systemd/system-generators/{}", name.display()))?)?;
        }
        for port in [super::peer::CLOSED, super::peer::OPEN] {
            tree.want("sysinit.target", &format!("listener@{port}.service"), "../listener@.service")?;
        }
        add(&tree)?;
        let disk = Self { home, image, _turn: turn };
        let mut mke2fs = Command::new("mke2fs");
        mke2fs.args(["-q", "-t", "ext4", "-O", "^has_journal", "-d"]).arg(&root).arg(disk.path()).arg(SIZE);
        command::run(&mut mke2fs)?;
        fs::remove_dir_all(&root)?;
        Ok(disk)
    }

    /// The file that holds it.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.home.path().join("disk")
    }

    /// A folder for what belongs to it.
    #[must_use]
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Its contents.
    #[must_use]
    pub const fn image(&self) -> &Image {
        &self.image
    }
}

impl Tree<'_> {
    /// Write a file in the place of one that may be there, which the image goes on having. Paths are relative to the root folder.
    ///
    /// # Errors
    /// The file system's.
    pub fn write(&self, path: &str, contents: &[u8], mode: u32) -> Result<()> {
        let path = self.free(path)?;
        fs::write(&path, contents).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(fs::set_permissions(&path, fs::Permissions::from_mode(mode))?)
    }

    /// Enable a unit as `systemctl enable` would.
    ///
    /// # Errors
    /// The file system's.
    pub fn want(&self, target: &str, unit: &str, file: &str) -> Result<()> {
        let path = self.free(&format!("etc/systemd/system/{target}.wants/{unit}"))?;
        symlink(file, &path).with_context(|| format!("cannot make {}", path.display()))
    }

    fn free(&self, path: &str) -> Result<PathBuf> {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().context("a file in a folder")?)?;
        if path.symlink_metadata().is_ok() {
            fs::remove_file(&path)?;
        }
        Ok(path)
    }
}
