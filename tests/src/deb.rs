//! Debian packages, and a Debian to install them in that is not this machine's.

use std::{
    collections::BTreeSet,
    env,
    fs::{self, File},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
};

use anyhow::{Context, Result, anyhow, ensure};
use tempfile::TempDir;

use crate::{
    lab::{Lab, command},
    pages::root,
    vm::image::{self, Image},
};

/// Debian's name for this machine's architecture.
pub const NATIVE: &str = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };

/// The Rust compiler's name for this machine.
const TARGET: &str =
    if cfg!(target_arch = "aarch64") { "aarch64-unknown-linux-gnu" } else { "x86_64-unknown-linux-gnu" };

/// The architectures with packages, by Debian's names.
pub const ARCHITECTURES: [&str; 3] = ["amd64", "arm64", "armhf"];

/// The package for this machine, as `cargo xtask dist` makes it; made once.
///
/// # Errors
/// What it says.
pub fn native() -> Result<&'static Path> {
    static NATIVE_PACKAGE: LazyLock<Result<Vec<PathBuf>>> = LazyLock::new(|| dist(&["--arch", NATIVE], &[]));
    let made = NATIVE_PACKAGE.as_deref().map_err(|error| anyhow!("{error:#}"))?;
    Ok(made.first().context("it names no package")?)
}

/// The packages for all architectures, made once.
///
/// # Errors
/// As [`native`].
pub fn packages() -> Result<Vec<&'static Path>> {
    static FOREIGN: LazyLock<Result<Vec<PathBuf>>> = LazyLock::new(|| {
        let names = ARCHITECTURES.into_iter().filter(|name| *name != NATIVE);
        // Nobody runs them: it is about what is in them, and an optimised one takes three times as long to build.
        let quickly = [("OPT_LEVEL", "0"), ("LTO", "off"), ("CODEGEN_UNITS", "16")];
        dist(&names.flat_map(|name| ["--arch", name]).collect::<Vec<_>>(), &quickly)
    });
    // After the one that most tests wait for.
    let native = native()?;
    let foreign = FOREIGN.as_deref().map_err(|error| anyhow!("{error:#}"))?;
    Ok([native].into_iter().chain(foreign.iter().map(PathBuf::as_path)).collect())
}

/// Have `cargo xtask dist` make packages, with these settings in the place of the profile's.
fn dist(args: &[&str], settings: &[(&str, &str)]) -> Result<Vec<PathBuf>> {
    let mut cargo = command::cargo();
    cargo.envs(settings.iter().map(|(setting, value)| (format!("CARGO_PROFILE_RELEASE_{setting}"), value)));
    listed(&root(), cargo.args(["xtask", "dist"]).args(args).current_dir(root()))
}

/// The package for this machine, made once more of a copy of the source in `folder`, where all of our own is built again.
///
/// # Errors
/// As [`packages`].
pub fn elsewhere(folder: &Path) -> Result<PathBuf> {
    let git = |args: &[&str]| {
        let mut git = Command::new("git");
        // A checkout made by another user is as good.
        command::run(git.args(["-c", "safe.directory=*"]).args(args).current_dir(root()))
    };
    for file in git(&["ls-files", "--cached", "--others", "--exclude-standard", "-z"])?.split_terminator('\0') {
        let (from, to) = (root().join(file), folder.join(file));
        if from.exists() {
            fs::create_dir_all(to.parent().context("a file in a folder")?)?;
            fs::copy(&from, &to).with_context(|| format!("cannot copy {file}"))?;
        }
    }
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    fs::create_dir(folder.join("target"))?;
    symlink(target.join("tools").canonicalize()?, folder.join("target/tools"))?;
    native()?;
    copy_foreign_crates(&target, &folder.join("target"))?;
    // The program that made the others, which need not be built again. There is no repository to ask for the time of the commit.
    let mut xtask = Command::new(target.join("debug/xtask-lab"));
    xtask.args(["dist", "--arch", NATIVE]).current_dir(folder).env("CARGO_MANIFEST_DIR", folder.join("xtask"));
    xtask.env("CARGO_TARGET_DIR", folder.join("target"));
    xtask.env("SOURCE_DATE_EPOCH", git(&["log", "-1", "--format=%ct"])?.trim());
    listed(folder, &mut xtask)?.pop().context("it names no package")
}

/// Copy what was built of the registry's crates, which no folder of ours is in: `cargo xtask dist` refuses a program that has one. What is
/// built of our own crates stays behind.
fn copy_foreign_crates(from: &Path, to: &Path) -> Result<()> {
    for folder in ["release".to_owned(), format!("{TARGET}/release")] {
        let (from, to) = (from.join(&folder), to.join(&folder));
        fs::create_dir_all(&to)?;
        // Cargo's own: nothing is built meanwhile.
        let lock = File::open(from.join(".cargo-lock")).context("cargo has built for this machine")?;
        lock.lock()?;
        let parts = ["build", "deps", ".fingerprint"].map(|part| from.join(part));
        command::run(Command::new("cp").args(["--archive", "--reflink=auto"]).args(parts).arg(&to))?;
        for part in ["build", "deps", ".fingerprint"] {
            for entry in fs::read_dir(to.join(part))? {
                let (path, name) = entry.map(|entry| (entry.path(), entry.file_name()))?;
                let name = name.to_string_lossy().replace('_', "-");
                if ["fw-", "libfw-"].iter().any(|ours| name.starts_with(ours)) {
                    if path.is_dir() { fs::remove_dir_all(path)? } else { fs::remove_file(path)? }
                }
            }
        }
    }
    Ok(())
}

/// The packages that the command names, which it does from where it runs.
fn listed(folder: &Path, command: &mut Command) -> Result<Vec<PathBuf>> {
    let said = command::run(command)?;
    let files = said.lines().map(|line| Ok(folder.join(line.split_once("  ").context("a file")?.1)));
    files.collect::<Result<_>>().with_context(|| format!("{command:?} said {said:?}"))
}

/// The same package under another version, in `folder`.
///
/// # Errors
/// What `dpkg-deb` says.
pub fn renamed(package: &Path, version: &str, folder: &Path) -> Result<PathBuf> {
    let tree = folder.join(format!("tree-{version}"));
    command::run(Command::new("dpkg-deb").arg("--raw-extract").args([package, &tree]))?;
    let control = tree.join("DEBIAN/control");
    let text = fs::read_to_string(&control)?;
    let old = text.lines().find(|line| line.starts_with("Version: ")).context("a package has a version")?;
    fs::write(&control, text.replace(old, &format!("Version: {version}")))?;
    let file = folder.join(format!("fw-user_{version}_{NATIVE}.deb"));
    // Quickly, not small.
    command::run(Command::new("dpkg-deb").args(["--root-owner-group", "-Znone", "--build"]).args([&tree, &file]))?;
    fs::remove_dir_all(&tree)?;
    Ok(file)
}

/// A Debian in a folder, with the network and the pins of the lab's Pi. No systemd runs in it.
#[derive(Debug)]
pub struct System<'a> {
    lab: &'a Lab,
    home: TempDir,
}

/// Mounts of this command alone: they are gone with it.
const ENTER: &str = r#"
root=$1; pins=$2; shift 2
for folder in proc sys dev; do mount --rbind /$folder "$root/$folder"; done
mount --bind "$pins" "$root/sys/fs/bpf"
exec chroot "$root" "$@"
"#;

impl<'a> System<'a> {
    /// A system as it was installed.
    ///
    /// # Errors
    /// What [`Image::provide`] says.
    pub fn new(lab: &'a Lab) -> Result<Self> {
        let image = Image::provide()?;
        let home = TempDir::with_prefix_in("system-", image::folder()?)?;
        let system = Self { lab, home };
        command::run(Command::new("cp").arg("--archive").arg(image.root()).arg(system.root()))?;
        // The image does without manuals, for its size.
        for entry in fs::read_dir(system.root().join("etc/dpkg/dpkg.cfg.d"))? {
            fs::remove_file(entry?.path())?;
        }
        Ok(system)
    }

    /// The folder with its files.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.home.path().join("root")
    }

    /// The output of a program in it.
    ///
    /// # Errors
    /// As [`command::run`].
    pub fn run(&self, line: &str) -> Result<String> {
        command::run(&mut self.command(line))
    }

    /// A command line in it, words parted by blanks.
    #[must_use]
    pub fn command(&self, line: &str) -> Command {
        let mut command = self.lab.pi.command("unshare");
        command.args(["--mount", "--", "sh", "-e", "-c", ENTER, "sh"]).arg(self.root()).arg(self.lab.fw.bpffs());
        command.args(["env", "-i", "LC_ALL=C", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive"]);
        command.args(line.split_whitespace());
        command
    }

    /// Have dpkg install a package, and return what it and the package's scripts said.
    ///
    /// # Errors
    /// What they say.
    pub fn install(&self, package: &Path) -> Result<String> {
        fs::copy(package, self.root().join("package.deb"))?;
        let said = self.dpkg("--install /package.deb");
        fs::remove_file(self.root().join("package.deb"))?;
        said
    }

    /// Have dpkg do something, and return what it and the package's scripts said.
    ///
    /// # Errors
    /// What they say.
    pub fn dpkg(&self, args: &str) -> Result<String> {
        let output = self.command(&format!("dpkg {args}")).output()?;
        let said = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
        ensure!(output.status.success(), "dpkg {args}: {}: {said}", output.status);
        Ok(said)
    }

    /// Every file and folder, but for dpkg's own notes.
    ///
    /// # Errors
    /// A folder cannot be read.
    pub fn files(&self) -> Result<BTreeSet<PathBuf>> {
        fn walk(folder: &Path, found: &mut BTreeSet<PathBuf>) -> Result<()> {
            for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
                let entry = entry?;
                let notes = ["var/lib/dpkg", "var/log"].iter().any(|notes| entry.path().ends_with(notes));
                if entry.file_type()?.is_dir() && !notes {
                    walk(&entry.path(), found)?;
                }
                found.insert(entry.path());
            }
            Ok(())
        }
        let mut found = BTreeSet::new();
        walk(&self.root(), &mut found)?;
        Ok(found)
    }
}
