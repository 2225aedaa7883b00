//! The flow tables, which all interfaces share.

use std::{
    ops::RangeInclusive,
    time::{Duration, Instant},
};

use aya::maps::{Array, HashMap, Map, MapData, MapError};
use bytemuck::{Pod, Zeroable};
use fw_common::{
    abi::{PAGES, PORT_PROTOCOLS, SentPage, map},
    flow::{FlowEntry, FlowKey4, FlowKey6},
};

use crate::{
    error::{Error, KernelError, Result},
    kernel::{maps::batch::BatchMap, pins::Pins, plain::Plain},
};

/// How many flows a table can be made for.
pub const CAPACITY: RangeInclusive<i64> = 1024..=16_777_216;

/// How many flows are read at once.
const STEP: usize = 16_384;

/// How many times as long as a step takes nothing more is read: counting is to cost no more than half a percent of a CPU.
const PAUSE: u32 = 200;

/// The tables of both families, for single look-ups.
pub(crate) struct Tables {
    pub(crate) v4: FlowMap<FlowKey4>,
    pub(crate) v6: FlowMap<FlowKey6>,
}

pub(crate) type FlowMap<K> = HashMap<MapData, Plain<K>, Plain<FlowEntry>>;

impl Tables {
    /// The pinned ones.
    pub(crate) fn open(pins: &Pins) -> Result<Self> {
        let bad = |name| {
            move |error: MapError| {
                Error::Kernel(KernelError::BadPin { path: pins.shared_map(name), source: error.into() })
            }
        };
        let open = |name| MapData::from_pin(pins.shared_map(name)).map(Map::LruHashMap).map_err(bad(name));
        Ok(Self {
            v4: open(map::FLOWS4)?.try_into().map_err(bad(map::FLOWS4))?,
            v6: open(map::FLOWS6)?.try_into().map_err(bad(map::FLOWS6))?,
        })
    }
}

/// The versions whose tables are like those of this one: flows, and what ever left from local ports.
const ALIKE: [u32; 1] = [3];

/// Put what the tables of another version know into those of this one. Where they are of other shapes, what is open is found out anew.
pub(crate) fn inherit(from: &Pins, to: &Pins) -> Result<()> {
    if !ALIKE.contains(&from.abi()) {
        return Ok(());
    }
    let mut tables = Tables::open(to)?;
    inherit_table(from, map::FLOWS4, &mut tables.v4)?;
    inherit_table(from, map::FLOWS6, &mut tables.v6)?;
    inherit_sent(from, to)
}

fn inherit_table<K: Pod>(from: &Pins, name: &str, to: &mut FlowMap<K>) -> Result<()> {
    let Ok(old) = BatchMap::<K, FlowEntry>::open(&from.shared_map(name)) else { return Ok(()) };
    let (mut keys, mut entries) = (vec![K::zeroed(); STEP], vec![FlowEntry::zeroed(); STEP]);
    let mut next = None;
    loop {
        let count;
        (count, next) = old.read(next, &mut keys, &mut entries)?;
        for (&key, &entry) in keys.iter().zip(&entries[..count]) {
            to.insert(Plain(key), Plain(entry), 0)
                .map_err(|error| Error::refused("taking over what is open", error))?;
        }
        if next.is_none() {
            return Ok(());
        }
    }
}

fn inherit_sent(from: &Pins, to: &Pins) -> Result<()> {
    let path = to.shared_map(map::SENT);
    let bad = |error: MapError| Error::Kernel(KernelError::BadPin { path: path.clone(), source: error.into() });
    let Ok(old) = BatchMap::<u32, SentPage>::open(&from.shared_map(map::SENT)) else { return Ok(()) };
    let mut pages = vec![SentPage::zeroed(); (PORT_PROTOCOLS * PAGES) as usize];
    old.read_from(0, &mut pages)?;
    let mut new: Array<MapData, Plain<SentPage>> =
        Map::Array(MapData::from_pin(&path).map_err(bad)?).try_into().map_err(bad)?;
    for (index, page) in (0..).zip(pages).filter(|(_, page)| *page != SentPage::zeroed()) {
        let Plain(mut known) = new.get(&index, 0).map_err(bad)?;
        for (known, old) in known.iter_mut().zip(page) {
            known.unicast |= old.unicast;
            known.multicast |= old.multicast;
        }
        new.set(index, Plain(known), 0).map_err(bad)?;
    }
    Ok(())
}

/// How many flows are in the tables, expired ones that nothing has pushed out yet included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flows {
    /// Of IPv4.
    pub ipv4: usize,
    /// Of IPv6.
    pub ipv6: usize,
}

impl Flows {
    /// Of both.
    #[must_use]
    pub const fn all(self) -> usize {
        self.ipv4 + self.ipv6
    }
}

/// How many flows are in the tables.
pub fn count(pins: &Pins) -> Result<Flows> {
    Census::take(pins).map(|census| census.flows())
}

/// A count of the flows that is taken again and again, piece by piece: no map tells how many entries it has, and to walk through all of
/// a large one takes a while.
pub struct Census {
    flows4: Table<FlowKey4>,
    flows6: Table<FlowKey6>,
    not_before: Instant,
}

impl Census {
    /// Count for the first time, all at once.
    pub fn take(pins: &Pins) -> Result<Self> {
        let mut census = Self {
            flows4: Table::open(pins, map::FLOWS4)?,
            flows6: Table::open(pins, map::FLOWS6)?,
            not_before: Instant::now(),
        };
        while !census.flows4.step()? {}
        while !census.flows6.step()? {}
        Ok(census)
    }

    /// Go on with the next count, as far as is cheap.
    pub fn go_on(&mut self) -> Result<()> {
        let begun = Instant::now();
        if begun >= self.not_before {
            self.flows4.step()?;
            self.flows6.step()?;
            let took: Duration = begun.elapsed();
            self.not_before = begun + took * PAUSE;
        }
        Ok(())
    }

    /// How many there were when each table was counted through last.
    #[must_use]
    pub fn flows(&self) -> Flows {
        Flows { ipv4: self.flows4.flows, ipv6: self.flows6.flows }
    }
}

/// One family's.
struct Table<K> {
    map: BatchMap<K, FlowEntry>,
    keys: Vec<K>,
    entries: Vec<FlowEntry>,
    next: Option<u32>,
    counted: usize,
    flows: usize,
}

impl<K: Pod> Table<K> {
    fn open(pins: &Pins, name: &str) -> Result<Self> {
        Ok(Self {
            map: BatchMap::open(&pins.shared_map(name))?,
            keys: vec![K::zeroed(); STEP],
            entries: vec![FlowEntry::zeroed(); STEP],
            next: None,
            counted: 0,
            flows: 0,
        })
    }

    /// Count the next ones, and say whether that were the last.
    fn step(&mut self) -> Result<bool> {
        let count;
        (count, self.next) = self.map.read(self.next, &mut self.keys, &mut self.entries)?;
        self.counted += count;
        let is_done = self.next.is_none();
        if is_done {
            self.flows = std::mem::take(&mut self.counted);
        }
        Ok(is_done)
    }
}
