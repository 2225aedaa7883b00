//! Whether the boot service restores the filter of an interface, judged by systemd's files. Nothing here runs a program.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use crate::host::systemd::{
    enabled_units,
    files::{ALL, SETTLE, TEMPLATE, UNITS, unit_path},
    is_booted, name,
};

/// Files that prevent attaching at boot, for someone who has the SD card in hand.
pub(crate) const OFF_FILES: [&str; 3] = ["/boot/firmware/fw-user.off", "/boot/fw-user.off", "/etc/fw-user/off"];

/// The link that makes the network wait for the filters.
const WAITS: &str = "sysinit.target.wants/fw-user-settle.service";

/// The effect of the next boot on an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Boot {
    /// This unit applies the file of the interface.
    Unit(String),
    /// Nothing of fw-user attaches the filter.
    Nothing {
        /// Why.
        why: String,
        /// The command to type, if a new installation of the service does not help.
        fix: Option<String>,
    },
    /// Unknown from here, with the reason.
    Unseen(String),
}

/// Whether the kernel's command line prevents attaching at boot.
#[must_use]
pub(crate) fn has_off_word() -> bool {
    fs::read_to_string("/proc/cmdline").is_ok_and(|line| line.split_whitespace().any(|word| word == "fw-user=off"))
}

/// The effect of the next boot on an interface.
#[must_use]
pub(crate) fn of(interface: &str) -> Boot {
    if !is_booted() {
        return Boot::Unseen("this system was not started by systemd".to_owned());
    }
    if !shares_network_with_systemd() {
        return Boot::Unseen("systemd runs in another network namespace".to_owned());
    }
    let units = enabled_units().unwrap_or_default();
    let own = name::unit(interface);
    let (unit, file) = if units.contains(&own) {
        (own, TEMPLATE)
    } else if units.iter().any(|unit| unit == ALL) {
        (ALL.to_owned(), ALL)
    } else {
        return Boot::Nothing { why: "no boot service is installed".to_owned(), fix: None };
    };
    if let Some(file) = OFF_FILES.into_iter().find(|file| Path::new(file).exists()) {
        return Boot::Nothing { why: format!("{file} keeps {unit} from starting"), fix: Some(format!("rm {file}")) };
    }
    let path = unit_path(file);
    for path in [path.clone(), Path::new(UNITS).join(&unit)] {
        if fs::read_link(&path).is_ok_and(|target| target == Path::new("/dev/null")) {
            let fix = Some(format!("rm {}", path.display()));
            return Boot::Nothing { why: format!("{} is masked", path.display()), fix };
        }
    }
    let Ok(text) = fs::read_to_string(&path) else {
        return Boot::Nothing { why: format!("there is no {file}"), fix: None };
    };
    if let Some(path) = override_of(&unit, file) {
        return Boot::Unseen(format!("{} changes when or what the unit starts", path.display()));
    }
    if file == TEMPLATE && !fs::exists(Path::new(UNITS).join(WAITS)).unwrap_or(false) {
        return Boot::Unseen(format!("{SETTLE} is not enabled, so the network may start before the filter"));
    }
    match program(&text) {
        Some(program) if !Path::new(program).exists() => {
            Boot::Nothing { why: format!("{program}, which {} starts, does not exist", path.display()), fix: None }
        }
        Some(_) => Boot::Unit(unit),
        None => Boot::Unseen(format!("{} does not start `fw-user apply`", path.display())),
    }
}

/// The program that a template unit starts to apply a file.
#[must_use]
pub(crate) fn program(text: &str) -> Option<&str> {
    let mut words = text.lines().find_map(|line| line.strip_prefix("ExecStart="))?.split_whitespace();
    words.next().filter(|_| words.next() == Some("apply"))
}

/// systemd's interfaces are the ones of its own network namespace.
pub(crate) fn shares_network_with_systemd() -> bool {
    let namespace = |process: &str| fs::metadata(format!("/proc/{process}/ns/net")).map(|facts| facts.ino());
    match (namespace("1"), namespace("self")) {
        (Ok(systemd), Ok(own)) => systemd == own,
        // Only root can read this. All other requests of such a user fail as well.
        _ => true,
    }
}

/// An administrator's drop-in that changes when or what the unit starts.
fn override_of(unit: &str, file: &str) -> Option<PathBuf> {
    let folders = [file, unit].map(|name| Path::new(UNITS).join(format!("{name}.d")));
    let files = folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
    let changes =
        |line: &str| ["ExecStart=", "Condition", "Assert"].iter().any(|start| line.trim_start().starts_with(start));
    let mut paths = files.map(|file| file.path()).filter(|path| path.extension().is_some_and(|end| end == "conf"));
    paths.find(|path| fs::read_to_string(path).is_ok_and(|text| text.lines().any(changes)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::systemd::files;

    #[test]
    fn the_program_of_a_unit_is_the_one_that_applies() {
        assert_eq!(program(&files::template("/opt/fw-user").text), Some("/opt/fw-user"));
        assert_eq!(program("[Service]\nExecStart=/bin/true\n"), None);
        assert_eq!(program("[Service]\n"), None);
    }
}
