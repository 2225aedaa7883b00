//! The few programs that the tests start, with their libraries: unpacked from Debian's packages, installed nowhere.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use super::{folders, source::Source};
use xtask::command;

/// netbase has the names of protocols. busybox has an nsenter too, but one that starts busybox' own `ip`.
const PACKAGES: [&str; 8] =
    ["busybox-static", "iproute2", "nftables", "netbase", "util-linux", "bpftool", "ethtool", "wireguard-tools"];
/// They come along, and only packages' own scripts want them.
const LEFT_OUT: [&str; 2] = ["debconf_", "perl-base_"];

/// The root folder of a guest.
pub(super) fn provide(architecture: &str, source: &mut Source) -> Result<PathBuf> {
    let home = folders::folder(&["programs", architecture])?;
    let root = home.join(format!("root-{:016x}", folders::hash(PACKAGES)));
    if root.exists() {
        return Ok(root);
    }
    let fresh = home.join("unfinished");
    folders::empty(&fresh)?;
    eprintln!("{architecture}  downloading {} and their dependencies", PACKAGES.join(", "));
    let packages = source.archive()?.fetch_with_dependencies(&PACKAGES)?;
    for folder in ["bin", "sbin", "lib", "lib64"] {
        fs::create_dir_all(fresh.join("usr").join(folder))?;
        symlink(Path::new("usr").join(folder), fresh.join(folder))?;
    }
    for package in packages {
        let name = package.file_name().context("a package has a name")?.to_string_lossy().into_owned();
        if !LEFT_OUT.iter().any(|start| name.starts_with(start)) {
            command::run(Command::new("dpkg").arg("-x").args([&package, &fresh]))?;
        }
    }
    // Every byte is unpacked by an emulated processor.
    let mut waste = vec![fresh.join("usr/share")];
    waste.extend(folders::files(&fresh.join("usr/lib"))?.iter().map(|libraries| libraries.join("gconv")));
    for waste in waste {
        if waste.exists() {
            fs::remove_dir_all(&waste)?;
        }
    }
    for folder in ["dev", "etc", "proc", "run", "sys", "tmp", "modules"] {
        fs::create_dir_all(fresh.join(folder))?;
    }
    fs::rename(&fresh, &root)?;
    Ok(root)
}
