//! The configuration file that a boot service applies.

use std::{
    path::{Path, PathBuf},
    slice,
};

use crate::{
    cmd::apply::wishes::Wishes,
    config::{DEFAULT_FOLDER, File, file_for, folder},
    error::{ConfigError, Error, Mistakes, Result},
    host::class::Sides,
};

/// The file with the rules for an interface. A file with a mistake is an error: at boot nobody would see the message.
pub(crate) fn of(folder: &Path, interface: &String) -> Result<PathBuf> {
    let files = folder::read(folder)?;
    let file = file_for(&files, interface, &Sides::here()?).map(|file| file.path.clone());
    Wishes::new(folder, files, slice::from_ref(interface))?;
    file.ok_or_else(|| Error::Config(ConfigError::NoFile { name: interface.clone(), folder: folder.to_owned() }))
}

/// The files that the service for all applies, none of which has a mistake.
pub(crate) fn of_all() -> Result<Vec<PathBuf>> {
    let files: Vec<File> = folder::read(Path::new(DEFAULT_FOLDER))?;
    if files.is_empty() {
        return Err(Error::Config(ConfigError::NoFiles { folder: DEFAULT_FOLDER.into() }));
    }
    let mistakes: Vec<_> = files.iter().flat_map(|file| file.mistakes.clone()).collect();
    if !mistakes.is_empty() {
        return Err(Error::Config(ConfigError::Mistakes(Mistakes(mistakes))));
    }
    Ok(files.into_iter().map(|file| file.path).collect())
}
