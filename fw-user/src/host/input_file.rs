//! Files that are read whole.

use std::{fs, io, path::Path};

/// The contents of a file. Refuses other things, above all a pipe, for whose end a command would wait.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    if fs::metadata(path)?.is_file() { fs::read(path) } else { Err(io::Error::other("it is not a regular file")) }
}
