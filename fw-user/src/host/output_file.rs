//! Files that the program writes. If others can write to the folder, the name may be theirs, for example a symbolic link to a file of root.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::Path,
};

use nix::{
    errno::Errno,
    unistd::{AccessFlags, Uid, access},
};

use crate::error::{Error, HostError, Result};

/// Replace whatever has the name, even a symbolic link, with a file of this text, atomically: readers find the old text or the new one, also after a
/// crash. A missing folder is created.
pub(crate) fn replace(path: &Path, text: &str) -> Result<()> {
    let failed = |source| Error::Host(HostError::File { what: "writing", path: path.to_owned(), source });
    if fs::symlink_metadata(path).is_ok_and(|facts| !facts.is_file() && !facts.is_symlink()) {
        // A rename would replace a device with a file.
        return Err(failed(io::Error::other("it is not a regular file")));
    }
    let folder = folder(path);
    fs::create_dir_all(folder).map_err(failed)?;
    let mut file = tempfile::Builder::new().prefix(".fw-user-").tempfile_in(folder).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    // It contains no secret, so the umask does not apply.
    file.as_file().set_permissions(fs::Permissions::from_mode(0o644)).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}

/// Refuse a path where [`replace`] could not write: its folder, or the first one above it that exists, is read-only.
pub(crate) fn check(path: &Path) -> Result<()> {
    let Some(folder) = path.ancestors().skip(1).find(|folder| folder.exists()) else { return Ok(()) };
    access(folder, AccessFlags::W_OK).map_err(|error| {
        let source = if error == Errno::EROFS { is_read_only(folder) } else { error.into() };
        Error::Host(HostError::File { what: "writing", path: path.to_owned(), source })
    })
}

fn is_read_only(folder: &Path) -> io::Error {
    let device = |folder: &Path| fs::metadata(folder).map(|facts| facts.dev()).ok();
    let of_same = folder.ancestors().take_while(|above| device(above) == device(folder));
    let place = of_same.last().unwrap_or(folder).display();
    io::Error::other(format!("Read-only file system; `mount -o remount,rw {place}` makes it writable"))
}

/// Open an empty file for writing piece by piece. Accept a device, a pipe or a symbolic link only if nobody else could have put it there.
pub(crate) fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true);
    if is_in_trusted_folder(path) {
        return options.truncate(true).open(path);
    }
    let is_link = |error: &io::Error| error.raw_os_error() == Some(libc::ELOOP);
    let refused =
        |what| Err(io::Error::other(format!("{what}, in a folder that others can write; choose another name")));
    let file = match options.custom_flags(libc::O_NOFOLLOW).truncate(false).open(path) {
        Err(error) if is_link(&error) => return refused("it is a symbolic link"),
        opened => opened?,
    };
    let facts = file.metadata()?;
    if facts.nlink() != 1 {
        return refused("the file has other names");
    }
    if !facts.is_file() && facts.uid() != Uid::effective().as_raw() {
        return refused("it is not a regular file, and belongs to somebody else");
    }
    if facts.is_file() {
        file.set_len(0)?;
    }
    Ok(file)
}

/// Whether only root and this user can create files in the folder of a path.
pub(crate) fn is_in_trusted_folder(path: &Path) -> bool {
    const OTHERS_WRITE: u32 = 0o022;
    let is_trusted = |uid| uid == 0 || uid == Uid::effective().as_raw();
    fs::metadata(folder(path)).is_ok_and(|facts| is_trusted(facts.uid()) && facts.mode() & OTHERS_WRITE == 0)
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use nix::{sys::stat::Mode, unistd::mkfifo};
    use tempfile::TempDir;

    use super::*;

    /// A folder of this mode, and a file outside of it.
    fn folder_of_mode(mode: u32) -> io::Result<(TempDir, std::path::PathBuf, std::path::PathBuf)> {
        let scratch = tempfile::tempdir()?;
        let (folder, other) = (scratch.path().join("folder"), scratch.path().join("other"));
        fs::create_dir(&folder)?;
        fs::set_permissions(&folder, fs::Permissions::from_mode(mode))?;
        fs::write(&other, "precious")?;
        Ok((scratch, folder, other))
    }

    #[test]
    fn a_link_that_anybody_may_have_put_there_is_not_followed() -> io::Result<()> {
        for (mode, is_followed) in [(0o755, true), (0o1777, false), (0o775, false)] {
            let (_scratch, folder, other) = folder_of_mode(mode)?;
            let path = folder.join("link");
            symlink(&other, &path)?;
            let created = create(&path);
            assert_eq!(created.is_ok(), is_followed, "{mode:o}: {created:?}");
            assert_eq!(fs::read_to_string(&other)?.is_empty(), is_followed, "{mode:o}");
        }
        Ok(())
    }

    #[test]
    fn a_file_is_replaced_and_not_what_its_name_leads_to() -> Result<()> {
        let (_scratch, folder, other) = folder_of_mode(0o755)?;
        let path = folder.join("link");
        symlink(&other, &path)?;
        replace(&path, "new")?;
        assert_eq!(
            (fs::read_to_string(&path)?, fs::read_to_string(&other)?),
            ("new".to_owned(), "precious".to_owned())
        );
        assert!(fs::symlink_metadata(&path)?.is_file());
        Ok(())
    }

    #[test]
    fn a_second_name_of_another_file_is_not_written_to() -> io::Result<()> {
        let (_scratch, folder, other) = folder_of_mode(0o1777)?;
        let path = folder.join("name");
        fs::hard_link(&other, &path)?;
        create(&path).expect_err("it is another file");
        assert_eq!(fs::read_to_string(&other)?, "precious");
        Ok(())
    }

    #[test]
    fn what_is_there_is_written_over() -> io::Result<()> {
        let (_scratch, folder, _) = folder_of_mode(0o1777)?;
        let path = folder.join("name");
        fs::write(&path, "a long text")?;
        create(&path)?.write_all(b"short")?;
        assert_eq!(fs::read_to_string(&path)?, "short");
        // A pipe of the user's own, for a program that reads along.
        let pipe = folder.join("pipe");
        mkfifo(&pipe, Mode::S_IRWXU)?;
        let _reader = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&pipe)?;
        create(&pipe).map(drop)
    }
}
