//! The configuration file that a boot service applies.

use std::{
    path::{Path, PathBuf},
    slice,
};

use crate::{
    cmd::apply,
    config::folder,
    error::{ConfigError, Error, Result},
};

/// The file that says what may come in. One with a mistake is none: at boot nobody would be there to read of it.
pub(crate) fn of(folder: &Path, interface: &String) -> Result<PathBuf> {
    let wishes = apply::wishes(folder, folder::read(folder)?, slice::from_ref(interface))?;
    let file = wishes.into_iter().map(|wish| wish.file).next();
    file.ok_or_else(|| Error::Config(ConfigError::NoFile { name: interface.clone(), folder: folder.to_owned() }))
}
