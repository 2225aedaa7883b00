//! The folder of files: reads all of them, and writes one atomically.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{
    config::{File, check},
    error::{Error, HostError, Mistake, Result},
    host::{input_file, output_file},
};

/// A file's path and contents.
pub(crate) type Text = (PathBuf, Vec<u8>);

/// Read every file of a folder whose name ends in `.toml`, sorted by name; none if there is no folder. An unreadable file counts as one with a
/// mistake, so that it does not affect the other interfaces.
pub(crate) fn read(folder: &Path) -> Result<Vec<File>> {
    let read = |path: PathBuf| match input_file::read(&path) {
        Ok(text) => parse_one(&path, text),
        Err(error) => unreadable(&path, "", 0, format!("this cannot be read ({error}); fix it, or remove it")),
    };
    let mut files: Vec<File> = paths(folder)?.into_iter().map(read).collect();
    check::between(&mut files);
    Ok(files)
}

/// A file of which only the name and a mistake are known.
fn unreadable(path: &Path, text: &str, at: usize, what: impl Into<String>) -> File {
    let mistake = Mistake::new(path, text, at, what);
    File { settings: None, mistakes: vec![mistake], ..check::file(path, text.to_owned()) }
}

/// The contents of every file of a folder, or of the single file at the path; none if it is gone.
pub(crate) fn texts(place: &Path) -> Result<Vec<Text>> {
    let paths = if place.is_file() { vec![place.to_owned()] } else { paths(place)? };
    let mut texts = Vec::new();
    for path in paths {
        match input_file::read(&path) {
            Ok(text) => texts.push((path, text)),
            // It was removed between listing and reading.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(Error::Host(HostError::File { what: "reading", path, source })),
        }
    }
    Ok(texts)
}

fn paths(folder: &Path) -> Result<Vec<PathBuf>> {
    let failed = |source| Error::Host(HostError::File { what: "reading", path: folder.to_owned(), source });
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(failed(source)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        let is_hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !is_hidden && path.extension().is_some_and(|extension| extension == "toml") {
            paths.push(path);
        }
    }
    paths.sort_unstable();
    Ok(paths)
}

/// Read these files, and check each by itself and against the others.
pub(crate) fn read_files(paths: &[PathBuf]) -> Result<Vec<File>> {
    let read = |path: &PathBuf| match fs::read(path) {
        Ok(text) => Ok((path.clone(), text)),
        Err(source) => Err(Error::Host(HostError::File { what: "reading", path: path.clone(), source })),
    };
    paths.iter().map(read).collect::<Result<_>>().map(parse)
}

/// Check these texts, each by itself and against the others.
#[must_use]
pub(crate) fn parse(texts: Vec<Text>) -> Vec<File> {
    let mut files: Vec<File> = texts.into_iter().map(|(path, text)| parse_one(&path, text)).collect();
    check::between(&mut files);
    files
}

fn parse_one(path: &Path, text: Vec<u8>) -> File {
    match String::from_utf8(text) {
        Ok(text) => check::file(path, text),
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            let text = String::from_utf8_lossy(error.as_bytes());
            unreadable(path, &text, at, "this is not UTF-8 text; save the file as UTF-8")
        }
    }
}

/// Refuse a file that [`write()`] could not write.
pub(crate) fn check(path: &Path) -> Result<()> {
    output_file::check(&fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()))
}

/// Write a file atomically: readers find the old text or the new one, also after a crash. A missing folder is created. The target of a symbolic link
/// is replaced, not the link.
pub(crate) fn write(path: &Path, text: &str) -> Result<()> {
    if !fs::symlink_metadata(path).is_ok_and(|facts| facts.is_symlink()) {
        return output_file::replace(path, text);
    }
    if !output_file::is_in_trusted_folder(path) {
        let source = io::Error::other("it is a symbolic link, in a folder that others can write; remove it");
        return Err(Error::Host(HostError::File { what: "writing", path: path.to_owned(), source }));
    }
    output_file::replace(&fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()), text)
}
