//! Key size, value size and capacity of every map. aya takes any pinned map for its own; a wrong one would be written past its end.

use std::path::Path;

use aya::maps::MapInfo;
use fw_common::{
    abi::{
        self, Active, BUFFERS, COUNTED_PROTOCOLS, ClassPage, CounterPage, MAX_SOURCES, Meta, PAGES, PORT_PROTOCOLS,
        PortCounter, RARE_PORTS, ROUTES_PER_CPU, ReasonCounters, Route, SentPage, Settings, Source4, Source6, map,
    },
    flow::{FlowEntry, FlowKey4, FlowKey6},
};

use crate::{Error, Result};

/// Key size, value size and capacity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shape {
    key: usize,
    value: usize,
    entries: u32,
}

const fn shape<K, V>(entries: u32) -> Shape {
    Shape { key: size_of::<K>(), value: size_of::<V>(), entries }
}

/// The shapes of the maps on this machine.
#[derive(Clone, Copy, Debug)]
pub struct Shapes {
    cpus: u32,
    flows: u32,
}

impl Shapes {
    /// For this many possible CPUs and this many flows a family.
    #[must_use]
    pub const fn new(cpus: u32, flows: u32) -> Self {
        Self { cpus, flows }
    }

    /// The capacity of a map.
    #[must_use]
    pub fn entries(self, name: &str) -> u32 {
        self.of(name).entries
    }

    /// The shape of a map.
    ///
    /// # Panics
    /// For a name that is not in [`abi::map`].
    fn of(self, name: &str) -> Shape {
        match name {
            map::FLOWS4 => shape::<FlowKey4, FlowEntry>(self.flows),
            map::FLOWS6 => shape::<FlowKey6, FlowEntry>(self.flows),
            map::SENT => shape::<u32, SentPage>(PORT_PROTOCOLS * PAGES),
            map::ACTIVE => shape::<u32, Active>(1),
            map::SETTINGS => shape::<u32, Settings>(BUFFERS),
            map::PORTS => shape::<u32, ClassPage>(BUFFERS * PORT_PROTOCOLS * PAGES),
            // The prefix length comes before the key proper.
            map::SOURCES4 => shape::<(u32, Source4), u8>(MAX_SOURCES),
            map::SOURCES6 => shape::<(u32, Source6), u8>(MAX_SOURCES),
            map::COUNTERS => shape::<u32, ReasonCounters>(self.cpus),
            map::PORT_COUNTERS => shape::<u32, CounterPage>(self.cpus * COUNTED_PROTOCOLS * PAGES),
            map::RARE_PORT_COUNTERS => shape::<u32, PortCounter>(RARE_PORTS),
            map::ROUTES => shape::<u32, Route>(self.cpus * ROUTES_PER_CPU),
            map::META => shape::<u32, Meta>(1),
            _ => panic!("{name} is not a map of ABI {}", abi::ABI_VERSION),
        }
    }

    /// Check that a pinned map, if there is one, has the shape that the programs were written for.
    ///
    /// # Errors
    /// [`Error::OtherShape`], [`Error::BadPin`].
    pub fn check(self, name: &str, path: &Path, interface: &str) -> Result<()> {
        if !path.exists() {
            return Ok(());
        }
        let info =
            MapInfo::from_pin(path).map_err(|source| Error::BadPin { path: path.to_owned(), source: source.into() })?;
        let found =
            Shape { key: info.key_size() as usize, value: info.value_size() as usize, entries: info.max_entries() };
        let expected = self.of(name);
        if found == expected {
            return Ok(());
        }
        let difference = if (found.key, found.value) == (expected.key, expected.value) {
            format!("it holds {} entries, not {}", found.entries, expected.entries)
        } else {
            format!(
                "its keys and values have {} and {} bytes, not {} and {}",
                found.key, found.value, expected.key, expected.value
            )
        };
        let cure = if map::SHARED.contains(&name) {
            "detach every interface first: fw-user detach --all".to_owned()
        } else {
            format!("detach first: fw-user detach {interface}")
        };
        Err(Error::OtherShape { path: path.to_owned(), difference, cure })
    }
}
