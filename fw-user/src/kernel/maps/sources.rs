//! The senders of dropped packets, by source address.

use std::{
    net::{IpAddr, Ipv6Addr},
    time::{Duration, SystemTime},
};

use bytemuck::Zeroable;
use fw_common::{
    PortProtocol, Reason,
    abi::{KNOCKERS, map},
    address::{Address, V6},
    record::Knocks,
};

use crate::{
    error::Result,
    kernel::{clock, maps::batch::BatchMap, pins::Pins},
};

/// A sender of dropped packets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DropSource {
    /// The source address of its packets.
    pub source: IpAddr,
    /// Their estimated number; of a flood only some are sampled.
    pub packets: u64,
    /// When the last one was sampled.
    pub at: SystemTime,
    /// The destination port of that one, if it had one.
    pub port: Option<(PortProtocol, u16)>,
    /// Why that one was dropped.
    pub reason: Reason,
}

/// The table of an interface's senders, kept open for repeated reads. It holds [`KNOCKERS`] and evicts the least recently seen.
pub struct Reader {
    map: BatchMap<V6, Knocks>,
    sources: Vec<V6>,
    knocks: Vec<Knocks>,
}

impl Reader {
    /// Open the pinned map of an interface.
    pub fn open(pins: &Pins, interface: &str) -> Result<Self> {
        Ok(Self {
            map: BatchMap::open(&pins.map(interface, map::KNOCKS))?,
            sources: vec![V6::zeroed(); KNOCKERS as usize],
            knocks: vec![Knocks::zeroed(); KNOCKERS as usize],
        })
    }

    /// The senders of packets that the interface dropped, the busiest first.
    pub fn read(&mut self) -> Result<Vec<DropSource>> {
        let (clock, now) = (clock::now()?, SystemTime::now());
        let mut found = Vec::new();
        let mut next = None;
        loop {
            let count;
            (count, next) = self.map.read(next, &mut self.sources, &mut self.knocks)?;
            let read = self.sources.iter().zip(&self.knocks).take(count);
            found.extend(read.filter_map(|(&address, knocks)| source(address, knocks, clock, now)));
            if next.is_none() {
                break;
            }
        }
        found.sort_by_key(|source| (u64::MAX - source.packets, source.source));
        Ok(found)
    }
}

/// The senders of packets that an interface dropped, the busiest first.
pub fn read(pins: &Pins, interface: &str) -> Result<Vec<DropSource>> {
    Reader::open(pins, interface)?.read()
}

/// `None` for a reason that this version does not know.
fn source(source: V6, knocks: &Knocks, clock: u64, now: SystemTime) -> Option<DropSource> {
    let protocol = PortProtocol::ALL.get(usize::from(knocks.protocol)).copied();
    Some(DropSource {
        source: Ipv6Addr::from(source.to_bytes()).to_canonical(),
        packets: knocks.packets,
        at: now.checked_sub(Duration::from_nanos(clock.saturating_sub(knocks.at)))?,
        port: protocol.filter(|_| knocks.port != 0).map(|protocol| (protocol, knocks.port)),
        reason: *Reason::ALL.iter().find(|&&reason| reason as u8 == knocks.reason)?,
    })
}
