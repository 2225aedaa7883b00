//! The files that say what may come in, on the lab's Pi.

use std::{fs, mem::offset_of, path::PathBuf};

use anyhow::{Context, Result};
use aya::maps::{Array, Map, MapData};
use fw_common::abi::{Meta, map};

use super::Lab;

impl Lab {
    /// The path of a file of this name, whether it exists or not.
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

    /// The contents of a file.
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
        Ok(Array::<_, u64>::try_from(self.map(interface, map::ACTIVE)?)?.get(&0, 0)?)
    }

    /// Make the filter of an interface look as if another version had attached it.
    ///
    /// # Errors
    /// The interface has no filter.
    pub fn set_version(&self, interface: &str, version: &str) -> Result<()> {
        let mut array: Array<_, [u8; size_of::<Meta>()]> = self.map(interface, map::META)?.try_into()?;
        let mut bytes = array.get(&0, 0)?;
        let field = &mut bytes[offset_of!(Meta, version)..];
        field.fill(0);
        field[..version.len()].copy_from_slice(version.as_bytes());
        Ok(array.set(0, bytes, 0)?)
    }

    fn map(&self, interface: &str, name: &str) -> Result<Map> {
        let pin = self.fw.pins()?.into_iter().find(|pin| pin.ends_with(format!("if-{interface}/{name}")));
        Ok(Map::Array(MapData::from_pin(pin.with_context(|| format!("{interface} has no filter"))?)?))
    }
}
