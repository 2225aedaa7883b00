//! The settings in the files for each interface: those that a file names, and outside ones that a pattern matches.

use std::path::{Path, PathBuf};

use crate::{
    cmd::exposed::exposure::paths::{BARE, can_be_filtered},
    config::{File, Settings, file_without},
    error::{ConfigError, Error, Mistakes, Result},
    host::{
        class::{Classes, Side},
        interface::Interface,
        network::Network,
    },
};

/// The settings for an interface in its file.
#[derive(Clone)]
pub(crate) struct Wish {
    /// The interface, by name.
    pub(crate) interface: String,
    /// The file.
    pub(crate) file: PathBuf,
    pub(crate) settings: Settings,
}

/// The files, each without a mistake.
#[derive(Clone, Default)]
pub(crate) struct Wishes {
    files: Vec<File>,
    /// The interfaces that the command names; empty for all.
    named: Vec<String>,
}

/// Wishes for interfaces that are here.
#[derive(Default)]
pub(crate) struct Meant {
    pub(crate) here: Vec<(Interface, Wish)>,
    /// The interfaces that a file names, and that are not here.
    pub(crate) missing: Vec<String>,
    /// Notes on patterns that have no effect.
    pub(crate) notes: Vec<String>,
}

impl Wishes {
    /// The settings for the named interfaces, or for all. With names, mistakes in other files do not count: they must not keep an interface open that
    /// appears late.
    pub(crate) fn new(folder: &Path, files: Vec<File>, named: &[String]) -> Result<Self> {
        if files.is_empty() {
            return Err(Error::Config(ConfigError::NoFiles { folder: folder.to_owned() }));
        }
        if let Some(name) = named.iter().find(|name| !files.iter().any(|file| file.is_for(name) || file.takes(name))) {
            if let Some(file) = file_without(&files, name) {
                return Err(Error::Config(ConfigError::LeftOut { name: name.clone(), file: file.path.clone() }));
            }
            // An unreadable file may be the one for it.
            let mistakes: Vec<_> = files.into_iter().flat_map(|file| file.mistakes).collect();
            return Err(if mistakes.is_empty() {
                Error::Config(ConfigError::NoFile { name: name.clone(), folder: folder.to_owned() })
            } else {
                Error::Config(ConfigError::Mistakes(Mistakes(mistakes)))
            });
        }
        let is_named = |name: &String| files.iter().any(|file| file.is_for(name));
        let concerns = |file: &File, name: &String| file.is_for(name) || (!is_named(name) && file.takes(name));
        let of_interest = |file: &&File| named.is_empty() || named.iter().any(|name| concerns(file, name));
        let mistakes: Vec<_> = files.iter().filter(of_interest).flat_map(|file| file.mistakes.clone()).collect();
        if !mistakes.is_empty() {
            return Err(Error::Config(ConfigError::Mistakes(Mistakes(mistakes))));
        }
        Ok(Self { named: named.to_vec(), files })
    }

    /// Whether a file names the interface.
    pub(crate) fn name(&self, interface: &str) -> bool {
        self.files.iter().any(|file| file.is_for(interface))
    }

    /// Whether some file is for the interface, or would be if it were outside.
    pub(crate) fn may_be_for(&self, interface: &str) -> bool {
        self.files.iter().any(|file| file.is_for(interface) || file.takes(interface))
    }

    /// The present interfaces to act on. If a pattern does not cover a named interface, this fails with the reason.
    pub(crate) fn find(&self, network: &Network) -> Result<Meant> {
        let mut found = Meant::default();
        let classes = Classes::of(network);
        let is_asked = |name: &str| self.named.is_empty() || self.named.iter().any(|one| one == name);
        let wish = |name: &str, file: &File| {
            let settings = file.settings.clone()?;
            Some(Wish { interface: name.to_owned(), file: file.path.clone(), settings })
        };
        let mut taken: Vec<&str> = Vec::new();
        for file in &self.files {
            for name in file.interfaces.iter().map(toml::Spanned::get_ref).filter(|name| is_asked(name)) {
                match network.interfaces.iter().find(|one| one.name == *name) {
                    Some(one) => found.here.extend(wish(name, file).map(|wish| (one.clone(), wish))),
                    None => found.missing.push(name.clone()),
                }
            }
        }
        for file in self.files.iter().filter(|file| !file.patterns.is_empty()) {
            for one in network.interfaces.iter().filter(|one| !self.name(&one.name) && file.takes(&one.name)) {
                let class = classes.class(one);
                if class.side == Side::Outside && can_be_filtered(one) {
                    taken.push(&one.name);
                    found
                        .here
                        .extend(wish(&one.name, file).filter(|_| is_asked(&one.name)).map(|wish| (one.clone(), wish)));
                } else if class.side == Side::Outside && is_asked(&one.name) {
                    found.notes.push(format!("{} stays open ({}): {BARE}", one.name, class.why));
                } else if self.named.contains(&one.name) {
                    let (name, file) = (one.name.clone(), file.path.clone());
                    return Err(Error::Config(ConfigError::NotOutside { name, file, class: class.to_string() }));
                }
            }
        }
        if self.named.is_empty() {
            found.notes.extend(self.idle(&taken, network));
        }
        Ok(found)
    }

    /// The patterns and exceptions that match no present interface.
    fn idle(&self, taken: &[&str], network: &Network) -> Vec<String> {
        let here: Vec<&str> = network.interfaces.iter().map(|one| one.name.as_str()).collect();
        let mut notes = Vec::new();
        for file in &self.files {
            let path = file.path.display();
            for pattern in file.idle_patterns(taken) {
                notes.push(format!("{path}: no outside interface matches `{pattern}`"));
            }
            for except in file.idle_exceptions(&here) {
                notes.push(format!("{path}: `except` names `{except}`, but no interface matches that"));
            }
        }
        notes
    }
}
