//! The flow tables, which all interfaces share.

use std::ops::RangeInclusive;

use aya::maps::{HashMap, Map, MapData, MapError};
use fw_common::{
    abi::map,
    flow::{FlowEntry, FlowKey4, FlowKey6},
};

use super::{pinned, pins::Pins, plain::Plain};
use crate::{Error, Result};

/// How many flows a table can be made for.
pub const CAPACITY: RangeInclusive<i64> = 1024..=16_777_216;

/// How many flows are in the tables of both families, expired ones that nothing has pushed out yet included.
///
/// # Errors
/// [`Error::BadPin`].
pub fn count(pins: &Pins) -> Result<usize> {
    let bad = |name| move |error: MapError| Error::BadPin { path: pins.shared_map(name), source: error.into() };
    let open = |name| MapData::from_pin(pins.shared_map(name)).map(Map::LruHashMap).map_err(bad(name));
    let flows4: HashMap<_, Plain<FlowKey4>, Plain<FlowEntry>> =
        open(map::FLOWS4)?.try_into().map_err(bad(map::FLOWS4))?;
    let flows6: HashMap<_, Plain<FlowKey6>, Plain<FlowEntry>> =
        open(map::FLOWS6)?.try_into().map_err(bad(map::FLOWS6))?;
    Ok(flows4.keys().count() + flows6.keys().count())
}

/// How many flows a table can hold; nothing where none is pinned.
#[must_use]
pub fn capacity(pins: &Pins) -> Option<u32> {
    pinned::look(&pins.shared_map(map::FLOWS4)).ok()?.map().map(|facts| facts.entries)
}
