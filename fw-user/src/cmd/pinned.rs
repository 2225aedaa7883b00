//! Recognises an object by its pin.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path};

/// A number that differs for each object pinned at a path, and stays the same when the pin is renamed.
pub(crate) fn inode(pin: &Path) -> Option<u64> {
    fs::metadata(pin).ok().map(|facts| facts.ino())
}
