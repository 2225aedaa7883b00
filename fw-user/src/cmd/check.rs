//! `fw-user check`: prints every mistake in the files at once, without asking the kernel.

use std::path::{Path, PathBuf};

use serde::Serialize;

use clap::Args;

use crate::{
    config::{File, folder},
    error::{ConfigError, Error, Mistake, Mistakes, Result},
    output::{json, print},
};

/// Arguments of `check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Files to check [default: all in the folder of --config].
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Serialize)]
struct CheckJson<'a> {
    files: Vec<PathBuf>,
    mistakes: &'a [Mistake],
}

pub(crate) fn run(config: &Path, args: &CheckArgs) -> Result<()> {
    let files = if args.files.is_empty() { folder::read(config)? } else { folder::read_files(&args.files)? };
    if files.is_empty() {
        return Err(Error::Config(ConfigError::NoFiles { folder: config.to_owned() }));
    }
    let (paths, mistakes): (Vec<_>, Vec<_>) =
        files.into_iter().map(|File { path, mistakes, .. }| (path, mistakes)).unzip();
    let mistakes = mistakes.concat();
    let count = paths.len();
    if args.json {
        print(&json(&CheckJson { files: paths, mistakes: &mistakes })?)?;
    }
    if !mistakes.is_empty() {
        return Err(Error::Config(ConfigError::Mistakes(Mistakes(mistakes))));
    }
    match count {
        _ if args.json => Ok(()),
        1 => print("one file, no mistakes\n"),
        _ => print(&format!("{count} files, no mistakes\n")),
    }
}
