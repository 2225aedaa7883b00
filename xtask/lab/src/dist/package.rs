//! The package itself, by cargo-deb. What goes where stands in fw-user/Cargo.toml; what is generated is put in place here.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use fw_user::testing::files;

use super::{binary, completions, copyright, manual};
use xtask::{architecture::Architecture, command, crates::Crate, linked, workspace};

/// The path of the program in the package; `fw-user service install` finds itself there.
const PROGRAM: &str = "/usr/sbin/fw-user";

/// The tool that builds it.
pub(super) const CARGO_DEB: Crate = Crate { name: "cargo-deb", version: "3.8.0", takes: "about a minute" };

/// Everything in the package that is made of the program's own source, where cargo-deb looks for it.
pub(super) fn prepare(architecture: &Architecture, host: &str, epoch: i64) -> Result<()> {
    check_changelog()?;
    let generated = binary::folder(architecture, host).join("package");
    if generated.exists() {
        fs::remove_dir_all(&generated).with_context(|| format!("cannot empty {}", generated.display()))?;
    }
    for file in [files::template(PROGRAM), files::settle()].into_iter().chain(files::all(PROGRAM)) {
        let name = file.path.file_name().context("a unit has a name")?;
        let folder = if file.path.starts_with(files::UNITS) { "units" } else { "rules" };
        write(&generated.join(folder).join(name), file.text)?;
    }
    // cargo-deb compresses pages, but not those below the folder of what is built.
    let mut gzip = Command::new("gzip");
    gzip.args(["-9", "--no-name"]);
    for page in manual::pages(epoch)? {
        let path = generated.join("man").join(page.name);
        write(&path, page.text)?;
        gzip.arg(path);
    }
    command::output(&mut gzip)?;
    for (path, script) in completions::all()? {
        write(&generated.join(path), script)?;
    }
    write(&generated.join("eth0.toml"), manual::example()?)?;
    write(&generated.join("copyright"), copyright::file(architecture.rust)?)
}

/// Make the package of what is prepared and built, and return the file.
pub(super) fn make(cargo_deb: &Path, architecture: &Architecture, host: &str, epoch: i64) -> Result<PathBuf> {
    let output = workspace::target().join("dist");
    fs::create_dir_all(&output)?;
    let mut deb = Command::new(cargo_deb);
    // The program is built, and stripped by its linker: a strip for another architecture need not be there.
    deb.args([
        "--quiet",
        "--no-build",
        "--no-strip",
        "--locked",
        "--package",
        "fw-user",
        "--target",
        architecture.rust,
    ]);
    deb.arg("--output").arg(&output).current_dir(workspace::root());
    deb.env("CARGO_TARGET_DIR", linked::target_dir(architecture, host));
    let printed = command::output(deb.env("SOURCE_DATE_EPOCH", epoch.to_string()))?;
    let file = PathBuf::from(printed.trim());
    ensure!(file.is_file(), "cargo-deb succeeded, but it named no package: {printed:?}");
    Ok(file)
}

/// The changelog is written by hand, and its version is the package's.
fn check_changelog() -> Result<()> {
    let path = workspace::root().join("packaging/debian/changelog");
    let changelog = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let version = env!("CARGO_PKG_VERSION");
    ensure!(
        changelog.starts_with(&format!("fw-user ({version}-")),
        "the first entry of {} is not version {version}; add an entry with the changes",
        workspace::shown(&path)
    );
    Ok(())
}

/// Write a file below a folder, and the folders that it needs.
fn write(path: &Path, contents: impl AsRef<[u8]>) -> Result<()> {
    fs::create_dir_all(path.parent().context("a file in a folder")?)?;
    fs::write(path, contents).with_context(|| format!("cannot write {}", path.display()))
}
