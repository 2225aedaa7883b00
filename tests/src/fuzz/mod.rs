//! The checks of the fuzzers in tests/fuzz. Every run of the tests replays their earlier findings in `tests/fuzz/corpus`.

mod allow;
mod config;
mod frame;

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result};

/// A fuzzer: its name, which is that of its folder in the corpus, and what it does with an input. It panics where something is wrong.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name.
    pub name: &'static str,
    /// The check.
    pub run: fn(&[u8]),
}

/// All of them.
pub const TARGETS: [Target; 3] = [Target::FRAME, Target::ALLOW, Target::CONFIG];

impl Target {
    /// Frames that come in.
    pub const FRAME: Self = Self { name: "frame", run: frame::run };
    /// Allow lists.
    pub const ALLOW: Self = Self { name: "allow", run: allow::run };
    /// Files of /etc/fw-user.
    pub const CONFIG: Self = Self { name: "config", run: config::run };

    /// Where its inputs are kept.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(self.name)
    }

    /// Its inputs, by the names of their files.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn inputs(&self) -> Result<Vec<(String, Vec<u8>)>> {
        let folder = self.folder();
        let files = fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))?;
        let mut inputs = Vec::new();
        for file in files {
            let path = file?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            inputs.push((name, fs::read(&path).with_context(|| format!("reading {}", path.display()))?));
        }
        inputs.sort();
        Ok(inputs)
    }
}
