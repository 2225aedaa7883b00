//! README and docs, and the commands in them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Result;

/// The top folder of this source tree.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Whether a command line of a page builds something or has another program check something. Such lines are run with the slow tests.
#[must_use]
pub fn is_slow(line: &str) -> bool {
    ["cargo build ", "sudo install ", "ansible-playbook "].iter().any(|start| line.starts_with(start))
}

/// README and docs of the source tree at `root`, with their names.
///
/// # Errors
/// One cannot be read.
pub fn all(root: &Path) -> Result<Vec<(String, String)>> {
    let mut paths = vec![root.join("README.md")];
    for entry in fs::read_dir(root.join("docs"))? {
        paths.push(entry?.path());
    }
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    paths.sort_unstable();
    paths.into_iter().map(|path| Ok((path.display().to_string(), fs::read_to_string(&path)?))).collect()
}

/// The lines of the `sh` blocks of a page.
#[must_use]
pub fn command_lines(page: &str) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut is_shell = false;
    for line in page.lines() {
        match line.strip_prefix("```") {
            Some(language) => is_shell = !is_shell && language == "sh",
            None if is_shell => lines.push(line),
            None => {}
        }
    }
    lines
}

/// The commands in the `text` blocks of a page: the host of the prompt, such as `pi` for `pi# `, and the line.
#[must_use]
pub fn typed_lines(page: &str) -> Vec<(&str, &str)> {
    let blocks = page.split("\n```").filter_map(|block| block.strip_prefix("text\n"));
    let of_prompt = |line| {
        ["# ", "$ "].iter().find_map(|mark| str::split_once(line, *mark)).filter(|(place, _)| !place.contains(' '))
    };
    blocks.flat_map(str::lines).map(str::trim_start).filter_map(of_prompt).collect()
}

/// The example in a page about a file: its first block of TOML.
#[must_use]
pub fn example(page: &str) -> Option<&str> {
    let (_, example) = page.split_once("```toml\n")?;
    Some(example.split_once("```")?.0)
}
