//! Whose packets were dropped, by source address.

use std::{
    net::{IpAddr, Ipv6Addr},
    time::{Duration, SystemTime},
};

use aya::maps::{HashMap, Map, MapData, MapError};
use fw_common::{
    PortProtocol, Reason,
    abi::map,
    address::{Address, V6},
    record::Knocks,
};

use super::{deadline, pins::Pins, plain::Plain, shape};
use crate::{Error, Result};

/// A sender whose packets were dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Knocker {
    /// Who its packets say they are from.
    pub source: IpAddr,
    /// About how many were dropped; of a flood only some are looked at.
    pub packets: u64,
    /// When the last one was looked at.
    pub at: SystemTime,
    /// The port of that one, where it had one.
    pub port: Option<(PortProtocol, u16)>,
    /// Why that one was dropped.
    pub reason: Reason,
}

/// The senders whose packets an interface dropped, the busiest first. The table holds [`KNOCKERS`](fw_common::abi::KNOCKERS); those who
/// have not been seen for longest leave it.
///
/// # Errors
/// [`Error::BadPin`], [`Error::Kernel`].
pub fn read(pins: &Pins, interface: &str) -> Result<Vec<Knocker>> {
    let bad = |source: MapError| Error::BadPin { path: pins.map(interface, map::KNOCKS), source: source.into() };
    let data: MapData = shape::open(pins, interface, map::KNOCKS)?;
    let knocks: HashMap<_, Plain<V6>, Plain<Knocks>> = HashMap::try_from(Map::LruHashMap(data)).map_err(bad)?;
    let (clock, now) = (deadline::now()?, SystemTime::now());
    let mut found = Vec::new();
    for entry in &knocks {
        match entry {
            Ok((Plain(source), Plain(knocks))) => found.extend(knocker(source, &knocks, clock, now)),
            // It left while we looked.
            Err(MapError::KeyNotFound) => {}
            Err(error) => return Err(bad(error)),
        }
    }
    found.sort_by_key(|knocker| (u64::MAX - knocker.packets, knocker.source));
    Ok(found)
}

/// Nothing for a reason that this version does not know.
fn knocker(source: V6, knocks: &Knocks, clock: u64, now: SystemTime) -> Option<Knocker> {
    let protocol = PortProtocol::ALL.get(usize::from(knocks.protocol)).copied();
    Some(Knocker {
        source: Ipv6Addr::from(source.to_bytes()).to_canonical(),
        packets: knocks.packets,
        at: now.checked_sub(Duration::from_nanos(clock.saturating_sub(knocks.at)))?,
        port: protocol.filter(|_| knocks.port != 0).map(|protocol| (protocol, knocks.port)),
        reason: *Reason::ALL.iter().find(|&&reason| reason as u8 == knocks.reason)?,
    })
}
