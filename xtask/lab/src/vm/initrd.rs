//! The initial RAM disk of a guest.

use std::{
    fs::{self, File},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};

use super::{folders, image::Image, programs::Programs};
use xtask::command;

/// Pack it into a file in `folder`, which is emptied first.
pub(super) fn pack(folder: &Path, userland: &Path, image: &Image, programs: &Programs) -> Result<PathBuf> {
    folders::empty(folder)?;
    let root = folder.join("root");
    command::run(Command::new("cp").args(["--archive", "--link"]).arg(userland).arg(&root))?;
    if let Some(modules) = &image.modules {
        for module in folders::files(modules)? {
            fs::hard_link(&module, root.join("modules").join(module.file_name().context("a module has a name")?))?;
        }
    }
    for (name, file) in [("tests", &programs.tests), ("fw-user", &programs.fw_user)] {
        fs::copy(file, root.join(name)).with_context(|| format!("cannot copy {}", file.display()))?;
    }
    let init = root.join("init");
    fs::write(&init, include_bytes!("init"))?;
    fs::set_permissions(&init, fs::Permissions::from_mode(0o755))?;
    let packed = folder.join("initrd");
    let mut find =
        Command::new("find").current_dir(&root).stdout(Stdio::piped()).spawn().context("cannot start find")?;
    let listed = find.stdout.take().context("find's output")?;
    let mut cpio = Command::new("cpio");
    cpio.args(["--create", "--format=newc", "--quiet"]).current_dir(&root).stdin(listed);
    command::run(cpio.stdout(File::create(&packed)?))?;
    ensure!(find.wait()?.success(), "find failed");
    fs::remove_dir_all(&root)?;
    Ok(packed)
}
