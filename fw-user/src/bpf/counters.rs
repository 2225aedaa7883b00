//! Counters, summed over the CPUs.

use std::collections::BTreeMap;

use aya::maps::{Array, HashMap, Map, MapData, MapError};
use fw_common::{
    PortProtocol, Reason, Verdict,
    abi::{COUNTED_PROTOCOLS, Counter, CounterPage, PAGE, PAGES, PortCounter, PortSlot, ReasonCounters, map},
};

use super::{pins::Pins, plain::Plain};
use crate::{Error, Result};

/// What an interface's filter has counted since it was attached.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    /// Packets and bytes by reason; only reasons that occurred.
    pub reasons: BTreeMap<Reason, Counter>,
    /// Packets by protocol and destination port; only ports that saw traffic.
    pub ports: BTreeMap<(PortProtocol, u16), PortCounter>,
}

impl Counters {
    /// Read the counters of an interface.
    ///
    /// # Errors
    /// [`Error::BadPin`].
    pub fn read(pins: &Pins, interface: &str) -> Result<Self> {
        let mut counters = Self::default();
        let bad = |name| move |error: MapError| Error::BadPin { path: pins.map(interface, name), source: error.into() };
        counters.read_reasons(pins, interface).map_err(bad(map::COUNTERS))?;
        counters.read_ports(pins, interface).map_err(bad(map::PORT_COUNTERS))?;
        counters.read_rare_ports(pins, interface).map_err(bad(map::RARE_PORT_COUNTERS))?;
        Ok(counters)
    }

    fn read_reasons(&mut self, pins: &Pins, interface: &str) -> Result<(), MapError> {
        let data = MapData::from_pin(pins.map(interface, map::COUNTERS))?;
        let array: Array<_, Plain<ReasonCounters>> = Array::try_from(Map::Array(data))?;
        for cpu in array.iter() {
            let Plain(slots) = cpu?;
            for &reason in Reason::ALL {
                let Counter { packets, bytes } = slots[reason as usize];
                if packets != 0 {
                    let sum = self.reasons.entry(reason).or_default();
                    sum.packets += packets;
                    sum.bytes += bytes;
                }
            }
        }
        Ok(())
    }

    fn read_ports(&mut self, pins: &Pins, interface: &str) -> Result<(), MapError> {
        let data = MapData::from_pin(pins.map(interface, map::PORT_COUNTERS))?;
        let array: Array<_, Plain<CounterPage>> = Array::try_from(Map::Array(data))?;
        for (index, page) in (0..).zip(array.iter()) {
            let Plain(page) = page?;
            let protocol = PortProtocol::ALL[(index / PAGES % COUNTED_PROTOCOLS) as usize];
            let first = index % PAGES * PAGE as u32;
            for (slot, counter) in page.iter().enumerate() {
                self.add(protocol, (first as usize + slot) as u16, *counter);
            }
        }
        Ok(())
    }

    fn read_rare_ports(&mut self, pins: &Pins, interface: &str) -> Result<(), MapError> {
        let data = MapData::from_pin(pins.map(interface, map::RARE_PORT_COUNTERS))?;
        let hash: HashMap<_, u32, Plain<PortSlot>> = HashMap::try_from(Map::LruHashMap(data))?;
        for entry in &hash {
            let (key, Plain(counter)) = entry?;
            if let Some(&protocol) = PortProtocol::ALL.get((key >> 16) as usize) {
                self.add(protocol, key as u16, counter);
            }
        }
        Ok(())
    }

    fn add(&mut self, protocol: PortProtocol, port: u16, PortSlot { passed, drops }: PortSlot) {
        let dropped = drops.packets();
        if passed != 0 || dropped != 0 {
            let sum = self.ports.entry((protocol, port)).or_default();
            sum.passed += passed;
            sum.dropped += dropped;
        }
    }

    /// Packets and bytes with a verdict.
    #[must_use]
    pub fn total(&self, verdict: Verdict) -> Counter {
        self.reasons.iter().filter(|(reason, _)| reason.verdict() == verdict).fold(
            Counter::default(),
            |sum, (_, counter)| Counter { packets: sum.packets + counter.packets, bytes: sum.bytes + counter.bytes },
        )
    }
}
