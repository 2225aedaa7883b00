//! The files, read again and again.

use std::path::{Path, PathBuf};

use crate::{
    config::folder::{self, Text},
    error::Result,
};

/// The result of a read: the texts, or in words why they cannot be read.
pub(crate) type Found = std::result::Result<Vec<Text>, String>;

/// Files that may change.
pub(crate) struct Files {
    place: PathBuf,
    /// The contents that were reported last.
    told: Found,
    /// The contents of the last read if they differ: they may be half written.
    seen: Option<Found>,
}

impl Files {
    /// Read the files of a folder, or the single file at the path.
    pub(crate) fn read(place: &Path) -> Result<(Self, Vec<Text>)> {
        let texts = folder::texts(place)?;
        Ok((Self { place: place.to_owned(), told: Ok(texts.clone()), seen: None }, texts))
    }

    /// The current contents, changed or not.
    pub(crate) fn read_now(&mut self) -> Found {
        self.seen = None;
        self.told = self.find();
        self.told.clone()
    }

    /// The contents of the files, if they changed and stayed the same for two reads.
    pub(crate) fn look(&mut self) -> Option<Found> {
        let now = self.find();
        if now == self.told {
            self.seen = None;
            return None;
        }
        if self.seen.as_ref() != Some(&now) {
            self.seen = Some(now);
            return None;
        }
        Some(self.read_now())
    }

    fn find(&self) -> Found {
        folder::texts(&self.place).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    fn contents(found: Option<Found>) -> Option<Vec<String>> {
        let text = |(_, text): Text| String::from_utf8(text).expect("the test writes text");
        found.map(|found| found.expect("the folder can be read").into_iter().map(text).collect())
    }

    #[test]
    fn a_change_is_told_once_and_not_before_it_has_settled() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("eth0.toml");
        fs::write(&file, "one")?;
        let (mut files, texts) = Files::read(folder.path())?;
        assert_eq!(texts, [(file.clone(), b"one".to_vec())]);
        assert_eq!(files.look(), None);
        fs::write(&file, "")?;
        assert_eq!(files.look(), None);
        fs::write(&file, "two")?;
        assert_eq!(files.look(), None);
        assert_eq!(contents(files.look()), Some(vec!["two".to_owned()]));
        assert_eq!(files.look(), None);
        Ok(())
    }

    #[test]
    fn what_is_undone_before_it_settles_is_not_told() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("eth0.toml");
        fs::write(&file, "one")?;
        let (mut files, _) = Files::read(&file)?;
        fs::write(&file, "")?;
        assert_eq!(files.look(), None);
        fs::write(&file, "one")?;
        assert_eq!(files.look(), None);
        fs::write(&file, "")?;
        assert_eq!(files.look(), None);
        Ok(())
    }

    #[test]
    fn the_symbolic_links_of_a_configmap_are_followed() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let path = |name: &str| folder.path().join(name);
        for (version, text) in [("..1", "one"), ("..2", "two")] {
            fs::create_dir(path(version))?;
            fs::write(path(version).join("eth0.toml"), text)?;
        }
        symlink("..1", path("..data"))?;
        symlink("..data/eth0.toml", path("eth0.toml"))?;
        let (mut files, texts) = Files::read(folder.path())?;
        assert_eq!(texts, [(path("eth0.toml"), b"one".to_vec())]);
        symlink("..2", path("..new"))?;
        fs::rename(path("..new"), path("..data"))?;
        files.look();
        assert_eq!(contents(files.look()), Some(vec!["two".to_owned()]));
        Ok(())
    }

    #[test]
    fn files_that_are_gone_are_told_as_none() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("eth0.toml");
        fs::write(&file, "one")?;
        let (mut files, _) = Files::read(&file)?;
        fs::remove_file(&file)?;
        files.look();
        assert_eq!(contents(files.look()), Some(vec![]));
        Ok(())
    }
}
