//! `fw-user check`: every mistake of files at once. Nothing is asked of the kernel.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{json, print};
use crate::{
    Error, Result,
    cli::CheckArgs,
    config::{File, Mistake, Mistakes, folder},
};

#[derive(Serialize)]
struct Outcome<'a> {
    files: Vec<PathBuf>,
    mistakes: &'a [Mistake],
}

pub(super) fn run(config: &Path, args: &CheckArgs) -> Result<()> {
    let files = if args.files.is_empty() { folder::read(config)? } else { folder::read_files(&args.files)? };
    if files.is_empty() {
        return Err(Error::NoFiles { folder: config.to_owned() });
    }
    let (paths, mistakes): (Vec<_>, Vec<_>) =
        files.into_iter().map(|File { path, mistakes, .. }| (path, mistakes)).unzip();
    let mistakes = mistakes.concat();
    let count = paths.len();
    if args.json {
        print(&json(&Outcome { files: paths, mistakes: &mistakes })?)?;
    }
    if !mistakes.is_empty() {
        return Err(Error::Mistakes(Mistakes(mistakes)));
    }
    match count {
        _ if args.json => Ok(()),
        1 => print("one file, no mistakes\n"),
        _ => print(&format!("{count} files, no mistakes\n")),
    }
}
