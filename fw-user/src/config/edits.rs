//! Changes of files, all planned before the first is written.

use std::path::{Path, PathBuf};

use crate::{
    config::{File, Settings, edit, file_for, folder},
    error::{ConfigError, Error, Mistakes, Result},
    host::class::Sides,
};

/// The file for every outside interface, if none exists yet.
const ALL: &str = "all.toml";

/// The files of a folder, and their planned changes.
#[derive(Debug)]
pub(crate) struct Edits<'a> {
    folder: &'a Path,
    files: &'a [File],
    sides: &'a Sides,
    planned: Vec<Edit>,
}

/// The planned change of one file.
#[derive(Debug)]
struct Edit {
    path: PathBuf,
    interface: String,
    wanted: Settings,
    /// The new text, if the old one differs.
    text: Option<String>,
}

impl<'a> Edits<'a> {
    /// No changes yet, for the files of this folder.
    #[must_use]
    pub(crate) const fn new(folder: &'a Path, files: &'a [File], sides: &'a Sides) -> Self {
        Self { folder, files, sides, planned: Vec::new() }
    }

    /// The file for an interface, and its settings.
    pub(crate) fn file(&self, interface: &str) -> Result<Option<(&'a File, &'a Settings)>> {
        let path = self.path(interface);
        let found = file_for(self.files, interface, self.sides);
        let Some(file) = found.or_else(|| self.files.iter().find(|file| file.path == path)) else {
            return Ok(None);
        };
        match &file.settings {
            None => Err(Error::Config(ConfigError::Mistakes(Mistakes(file.mistakes.clone())))),
            Some(_) if found.is_none() => Err(Error::Config(ConfigError::NotSaved {
                path,
                why: format!("its `interfaces` do not name {interface}; add it there"),
            })),
            Some(settings) => Ok(Some((file, settings))),
        }
    }

    fn path(&self, interface: &str) -> PathBuf {
        self.folder.join(format!("{interface}.toml"))
    }

    /// Plan the change of an interface's file to the wanted settings, with the entries of the allow list as typed. Returns the file, and whether it
    /// changes.
    pub(crate) fn plan(&mut self, interface: &str, wanted: &Settings, typed: &[String]) -> Result<(PathBuf, bool)> {
        let found = self.file(interface)?;
        let path = found.map_or_else(|| self.path(interface), |(file, _)| file.path.clone());
        if wanted.policy.is_closed() {
            let why = format!("nothing is open at {interface}, and an empty allow list is a mistake in a file");
            return Err(Error::Config(ConfigError::NotSaved { path, why }));
        }
        if let Some(other) = self.planned.iter().find(|other| other.path == path) {
            if other.wanted == *wanted {
                return Ok((path, other.text.is_some()));
            }
            let why =
                format!("it is for {} and {interface}, which differ now; give each a file of its own", other.interface);
            return Err(Error::Config(ConfigError::NotSaved { path, why }));
        }
        let text = match found {
            None => Some(edit::create(interface, wanted, typed)?),
            Some((file, says)) => {
                Some(edit::update(&file.text, says, wanted, typed)?).filter(|text| *text != file.text)
            }
        };
        let changes = text.is_some();
        if changes {
            folder::check(&path)?;
        }
        self.planned.push(Edit { path: path.clone(), interface: interface.to_owned(), wanted: wanted.clone(), text });
        Ok((path, changes))
    }

    /// Plan the change of the file with the pattern `*` to the settings for every outside interface except these. Returns the file.
    pub(crate) fn plan_all(&mut self, except: &[String], wanted: &Settings, typed: &[String]) -> Result<PathBuf> {
        let with_patterns = self.files.iter().find(|file| !file.patterns.is_empty());
        let path = with_patterns.map_or_else(|| self.folder.join(ALL), |file| file.path.clone());
        let refuse = |why: String| Err(Error::Config(ConfigError::NotSaved { path: path.clone(), why }));
        if wanted.policy.is_closed() {
            return refuse("nothing is open, and an empty allow list is a mistake in a file".to_owned());
        }
        let text = match with_patterns.map(|file| (file, &file.settings)) {
            None if self.files.iter().any(|file| file.path == path) => {
                return refuse("the file has no pattern; write interfaces = [\"*\"] there".to_owned());
            }
            None => Some(edit::create_all(except, wanted, typed)?),
            Some((file, None)) => {
                return Err(Error::Config(ConfigError::Mistakes(Mistakes(file.mistakes.clone()))));
            }
            Some((file, Some(_))) if !file.patterns.iter().any(|one| one.get_ref() == "*") => {
                return refuse(
                    "its patterns do not match every interface; write interfaces = [\"*\"] there".to_owned(),
                );
            }
            Some((file, Some(says))) => {
                let text = edit::update(&file.text, says, wanted, typed)?;
                let before: Vec<&str> = file.except.iter().map(|name| name.get_ref().as_str()).collect();
                let text = if before == except { text } else { edit::set_exceptions(&text, except)? };
                Some(text).filter(|text| *text != file.text)
            }
        };
        if text.is_some() {
            folder::check(&path)?;
        }
        self.planned.push(Edit {
            path: path.clone(),
            interface: "every outside interface".to_owned(),
            wanted: wanted.clone(),
            text,
        });
        Ok(path)
    }

    /// Write the planned changes. Returns the files that changed.
    pub(crate) fn write(self) -> Result<Vec<PathBuf>> {
        let mut written: Vec<PathBuf> = Vec::new();
        for Edit { path, text, .. } in self.planned {
            let Some(text) = text else { continue };
            match folder::write(&path, &text) {
                Ok(()) => written.push(path),
                Err(error) if written.is_empty() => return Err(error),
                Err(error) => {
                    let names: Vec<String> = written.iter().map(|path| path.display().to_string()).collect();
                    return Err(error.after(format!("wrote {}", names.join(", "))));
                }
            }
        }
        Ok(written)
    }
}
