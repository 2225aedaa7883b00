//! A configuration file is wrong, missing or cannot be written.

use std::{fmt, path::Path, path::PathBuf};

use serde::Serialize;
use thiserror::Error;

use super::exit_code;

use crate::printable::printable;

/// A configuration file is wrong, missing or cannot be written.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// Several entries in one string of a list in a file.
    #[error("`{0}` holds several entries; write each in quotes of its own: \"22\", \"80\"")]
    SeveralEntries(String),
    /// The text to edit is not a TOML document.
    #[error("invalid TOML: {0}")]
    InvalidToml(#[from] toml_edit::TomlError),
    /// Files with mistakes.
    #[error("{0}")]
    Mistakes(Mistakes),
    /// The ban ledger is damaged.
    #[error(
        "{mistake}\nthe ban ledger is damaged; nothing was changed\ncorrect the line, or start without bans: mv {path} {path}.damaged"
    )]
    Ledger {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        mistake: Mistake,
    },
    /// No file applies to an interface.
    #[error(
        "no file in {folder} is for {name}; `fw-user save {name}` writes the policy in force to one, docs/file.md describes the format"
    )]
    NoFile {
        name: String,
        /// The folder of the files.
        folder: PathBuf,
    },
    /// A file leaves the interface out on purpose.
    #[error("{name} is left out by `except` in {file}; delete it there, or write a file that names {name}")]
    LeftOut {
        name: String,
        /// The file.
        file: PathBuf,
    },
    /// A pattern matches the name of an interface that is not outside.
    #[error(
        "the patterns in {file} match outside interfaces only, and {name} is {class}; a file that names {name} is for it"
    )]
    NotOutside {
        name: String,
        /// The file.
        file: PathBuf,
        /// How it is classed, and why.
        class: String,
    },
    /// There is no file.
    #[error("there is no file in {folder}; `fw-user save` writes the policy in force to files")]
    NoFiles {
        /// The folder of the files.
        folder: PathBuf,
    },
    /// A file is not written.
    #[error("{path} is not written; nothing was changed: {why}")]
    NotSaved {
        /// The file.
        path: PathBuf,
        /// Why not, and what to do.
        why: String,
    },
    /// Interfaces that have a file are missing.
    #[error("missing: {names}; the files of all others are applied; run `fw-user apply` again when it is there")]
    InterfacesMissing {
        /// The interfaces.
        names: String,
    },
}

impl ConfigError {
    /// The exit code of this error.
    #[must_use]
    pub(crate) const fn exit_code(&self) -> u8 {
        match self {
            Self::NoFile { .. }
            | Self::LeftOut { .. }
            | Self::NotOutside { .. }
            | Self::NoFiles { .. }
            | Self::Ledger { .. }
            | Self::NotSaved { .. }
            | Self::InterfacesMissing { .. } => exit_code::FAILED,
            _ => exit_code::USAGE,
        }
    }
}

/// A mistake in a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Mistake {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// The character in the line, from 1.
    pub column: usize,
    /// The mistake, the reason and the fix.
    pub what: String,
}

impl Mistake {
    /// A mistake at a byte of a file's text.
    #[must_use]
    pub fn new(file: &Path, text: &str, at: usize, what: impl Into<String>) -> Self {
        let (line, column) = place(text, at);
        Self { file: file.to_owned(), line, column, what: what.into() }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (file, what) = (printable(&self.file.to_string_lossy()), printable(&self.what));
        write!(f, "{file}:{}:{}: {what}", self.line, self.column)
    }
}

/// Line and character of a byte in a text, both from 1.
#[must_use]
pub(crate) fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.rsplit('\n').next().unwrap_or_default();
    (before.matches('\n').count() + 1, line.chars().count() + 1)
}

/// Files with mistakes, one a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistakes(pub Vec<Mistake>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            1 => write!(f, "one mistake")?,
            count => write!(f, "{count} mistakes")?,
        }
        self.0.iter().try_for_each(|mistake| write!(f, "\n{mistake}"))
    }
}
