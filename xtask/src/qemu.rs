//! qemu, for the tests that boot a machine.

use std::process::Command;

use anyhow::{Context as _, Result};

use crate::{
    command,
    debian::{self, Tool, archive::Archive},
    root, workspace,
};

/// The emulators, of this very architecture and of others.
const QEMU: [Tool; 2] = [
    Tool { program: "qemu-system-x86_64", package: "qemu-system-x86" },
    Tool { program: "qemu-system-aarch64", package: "qemu-system-arm" },
];

/// A package that systems have of qemu without the emulators, and that shares files with them.
const UTILS: &str = "qemu-utils";

/// Install qemu, if it is not there.
pub fn provide() -> Result<()> {
    let missing: Vec<Tool> = QEMU.into_iter().filter(|tool| !tool.is_there()).collect();
    if !missing.is_empty()
        && debian::is_debian()
        && root::is_root()
        && let Some(version) = foreign_version()?
    {
        let release = debian::os_release("VERSION_CODENAME").context("/etc/os-release has no VERSION_CODENAME")?;
        let backports = format!("{release}-backports");
        eprintln!(
            "{UTILS} {version} is in no configured suite; looking for an emulator of that version in {backports}"
        );
        let archive = Archive::open(&workspace::tools().join("qemu"), &[&release, &backports])?;
        let packages: Vec<&str> = missing.iter().map(|tool| tool.package).collect();
        return archive.install(&packages, &backports);
    }
    debian::provide(&missing)
}

/// The version of the installed part of qemu, where the system's own sources have none of that version: two versions of its packages
/// have the same files.
fn foreign_version() -> Result<Option<String>> {
    let asked = command::output(Command::new("dpkg-query").args(["--show", "--showformat=${Version}", UTILS]));
    let Some(version) = asked.ok().filter(|version| !version.is_empty()) else {
        return Ok(None);
    };
    // The lists may never have been read.
    command::output(Command::new("apt-get").args(["update", "--quiet"]))?;
    let offered = command::output(Command::new("apt-cache").args(["madison", QEMU[0].package]))?;
    Ok((!versions(&offered).any(|offered| offered == version)).then_some(version))
}

fn versions(madison: &str) -> impl Iterator<Item = &str> {
    madison.lines().filter_map(|line| line.split('|').nth(1)).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_the_second_column() {
        let madison = "qemu-system-x86 | 1:7.2+b3 | http://mirror.example bookworm/main amd64 Packages\n\
                       qemu-system-x86 | 1:7.2+b1 | http://mirror.example bookworm-security/main amd64 Packages\n";
        assert_eq!(versions(madison).collect::<Vec<_>>(), ["1:7.2+b3", "1:7.2+b1"]);
        assert_eq!(versions("").count(), 0);
    }
}
