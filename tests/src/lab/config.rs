//! The files that say what may come in, on the lab's Pi.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result};
use aya::maps::{Array, Map, MapData};

use super::Lab;

impl Lab {
    /// Where a file of this name is, or would be.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.fw.config().join(format!("{name}.toml"))
    }

    /// Write a file as a person would.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write_file(&self, name: &str, text: &str) -> Result<()> {
        fs::write(self.file(name), text).with_context(|| format!("cannot write {name}.toml"))
    }

    /// What stands in a file.
    ///
    /// # Errors
    /// There is no such file.
    pub fn read_file(&self, name: &str) -> Result<String> {
        fs::read_to_string(self.file(name)).with_context(|| format!("cannot read {name}.toml"))
    }

    /// The 64 bits that say which policy of an interface is in force, and how. Every write of a policy changes them.
    ///
    /// # Errors
    /// The interface has no filter.
    pub fn active(&self, interface: &str) -> Result<u64> {
        let pin = self.fw.pins()?.into_iter().find(|pin| pin.ends_with(format!("if-{interface}/ACTIVE")));
        let data = MapData::from_pin(pin.with_context(|| format!("{interface} has no filter"))?)?;
        Ok(Array::<_, u64>::try_from(Map::Array(data))?.get(&0, 0)?)
    }
}
