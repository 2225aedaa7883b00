//! The `fw-user` command under test.

use std::{
    env,
    ffi::OsStr,
    fs::{self, DirBuilder, File},
    hash::{DefaultHasher, Hash, Hasher},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    process::{self, Command, Stdio},
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
    },
    thread,
};

use anyhow::{Context, Result};
use nix::{
    mount::{MsFlags, mount},
    sys::statfs::{BPF_FS_MAGIC, statfs},
};
use tempfile::TempDir;

use super::{command, namespace::Namespace, wait};

/// The usual mount point of the kernel's BPF file system.
pub const BPFFS: &str = "/sys/fs/bpf";

/// How the folders of tests begin; the number of the process follows.
const PREFIX: &str = "fw-test-";

/// The program: `FW_USER` where that is set (on machines without cargo), else built by cargo, in the profile of the test.
///
/// # Panics
/// It cannot be built.
#[must_use]
pub fn binary() -> &'static Path {
    static BINARY: LazyLock<PathBuf> = LazyLock::new(|| {
        if let Some(path) = env::var_os("FW_USER") {
            return path.into();
        }
        build().expect("cargo builds fw-user, or FW_USER names it")
    });
    &BINARY
}

fn build() -> Result<PathBuf> {
    let mut cargo = command::cargo();
    cargo.args(["build", "--locked", "--package", "fw-user", "--bin", "fw-user", "--message-format", "json"]);
    cargo.args(if cfg!(debug_assertions) { None } else { Some("--release") }).current_dir(env!("CARGO_MANIFEST_DIR"));
    let messages = command::run(&mut cargo)?;
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["target"]["name"] == "fw-user")
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .context("cargo named no executable")
}

/// `fw-user` in one network namespace, with folders of its own for the pins, for its files and for the ledger of bans.
#[derive(Debug)]
pub struct FwUser {
    program: &'static Path,
    bpffs: PathBuf,
    config: TempDir,
    state: TempDir,
}

impl FwUser {
    /// A folder on the BPF file system, called after the running test so that tests can run side by side.
    ///
    /// # Errors
    /// There is no BPF file system, and none can be mounted.
    pub fn new() -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        mount_bpffs()?;
        sweep();
        let mut hasher = DefaultHasher::new();
        (thread::current().name(), process::id(), COUNT.fetch_add(1, Ordering::Relaxed)).hash(&mut hasher);
        let bpffs = Path::new(BPFFS).join(format!("{PREFIX}{}-{:08x}", process::id(), hasher.finish() as u32));
        fs::create_dir(&bpffs).with_context(|| format!("cannot make {}", bpffs.display()))?;
        Ok(Self { program: binary(), bpffs, config: tempfile::tempdir()?, state: tempfile::tempdir()? })
    }

    /// The executable that commands run: [`binary`].
    #[must_use]
    pub const fn program(&self) -> &'static Path {
        self.program
    }

    /// Run another executable from now on: [`trivial::binary`](super::trivial::binary).
    pub const fn set_program(&mut self, program: &'static Path) {
        self.program = program;
    }

    /// The folder below which the pins are.
    #[must_use]
    pub fn bpffs(&self) -> &Path {
        &self.bpffs
    }

    /// The folder of its files.
    #[must_use]
    pub fn config(&self) -> &Path {
        self.config.path()
    }

    /// The ledger of bans.
    #[must_use]
    pub fn ledger(&self) -> PathBuf {
        self.state.path().join("bans")
    }

    /// A command that can still be changed before it runs.
    pub fn command(&self, place: &Namespace, args: impl IntoIterator<Item: AsRef<OsStr>>) -> Command {
        let mut command = place.command(self.program);
        self.finish(&mut command, args);
        command
    }

    /// Add the arguments, and take away what of this process' environment the program might heed.
    pub fn finish(&self, command: &mut Command, args: impl IntoIterator<Item: AsRef<OsStr>>) {
        command.arg("--bpffs").arg(&self.bpffs).arg("--config").arg(self.config());
        command.arg("--state").arg(self.state.path()).args(args).stdin(Stdio::null());
        for name in ["SSH_CONNECTION", "SSH_CLIENT", "SUDO_UID", "NO_COLOR", "CLICOLOR_FORCE"] {
            command.env_remove(name);
        }
        // The machine's own Docker does not belong to the lab.
        command.env("DOCKER_HOST", format!("unix://{}", self.config().join("no-docker.sock").display()));
    }

    /// The folder that commands lock which change something.
    #[must_use]
    pub fn lock_folder(&self) -> PathBuf {
        self.bpffs.join("fw-user-lock")
    }

    /// Take the lock of commands that change something, as they do.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn lock(&self) -> io::Result<File> {
        let folder = self.lock_folder();
        if !folder.exists() {
            DirBuilder::new().mode(0o700).create(&folder)?;
        }
        let lock = File::open(folder)?;
        lock.lock()?;
        Ok(lock)
    }

    /// Wait until a command that was started has the lock's folder open, and so is at the lock.
    ///
    /// # Errors
    /// It does not get there.
    pub fn await_at_lock(&self, pid: u32) -> Result<()> {
        let folder = self.lock_folder();
        wait::until("a command to be at the lock", || {
            let open = fs::read_dir(format!("/proc/{pid}/fd"))?;
            let is_there = open.flatten().any(|file| fs::read_link(file.path()).is_ok_and(|path| path == folder));
            Ok(is_there.then_some(()))
        })
    }

    /// Every pin below the folder, and every folder but the lock's.
    ///
    /// # Errors
    /// A folder cannot be read.
    pub fn pins(&self) -> io::Result<Vec<PathBuf>> {
        fn walk(folder: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
            for entry in fs::read_dir(folder)? {
                let path = entry?.path();
                if path.is_dir() {
                    walk(&path, found)?;
                }
                found.push(path);
            }
            Ok(())
        }
        let mut found = Vec::new();
        walk(&self.bpffs, &mut found)?;
        found.retain(|path| *path != self.lock_folder());
        Ok(found)
    }
}

impl Drop for FwUser {
    fn drop(&mut self) {
        // Links end with their pins, so everything is detached now.
        if let Err(error) = fs::remove_dir_all(&self.bpffs) {
            eprintln!("cannot remove {}: {error}", self.bpffs.display());
        }
    }
}

/// Remove what runs left that were killed: the folders of processes that are over.
fn sweep() {
    let is_over = |name: &str| {
        let pid = name.strip_prefix(PREFIX)?.split_once('-')?.0;
        pid.parse::<u32>().ok().map(|pid| !Path::new("/proc").join(pid.to_string()).exists())
    };
    for folder in fs::read_dir(BPFFS).into_iter().flatten().flatten() {
        if folder.file_name().to_str().and_then(is_over) == Some(true) {
            // Another test may be at it as well.
            let _unused = fs::remove_dir_all(folder.path());
        }
    }
}

/// Mount the BPF file system where it belongs, unless it is there. One test at a time.
fn mount_bpffs() -> Result<()> {
    let folder =
        File::open(BPFFS).with_context(|| format!("no {BPFFS}: this kernel has no BPF, or sysfs is not mounted"))?;
    folder.lock()?;
    if statfs(BPFFS)?.filesystem_type() != BPF_FS_MAGIC {
        mount(Some("bpf"), BPFFS, Some("bpf"), MsFlags::empty(), Some("mode=700"))
            .with_context(|| format!("cannot mount the BPF file system on {BPFFS}: the lab needs root"))?;
    }
    Ok(())
}
