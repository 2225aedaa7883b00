//! The flow tables, which all interfaces share.

use std::{
    fmt,
    ops::RangeInclusive,
    time::{Duration, Instant},
};

use aya::maps::{Array, HashMap, Map, MapData, MapError};
use bytemuck::{Pod, Zeroable};
use fw_common::{
    abi::{PAGES, PORT_PROTOCOLS, SentPage, map},
    flow::{FlowEntry, FlowKey, FlowKey4, FlowKey6, Timeouts},
};

use crate::{
    error::{Error, KernelError, Result},
    kernel::{maps::batch::BatchMap, pins::Pins, plain::Plain},
};

/// The possible capacities of a table.
pub const CAPACITY: RangeInclusive<i64> = 1024..=16_777_216;

/// The number of flows in a batch.
const STEP: usize = 16_384;

/// The number of steps after which a count is estimated: a million flows are counted in tens of milliseconds, to about one percent.
const SAMPLE: usize = 2;

/// The pause after a step, as a multiple of its time, so that counting costs at most half a percent of a CPU.
const PAUSE: u32 = 200;

/// The tables of both families, for single look-ups.
pub(crate) struct Tables {
    pub(crate) v4: Family<FlowKey4>,
    pub(crate) v6: Family<FlowKey6>,
}

/// The two tables of a family.
pub(crate) struct Family<K: FlowKey> {
    connections: FlowMap<K>,
    datagrams: FlowMap<K>,
}

type FlowMap<K> = HashMap<MapData, Plain<K>, Plain<FlowEntry>>;

impl Tables {
    /// The pinned ones.
    pub(crate) fn open(pins: &Pins) -> Result<Self> {
        let bad = |name, error: MapError| {
            Error::Kernel(KernelError::BadPin { path: pins.shared_map(name), source: error.into() })
        };
        Self::of(
            |name| MapData::from_pin(pins.shared_map(name)).map(Map::LruHashMap).map_err(|error| bad(name, error)),
            bad,
        )
    }

    /// The tables behind the maps that `map` returns for each name.
    pub(crate) fn of(
        mut map: impl FnMut(&'static str) -> Result<Map>,
        bad: impl Fn(&'static str, MapError) -> Error,
    ) -> Result<Self> {
        Ok(Self {
            v4: Family {
                connections: map(map::FLOWS4)?.try_into().map_err(|error| bad(map::FLOWS4, error))?,
                datagrams: map(map::DATAGRAMS4)?.try_into().map_err(|error| bad(map::DATAGRAMS4, error))?,
            },
            v6: Family {
                connections: map(map::FLOWS6)?.try_into().map_err(|error| bad(map::FLOWS6, error))?,
                datagrams: map(map::DATAGRAMS6)?.try_into().map_err(|error| bad(map::DATAGRAMS6, error))?,
            },
        })
    }
}

impl<K: FlowKey> Family<K> {
    fn table(&self, key: &K) -> &FlowMap<K> {
        if key.class().is_among_connections() { &self.connections } else { &self.datagrams }
    }

    fn table_mut(&mut self, key: &K) -> &mut FlowMap<K> {
        if key.class().is_among_connections() { &mut self.connections } else { &mut self.datagrams }
    }

    /// The entry of a flow.
    pub(crate) fn get(&self, key: &K) -> Result<Option<FlowEntry>, MapError> {
        match self.table(key).get(&Plain(*key), 0) {
            Ok(Plain(entry)) => Ok(Some(entry)),
            Err(MapError::KeyNotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Put a flow into its table.
    pub(crate) fn insert(&mut self, key: &K, entry: FlowEntry) -> Result<(), MapError> {
        self.table_mut(key).insert(Plain(*key), Plain(entry), 0)
    }

    /// Remove an existing flow.
    pub(crate) fn remove(&mut self, key: &K) -> Result<(), MapError> {
        self.table_mut(key).remove(&Plain(*key))
    }
}

/// The local ports from which a packet ever left.
pub(crate) struct Sent(Array<MapData, Plain<SentPage>>);

impl Sent {
    /// The pinned map.
    pub(crate) fn open(pins: &Pins) -> Result<Self> {
        let path = pins.shared_map(map::SENT);
        let bad = |error: MapError| Error::Kernel(KernelError::BadPin { path: path.clone(), source: error.into() });
        Ok(Self(Map::Array(MapData::from_pin(&path).map_err(bad)?).try_into().map_err(bad)?))
    }

    /// Change a page. It is written only if it differs, because the programs of other interfaces mark the same page.
    pub(crate) fn change(&mut self, index: u32, change: impl FnOnce(&mut SentPage)) -> Result<(), MapError> {
        let Plain(before) = self.0.get(&index, 0)?;
        let mut page = before;
        change(&mut page);
        if page == before { Ok(()) } else { self.0.set(index, Plain(page), 0) }
    }
}

/// The versions from which flows are taken over: those with one table per family, and with marks for local ports.
const ALIKE: [u32; 2] = [3, 4];

/// Copy the flows of another version's tables that are alive at `now`, in nanoseconds of `CLOCK_MONOTONIC`. If the tables have other shapes, open
/// connections are read from the kernel instead.
pub(crate) fn inherit(from: &Pins, to: &Pins, now: u64, timeouts: &Timeouts) -> Result<()> {
    if !ALIKE.contains(&from.abi()) {
        return Ok(());
    }
    let mut tables = Tables::open(to)?;
    inherit_table(from, map::FLOWS4, &mut tables.v4, now, timeouts)?;
    inherit_table(from, map::FLOWS6, &mut tables.v6, now, timeouts)?;
    inherit_sent(from, to)
}

/// Leave out expired flows, so that they evict none. The old versions did not record whether a flow was answered.
fn inherit_table<K: FlowKey>(from: &Pins, name: &str, to: &mut Family<K>, now: u64, timeouts: &Timeouts) -> Result<()> {
    let Ok(old) = BatchMap::<K, FlowEntry>::open(&from.shared_map(name)) else { return Ok(()) };
    let (mut keys, mut entries) = (vec![K::zeroed(); STEP], vec![FlowEntry::zeroed(); STEP]);
    let mut next = None;
    loop {
        let count;
        (count, next) = old.read(next, &mut keys, &mut entries)?;
        for (key, entry) in keys.iter().zip(&entries[..count]) {
            if entry.is_alive(now, timeouts.of(key.class(), true)) {
                let entry = FlowEntry::new(entry.last_seen, true);
                to.insert(key, entry).map_err(|error| Error::refused("taking over what is open", error))?;
            }
        }
        if next.is_none() {
            return Ok(());
        }
    }
}

fn inherit_sent(from: &Pins, to: &Pins) -> Result<()> {
    let Ok(old) = BatchMap::<u32, SentPage>::open(&from.shared_map(map::SENT)) else { return Ok(()) };
    let mut pages = vec![SentPage::zeroed(); (PORT_PROTOCOLS * PAGES) as usize];
    old.read_from(0, &mut pages)?;
    let mut sent = Sent::open(to)?;
    for (index, page) in (0..).zip(pages).filter(|(_, page)| *page != SentPage::zeroed()) {
        let merge = |known: &mut SentPage| {
            for (known, old) in known.iter_mut().zip(page) {
                known.unicast |= old.unicast;
                known.multicast |= old.multicast;
            }
        };
        sent.change(index, merge).map_err(|error| Error::refused("taking over what is open", error))?;
    }
    Ok(())
}

/// The number of flows in the tables, including expired ones that are not evicted yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flows {
    /// IPv4 flows.
    pub ipv4: usize,
    /// IPv6 flows.
    pub ipv6: usize,
    /// Whether only a sample of a large table was counted.
    pub is_estimate: bool,
}

impl Flows {
    /// Flows of both families. An estimate is rounded to thousands.
    #[must_use]
    pub const fn all(self) -> usize {
        let all = self.ipv4 + self.ipv6;
        if self.is_estimate { (all + 500) / 1000 * 1000 } else { all }
    }
}

/// In words, such as `about 120000 flows`.
impl fmt::Display for Flows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{} flows", if self.is_estimate { "about " } else { "" }, self.all())
    }
}

/// The number of flows in the tables, estimated if a table is large.
pub fn count(pins: &Pins) -> Result<Flows> {
    Census::take(pins).map(|census| census.flows())
}

/// A repeated count of the flows in small steps: no map knows its number of entries, and a walk through a large one takes a while.
pub struct Census {
    connections4: Table<FlowKey4>,
    datagrams4: Table<FlowKey4>,
    connections6: Table<FlowKey6>,
    datagrams6: Table<FlowKey6>,
    not_before: Instant,
}

impl Census {
    /// Begin a count. Until it is complete, the part that was counted stands for the whole.
    pub fn take(pins: &Pins) -> Result<Self> {
        let mut census = Self {
            connections4: Table::open(pins, map::FLOWS4)?,
            datagrams4: Table::open(pins, map::DATAGRAMS4)?,
            connections6: Table::open(pins, map::FLOWS6)?,
            datagrams6: Table::open(pins, map::DATAGRAMS6)?,
            not_before: Instant::now(),
        };
        census.connections4.sample()?;
        census.datagrams4.sample()?;
        census.connections6.sample()?;
        census.datagrams6.sample()?;
        Ok(census)
    }

    /// Continue the count, as far as is cheap, or begin the next one.
    pub fn go_on(&mut self) -> Result<()> {
        let begun = Instant::now();
        if begun >= self.not_before {
            self.connections4.step()?;
            self.datagrams4.step()?;
            self.connections6.step()?;
            self.datagrams6.step()?;
            let took: Duration = begun.elapsed();
            self.not_before = begun + took * PAUSE;
        }
        Ok(())
    }

    /// The result of the last complete count of each table, or else an estimate.
    #[must_use]
    pub fn flows(&self) -> Flows {
        let (connections4, datagrams4) = (self.connections4.flows, self.datagrams4.flows);
        let (connections6, datagrams6) = (self.connections6.flows, self.datagrams6.flows);
        Flows {
            ipv4: connections4.number + datagrams4.number,
            ipv6: connections6.number + datagrams6.number,
            is_estimate: [connections4, datagrams4, connections6, datagrams6].iter().any(|flows| flows.is_estimate),
        }
    }
}

/// The flows of one table.
#[derive(Clone, Copy, Default)]
struct Counted {
    number: usize,
    is_estimate: bool,
}

/// One table.
struct Table<K> {
    map: BatchMap<K, FlowEntry>,
    keys: Vec<K>,
    entries: Vec<FlowEntry>,
    /// The bucket of the hash where the count continues.
    next: Option<u32>,
    counted: usize,
    flows: Counted,
}

impl<K: Pod> Table<K> {
    fn open(pins: &Pins, name: &str) -> Result<Self> {
        Ok(Self {
            map: BatchMap::open(&pins.shared_map(name))?,
            keys: vec![K::zeroed(); STEP],
            entries: vec![FlowEntry::zeroed(); STEP],
            next: None,
            counted: 0,
            flows: Counted::default(),
        })
    }

    /// Count the first flows. The kernel spreads them evenly, so the buckets that they are in stand for the others.
    fn sample(&mut self) -> Result<()> {
        for _ in 0..SAMPLE {
            if self.step()? {
                return Ok(());
            }
        }
        let buckets = u128::from(self.map.capacity().next_power_of_two());
        let number = self.counted as u128 * buckets / u128::from(self.next.unwrap_or(1).max(1));
        self.flows = Counted { number: number as usize, is_estimate: true };
        Ok(())
    }

    /// Count the next ones; returns whether those were the last.
    fn step(&mut self) -> Result<bool> {
        let count;
        (count, self.next) = self.map.read(self.next, &mut self.keys, &mut self.entries)?;
        self.counted += count;
        let is_done = self.next.is_none();
        if is_done {
            self.flows = Counted { number: std::mem::take(&mut self.counted), is_estimate: false };
        }
        Ok(is_done)
    }
}
