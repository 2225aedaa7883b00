//! Kind, key size, value size and capacity of every map. aya does not check a pinned map, and would write past the end of a wrong one.

use std::{
    path::{Path, PathBuf},
    sync::OnceLock,
};

use aya::{
    maps::{MapData, MapError, MapType},
    util::nr_cpus,
};
use fw_common::{
    abi::{
        self, BUFFERS, COUNTED_PROTOCOLS, ClassPage, CounterPage, KNOCKERS, MAX_ATTEMPTS, MAX_RULE_CHUNKS, MAX_SOURCES,
        MAX_UPPERS, Meta, PAGES, PORT_PROTOCOLS, RARE_PORTS, RECENT_FLOWS, RECORDS_PER_CPU, ROUTES_PER_CPU, RarePort,
        ReasonCounters, Route, RuleChunk, RulesAt, SENT_PORTLESS, SentPage, Settings, Source4, Source6, Uppers, map,
    },
    active::Active,
    address::V6,
    admission::{Admission, LimitKey},
    bans::{BAN_BUFFERS, FILTER_PAGES, FilterPage, Index4, Index6, PAGES4, PAGES6, Page4, Page6},
    flow::{FlowEntry, FlowKey4, FlowKey6, Recent4, Recent6},
    rate::Attempts,
    record::{Knocks, Record, Recorder},
};

use crate::{
    error::{Error, KernelError, Result},
    kernel::{
        pinned::{self, MapFacts, Pinned},
        pins::Pins,
    },
};

/// The capacity of both tables of a family together; `None` if none is pinned.
#[must_use]
pub fn capacity(pins: &Pins) -> Option<u32> {
    let entries = |name| pinned::look(&pins.shared_map(name)).ok()?.map().map(|facts| facts.entries);
    match (entries(map::FLOWS4), entries(map::DATAGRAMS4)) {
        (Some(connections), Some(datagrams)) => Some(connections.saturating_add(datagrams)),
        // Versions before 5 had one table.
        (Some(flows), None) if pins.abi() < 5 => Some(flows),
        (None, None) => None,
        // The other table is damaged; both have the same size.
        (Some(half), None) | (None, Some(half)) => Some(half.saturating_mul(2)),
    }
}

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

    /// The shapes of the maps that are, or would be, pinned here.
    pub fn here(pins: &Pins) -> Result<Self> {
        Self::on_this_machine(capacity(pins).unwrap_or(abi::DEFAULT_FLOWS))
    }

    /// For so many flows a family.
    pub fn on_this_machine(flows: u32) -> Result<Self> {
        // The number cannot change before the next boot, and every look at a map asks for it.
        static CPUS: OnceLock<usize> = OnceLock::new();
        let cpus = if let Some(&cpus) = CPUS.get() {
            cpus
        } else {
            let cpus = nr_cpus().map_err(|(what, error)| Error::refused(what, error))?;
            *CPUS.get_or_init(|| cpus)
        };
        Ok(Self::new(u32::try_from(cpus).unwrap_or(u32::MAX), flows))
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
            map::FLOWS4 => shape::<FlowKey4, FlowEntry>(self.flows.div_ceil(2)),
            map::FLOWS6 => shape::<FlowKey6, FlowEntry>(self.flows.div_ceil(2)),
            map::DATAGRAMS4 => shape::<FlowKey4, FlowEntry>(self.flows / 2),
            map::DATAGRAMS6 => shape::<FlowKey6, FlowEntry>(self.flows / 2),
            map::RECENT4 => shape::<u32, Recent4>(self.cpus * RECENT_FLOWS),
            map::RECENT6 => shape::<u32, Recent6>(self.cpus * RECENT_FLOWS),
            map::SENT => shape::<u32, SentPage>(SENT_PORTLESS + 1),
            map::ATTEMPTS => shape::<LimitKey, Attempts>(MAX_ATTEMPTS),
            map::BANS => shape::<u32, u32>(1),
            map::BANS4 => shape::<u32, Page4>(BAN_BUFFERS * PAGES4),
            map::BANS6 => shape::<u32, Page6>(BAN_BUFFERS * PAGES6),
            map::BAN_INDEX4 => shape::<u32, Index4>(BAN_BUFFERS),
            map::BAN_INDEX6 => shape::<u32, Index6>(BAN_BUFFERS),
            map::BAN_FILTER => shape::<u32, FilterPage>(2 * FILTER_PAGES),
            map::ACTIVE => shape::<u32, Active>(1),
            map::SETTINGS => shape::<u32, Settings>(BUFFERS),
            map::PORTS => shape::<u32, ClassPage>(BUFFERS * PORT_PROTOCOLS * PAGES),
            // The prefix length comes before the key itself.
            map::SOURCES4 => shape::<(u32, Source4), Admission>(MAX_SOURCES),
            map::SOURCES6 => shape::<(u32, Source6), Admission>(MAX_SOURCES),
            map::RULES => shape::<RulesAt, RuleChunk>(MAX_RULE_CHUNKS),
            map::COUNTERS => shape::<u32, ReasonCounters>(self.cpus),
            map::PORT_COUNTERS => shape::<u32, CounterPage>(self.cpus * COUNTED_PROTOCOLS * PAGES),
            map::RARE_PORT_COUNTERS => shape::<u32, RarePort>(self.cpus * RARE_PORTS),
            map::ROUTES => shape::<u32, Route>(self.cpus * ROUTES_PER_CPU),
            map::UPPERS => shape::<u32, Uppers>(MAX_UPPERS),
            map::DROPS => shape::<u32, Record>(self.cpus * RECORDS_PER_CPU),
            map::RECORDERS => shape::<u32, Recorder>(self.cpus),
            map::KNOCKS => shape::<V6, Knocks>(KNOCKERS),
            map::META => shape::<u32, Meta>(1),
            _ => panic!("{name} is not a map of ABI {}", abi::ABI_VERSION),
        }
    }

    /// How a map differs from what the programs expect.
    #[must_use]
    pub fn difference(self, name: &str, map: MapFacts) -> Option<String> {
        let expected = self.of(name);
        let kind = kind(name);
        if map.kind != kind as u32 {
            Some(format!("it is a map of kind {}, not {}", map.kind, kind as u32))
        } else if (map.key, map.value) != (expected.key, expected.value) {
            Some(format!(
                "its keys and values have {} and {} bytes, not {} and {}",
                map.key, map.value, expected.key, expected.value
            ))
        } else if map.entries != expected.entries {
            Some(format!("it holds {} entries, not {}", map.entries, expected.entries))
        } else {
            None
        }
    }

    /// Check that a pinned map, if there is one, has the shape that the programs expect.
    pub fn check(self, name: &str, path: &Path, interface: &str) -> Result<()> {
        let difference = match pinned::look(path)? {
            Pinned::Nothing => return Ok(()),
            Pinned::Map(map) => self.difference(name, map),
            other => Some(format!("it is {}", other.words())),
        };
        let Some(difference) = difference else { return Ok(()) };
        let fix = if map::SHARED.contains(&name) {
            "detach every interface first: fw-user detach --all".to_owned()
        } else {
            format!("detach first: fw-user detach {interface}")
        };
        Err(Error::Kernel(KernelError::OtherShape { path: path.to_owned(), difference, fix }))
    }
}

/// The kind that the object declares.
fn kind(name: &str) -> MapType {
    match name {
        map::FLOWS4 | map::FLOWS6 | map::DATAGRAMS4 | map::DATAGRAMS6 | map::ATTEMPTS | map::KNOCKS => MapType::LruHash,
        map::SOURCES4 | map::SOURCES6 => MapType::LpmTrie,
        map::UPPERS | map::RULES | map::BANS4 | map::BANS6 => MapType::Hash,
        _ => MapType::Array,
    }
}

/// Open a pinned map of an interface, if it has the shape that the programs expect.
pub(crate) fn open(pins: &Pins, interface: &str, name: &str) -> Result<MapData> {
    open_at(pins, name, pins.map(interface, name))
}

/// The same of a map that all interfaces share.
pub(crate) fn open_shared(pins: &Pins, name: &str) -> Result<MapData> {
    open_at(pins, name, pins.shared_map(name))
}

fn open_at(pins: &Pins, name: &str, path: PathBuf) -> Result<MapData> {
    let is_table = [map::FLOWS4, map::FLOWS6, map::DATAGRAMS4, map::DATAGRAMS6].contains(&name);
    // The shape of other maps does not depend on what is pinned, and every command opens many of them.
    let shapes = if is_table { Shapes::here(pins)? } else { Shapes::on_this_machine(abi::DEFAULT_FLOWS)? };
    let difference = match pinned::look(&path)? {
        Pinned::Map(map) => shapes.difference(name, map),
        Pinned::Nothing => Some("it is missing".to_owned()),
        other => Some(format!("it is {}", other.words())),
    };
    match difference {
        Some(difference) => Err(Error::Kernel(KernelError::BadPin { path, source: difference.into() })),
        None => MapData::from_pin(&path)
            .map_err(|source: MapError| Error::Kernel(KernelError::BadPin { path, source: source.into() })),
    }
}
