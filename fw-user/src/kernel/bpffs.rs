//! The location of the BPF file system for the pins.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use nix::sys::statfs::{BPF_FS_MAGIC, statfs};

use crate::error::{Error, HostError, Result, UsageError};

/// The default mount point of the BPF file system (`--bpffs`).
pub const DEFAULT: &str = "/sys/fs/bpf";

/// The absolute path of a folder without symbolic links, whether it exists or not.
pub fn resolve(path: &Path) -> Result<PathBuf> {
    let failed = |source| Error::Host(HostError::File { what: "finding", path: path.to_owned(), source });
    let absolute = std::path::absolute(path).map_err(failed)?;
    let mut missing = Vec::new();
    let mut there = absolute.as_path();
    loop {
        match fs::canonicalize(there) {
            Ok(found) => return Ok(missing.into_iter().rev().fold(found, |path: PathBuf, name| path.join(name))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // The next operation on it reports the error.
            Err(_) => return Ok(absolute),
        }
        let (Some(above), Some(name)) = (there.parent(), there.file_name()) else {
            return Err(Error::Usage(UsageError::Usage(format!(
                "--bpffs {}: it goes up from a folder that is not there",
                path.display()
            ))));
        };
        missing.push(name);
        there = above;
    }
}

/// Whether a path is on a BPF file system.
#[must_use]
pub fn is_bpffs(path: &Path) -> bool {
    statfs(path).is_ok_and(|stat| stat.filesystem_type() == BPF_FS_MAGIC)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_path_is_followed_to_where_it_leads_and_as_far_as_it_does() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let real = fs::canonicalize(folder.path())?;
        fs::create_dir(real.join("there"))?;
        symlink("there", real.join("link"))?;
        for (typed, wanted) in [
            ("there", "there"),
            ("link", "there"),
            ("link/new/newer", "there/new/newer"),
            ("there/../link/.", "there"),
            ("new", "new"),
        ] {
            assert_eq!(resolve(&real.join(typed)).ok(), Some(real.join(wanted)), "{typed}");
        }
        assert_eq!(resolve(&real.join("there/..")).ok(), Some(real.clone()));
        for typed in ["new/..", "new/../there"] {
            assert!(matches!(resolve(&real.join(typed)), Err(Error::Usage(UsageError::Usage(_)))), "{typed}");
        }
        let here = std::env::current_dir()?;
        assert_eq!(resolve(Path::new("new")).ok(), Some(here.join("new")));
        Ok(())
    }
}
