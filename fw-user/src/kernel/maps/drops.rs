//! The last drops, as the kernel recorded them. Reading removes nothing: any number of readers see the same.

use std::time::{Duration, SystemTime};

use aya::{
    maps::{Array, Map, MapData, MapError},
    util::nr_cpus,
};
use fw_common::{
    Reason, Verdict,
    abi::{RECORDS_PER_CPU, ReasonCounters, map},
    record::{Record, Recorder},
};

use crate::{
    error::{Error, KernelError, Result},
    kernel::{clock, pins::Pins, plain::Plain, shape},
};

/// A packet that was dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DroppedPacket {
    /// When.
    pub at: SystemTime,
    /// Why.
    pub reason: Reason,
    /// Whether it passed, because the interface was in monitor mode.
    pub passed: bool,
    /// Length of the frame in bytes, from the first byte of the Ethernet header, where there is one.
    pub length: u32,
    /// Whether there is no Ethernet header: the bytes start with the packet's IP header.
    pub is_bare: bool,
    /// Its first bytes, [`CAPTURED`](fw_common::record::CAPTURED) at most.
    pub bytes: Vec<u8>,
}

/// Reads an interface's drops in the order of their time.
pub(crate) struct DropReader {
    interface: String,
    pins: Pins,
    records: Array<MapData, Plain<Record>>,
    recorders: Array<MapData, Plain<Recorder>>,
    counters: Array<MapData, Plain<ReasonCounters>>,
    /// How many drops of each CPU were read.
    read: Vec<u64>,
}

impl DropReader {
    /// A reader that starts with the oldest drop that is kept.
    pub(crate) fn open(pins: &Pins, interface: &str) -> Result<Self> {
        let cpus = nr_cpus().map_err(|(what, error)| Error::refused(what, error))?;
        Ok(Self {
            records: open(pins, interface, map::DROPS)?,
            recorders: open(pins, interface, map::RECORDERS)?,
            counters: open(pins, interface, map::COUNTERS)?,
            read: vec![0; cpus],
            interface: interface.to_owned(),
            pins: pins.clone(),
        })
    }

    /// Skip the drops that were recorded until now.
    pub(crate) fn skip(&mut self) -> Result<()> {
        for cpu in (0..).take(self.read.len()) {
            self.read[cpu as usize] = self.recorded(cpu)?;
        }
        Ok(())
    }

    /// The drops that were recorded since the last call and are still kept.
    pub(crate) fn read(&mut self) -> Result<Vec<DroppedPacket>> {
        let mut found = Vec::new();
        for cpu in (0..).take(self.read.len()) {
            let read = self.read[cpu as usize];
            let recorded = self.recorded(cpu)?;
            let oldest = recorded.saturating_sub(u64::from(RECORDS_PER_CPU)).max(read);
            for number in oldest + 1..=recorded {
                let slot = cpu * RECORDS_PER_CPU + ((number - 1) % u64::from(RECORDS_PER_CPU)) as u32;
                let Plain(record) = self.records.get(&slot, 0).map_err(bad(&self.pins, &self.interface, map::DROPS))?;
                // With another number, the slot was overwritten meanwhile.
                if record.number == number {
                    found.push(record);
                }
            }
            self.read[cpu as usize] = recorded;
        }
        found.sort_by_key(|record| record.at);
        let (clock, now) = (clock::now()?, SystemTime::now());
        Ok(found.iter().filter_map(|record| as_drop(record, clock, now)).collect())
    }

    /// The number of all dropped packets, recorded or not.
    pub(crate) fn dropped(&self) -> Result<u64> {
        let mut sum = 0;
        for cpu in self.counters.iter() {
            let Plain(counters) = cpu.map_err(bad(&self.pins, &self.interface, map::COUNTERS))?;
            let drops = Reason::ALL.iter().filter(|reason| reason.verdict() == Verdict::Drop);
            sum += drops.map(|&reason| counters[reason as usize].packets).sum::<u64>();
        }
        Ok(sum)
    }

    fn recorded(&self, cpu: u32) -> Result<u64> {
        let recorder = self.recorders.get(&cpu, 0).map_err(bad(&self.pins, &self.interface, map::RECORDERS))?;
        Ok(recorder.0.recorded)
    }
}

fn open<T: bytemuck::Pod>(pins: &Pins, interface: &str, name: &str) -> Result<Array<MapData, Plain<T>>> {
    Array::try_from(Map::Array(shape::open(pins, interface, name)?)).map_err(bad(pins, interface, name))
}

fn bad<'a>(pins: &'a Pins, interface: &'a str, name: &'a str) -> impl Fn(MapError) -> Error + 'a {
    move |source| Error::Kernel(KernelError::BadPin { path: pins.map(interface, name), source: source.into() })
}

/// `None` for a reason that this version does not know.
fn as_drop(record: &Record, clock: u64, now: SystemTime) -> Option<DroppedPacket> {
    let reason = *Reason::ALL.iter().find(|&&reason| reason as u8 == record.reason)?;
    Some(DroppedPacket {
        at: now.checked_sub(Duration::from_nanos(clock.saturating_sub(record.at)))?,
        reason,
        passed: record.passed != 0,
        length: record.length,
        is_bare: record.is_bare != 0,
        bytes: record.bytes.get(..usize::from(record.captured))?.to_vec(),
    })
}
