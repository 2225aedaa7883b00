//! All files of the boot service in the administrator's folders, whether or not a service is enabled.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    error::Result,
    host::systemd::{
        files::{self, ALL, ALL_RULES, File, LATER, RULES, SETTLE, TEMPLATE, UNITS},
        is_booted, name, reload,
    },
};

/// The units that the program writes.
const OURS: [&str; 4] = [TEMPLATE, SETTLE, ALL, LATER];

/// Units and rules that somebody edited, and folders of drop-ins.
#[must_use]
pub(crate) fn edited() -> Vec<PathBuf> {
    let (_, edited) = ours();
    let drop_ins = entries(Path::new(UNITS)).into_iter().filter(|path| {
        let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".d"));
        name.is_some_and(is_unit) && path.is_dir()
    });
    edited.into_iter().chain(drop_ins).collect()
}

/// The links that enable a service, and the units and rules that the program wrote.
#[must_use]
pub(crate) fn ours_alone() -> Vec<PathBuf> {
    let folders = entries(Path::new(UNITS));
    let wants = folders.iter().filter(|folder| folder.extension().is_some_and(|extension| extension == "wants"));
    let links = wants.flat_map(|folder| entries(folder)).filter(|path| has_name(path, is_unit) && path.is_symlink());
    let mut found: Vec<PathBuf> = links.collect();
    found.extend(ours().0);
    found
}

/// Remove them. Returns them.
pub(crate) fn remove() -> Result<Vec<PathBuf>> {
    let removed = ours_alone();
    for path in &removed {
        files::remove(path)?;
        if let Some(folder) = path.parent().filter(|folder| folder.extension().is_some_and(|end| end == "wants")) {
            // It stays if another unit is in it.
            let _kept = fs::remove_dir(folder);
        }
    }
    if is_booted() && !removed.is_empty() {
        reload()?;
    }
    Ok(removed)
}

/// Units and rules of fw-user: as the program wrote them, and edited.
fn ours() -> (Vec<PathBuf>, Vec<PathBuf>) {
    let units = OURS.map(|name| Path::new(UNITS).join(name)).into_iter().filter(|path| path.is_file());
    let is_rule = |name: &str| {
        name == ALL_RULES || name.strip_prefix("81-fw-user-").is_some_and(|rest| rest.strip_suffix(".rules").is_some())
    };
    let rules = entries(Path::new(RULES)).into_iter().filter(|path| has_name(path, is_rule));
    units.chain(rules).partition(|path| File::is_intact(path))
}

fn is_unit(name: &str) -> bool {
    OURS.contains(&name) || name::interface(name).is_some()
}

fn has_name(path: &Path, is_meant: impl Fn(&str) -> bool) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(is_meant)
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}
