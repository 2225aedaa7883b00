//! The copyright holders of the package's parts, and their licences.

use std::{collections::BTreeSet, fs, path::PathBuf};

use anyhow::{Context as _, Result};
use serde::Deserialize;

use xtask::{command, workspace};

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
    manifest_path: PathBuf,
}

/// Debian's file `copyright`: our own terms, and those of everything that is linked in.
pub(super) fn file(target: &str) -> Result<String> {
    let linked = linked(target)?;
    let metadata = command::output(
        command::cargo()
            .args(["metadata", "--quiet", "--locked", "--format-version=1", "--filter-platform", target])
            .current_dir(workspace::root()),
    )?;
    let metadata: Metadata = serde_json::from_str(&metadata).context("cargo metadata")?;
    let mut crates = String::new();
    for package in &metadata.packages {
        let id = format!("{} v{}", package.name, package.version);
        if !linked.contains(&id) || package.manifest_path.starts_with(workspace::root()) {
            continue;
        }
        let license = package.license.as_deref().unwrap_or("see its source");
        crates.push_str(&format!("\n{} {}: {license}\n", package.name, package.version));
        for notice in notices(package)? {
            crates.push_str(&format!("  {notice}\n"));
        }
    }
    let ours = fs::read_to_string(workspace::root().join("LICENSE-MIT")).context("cannot read LICENSE-MIT")?;
    Ok(format!(
        "fw-user is under the MIT licence or the Apache License, Version 2.0, at your choice.\n\
         On Debian systems the latter is in /usr/share/common-licenses/Apache-2.0, the former is:\n\n\
         {ours}\n\
         The program is linked statically. In it are parts of the GNU C Library (LGPL-2.1-or-later, see\n\
         /usr/share/common-licenses/LGPL-2.1; source: Debian's package glibc), the Rust standard library (MIT or Apache-2.0), and\n\
         these crates from crates.io, where their source is. MIT among their terms stands for the words above, with these notices:\n\
         {crates}"
    ))
}

/// The crates that are linked into the program, as `name vVERSION`.
fn linked(target: &str) -> Result<BTreeSet<String>> {
    let mut tree = command::cargo();
    tree.args(["tree", "--quiet", "--locked", "--package", "fw-user", "--edges", "normal,no-proc-macro"]);
    tree.args(["--prefix", "none", "--format", "{p}", "--target", target]).current_dir(workspace::root());
    let listed = command::output(&mut tree)?;
    Ok(listed.lines().map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" ")).collect())
}

/// The lines of a crate's licences that say whose it is.
fn notices(package: &Package) -> Result<BTreeSet<String>> {
    let folder = package.manifest_path.parent().context("a manifest in a folder")?;
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_uppercase();
        if !path.is_file() || !["LICENSE", "LICENCE", "COPYING", "COPYRIGHT"].iter().any(|word| name.contains(word)) {
            continue;
        }
        let text = String::from_utf8_lossy(&fs::read(&path)?).into_owned();
        found.extend(text.lines().map(str::trim).filter(|line| is_notice(line)).map(ToOwned::to_owned));
    }
    Ok(found)
}

/// `Copyright (c) 2015 The Authors`, and neither a template nor a sentence about copyright.
fn is_notice(line: &str) -> bool {
    line.starts_with("Copyright ") && line.bytes().any(|byte| byte.is_ascii_digit()) && !line.contains("[yyyy]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_is_told_from_words_about_notices() {
        assert!(is_notice("Copyright (c) 2015 The Authors"));
        assert!(is_notice("Copyright © 2015, Someone"));
        for line in ["Copyright [yyyy] [name of copyright owner]", "copyright notice and this permission notice"] {
            assert!(!is_notice(line), "{line}");
        }
    }
}
