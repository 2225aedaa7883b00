//! The files' counterpart to a change of `allow` or `deny`.

use std::path::{Path, PathBuf};

use fw_common::policy::Policy;

use crate::{
    cmd::{
        ports::args::{Change, ChangeArgs, Piece},
        save,
    },
    config::{File, edits::Edits, file_for, folder},
    error::{ConfigError, Error, Result},
    host::class::Sides,
    kernel::{maps::policy_map::PolicyMap, pins::Pins},
    policy_text,
};

/// Whether the file of an interface contains a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum InFile {
    /// There is no file.
    NoFile,
    /// It does.
    Yes(PathBuf),
    /// It does not.
    No(PathBuf),
    /// It cannot be read, and why.
    Unreadable(String),
}

/// The files. Without `--save`, an unreadable file does not stop the change of a port.
pub(crate) fn read(config: &Path, args: &ChangeArgs) -> Result<Vec<File>> {
    match folder::read(config) {
        Err(_) if !args.save => Ok(Vec::new()),
        read => read,
    }
}

/// Check whether an interface's file contains a change; with `--save`, plan to add it. `after` is the policy after the change.
pub(crate) fn plan(
    pins: &Pins,
    edits: &mut Edits<'_>,
    map: &PolicyMap,
    (name, after): (&str, &Policy),
    (args, change, pieces): (&ChangeArgs, &Change, &[Piece]),
) -> Result<InFile> {
    // A file keeps no rule that ends.
    if matches!(change, Change::Allow { end: Some(_), .. }) {
        return Ok(InFile::NoFile);
    }
    let found = match edits.file(name) {
        Err(error) if !args.save => return Ok(InFile::Unreadable(error.to_string())),
        found => found?,
    };
    let Some((file, says)) = found else {
        if !args.save {
            return Ok(InFile::NoFile);
        }
        let wanted = save::settings(pins, name, after.clone(), map.active()?.monitors(), None)?;
        return edits.plan(name, &wanted, &typed(args, change)).map(|(path, _)| InFile::Yes(path));
    };
    let mut wanted = says.clone();
    change.make(&mut wanted.policy, pieces);
    if wanted == *says {
        return Ok(InFile::Yes(file.path.clone()));
    }
    if !args.save {
        return Ok(InFile::No(file.path.clone()));
    }
    edits.plan(name, &wanted, &typed(args, change)).map(|(path, _)| InFile::Yes(path))
}

/// Refuse to write to a file that also applies to an unchanged interface.
pub(crate) fn check_siblings(pins: &Pins, (files, sides): (&[File], &Sides), names: &[String]) -> Result<()> {
    let all = save::with_siblings(pins, (files, sides), names.to_vec())?;
    let Some(sibling) = all.get(names.len()) else { return Ok(()) };
    let path = file_for(files, sibling, sides).map(|file| file.path.clone()).unwrap_or_default();
    Err(Error::Config(ConfigError::NotSaved {
        path,
        why: format!("it is also for {sibling}; name both with --interface"),
    }))
}

/// The new entries for a file's allow list, as typed.
fn typed(args: &ChangeArgs, change: &Change) -> Vec<String> {
    match change {
        Change::Allow { .. } => policy_text::entries(&args.specs),
        Change::Limit { .. } | Change::Deny => Vec::new(),
    }
}
