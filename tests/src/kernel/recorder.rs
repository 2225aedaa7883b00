//! The records of dropped packets.

use anyhow::{Result, ensure};
use aya::{
    Ebpf,
    maps::{Array, HashMap, MapData},
};
use bytemuck::Zeroable as _;
use fw_common::{
    Decision, Verdict,
    abi::{RECORDS_PER_CPU, map},
    address::V6,
    record::{CAPTURED, Knocks, Record, Recorder},
};
use fw_user::testing::plain::Plain;

use super::{maps::take, place::Place};

/// The contents of the maps.
#[derive(Debug)]
pub struct Recorded {
    /// The drops, the oldest first.
    pub records: Vec<Record>,
    /// The senders.
    pub knocks: Vec<(V6, Knocks)>,
}

/// The maps, and the CPU on which the programs run.
pub(super) struct Recordings {
    cpu: u32,
    place: Place,
    records: Array<MapData, Plain<Record>>,
    recorders: Array<MapData, Plain<Recorder>>,
    knocks: HashMap<MapData, Plain<V6>, Plain<Knocks>>,
}

impl Recordings {
    pub(super) fn take(ebpf: &mut Ebpf, cpu: u32, place: Place) -> Result<Self> {
        Ok(Self {
            cpu,
            place,
            records: take(ebpf, map::DROPS)?.try_into()?,
            recorders: take(ebpf, map::RECORDERS)?.try_into()?,
            knocks: take(ebpf, map::KNOCKS)?.try_into()?,
        })
    }

    /// As it was when the filter was attached.
    pub(super) fn clear(&mut self) -> Result<()> {
        self.recorders.set(self.cpu, Plain(Recorder::zeroed()), 0)?;
        for key in self.knocks.keys().collect::<Result<Vec<_>, _>>()? {
            self.knocks.remove(&key)?;
        }
        Ok(())
    }

    /// The kept records since the last [`clear`](Self::clear).
    pub(super) fn read(&self) -> Result<Recorded> {
        let recorded = self.recorders.get(&self.cpu, 0)?.0.recorded;
        let oldest = recorded.saturating_sub(u64::from(RECORDS_PER_CPU));
        let slot = |number: u64| self.cpu * RECORDS_PER_CPU + (number % u64::from(RECORDS_PER_CPU)) as u32;
        let records = (oldest..recorded).map(|number| Ok(self.records.get(&slot(number), 0)?.0));
        let knocks = self.knocks.iter().map(|entry| entry.map(|(key, value)| (key.0, value.0)).map_err(Into::into));
        Ok(Recorded { records: records.collect::<Result<_>>()?, knocks: knocks.collect::<Result<_>>()? })
    }

    /// Fail unless what was recorded is this one packet, where it drops, and nothing otherwise.
    pub(super) fn check(&self, frame: &[u8], decision: Decision, passed: bool) -> Result<()> {
        let Recorded { records, knocks } = self.read()?;
        if decision.verdict() == Verdict::Pass {
            ensure!(records.is_empty() && knocks.is_empty(), "it passes, and is recorded: {records:?}, {knocks:?}");
            return Ok(());
        }
        let sender = self.place.source(frame);
        let frame = self.place.seen(frame);
        let mut bytes = [0; CAPTURED];
        let captured = frame.len().min(CAPTURED);
        bytes[..captured].copy_from_slice(&frame[..captured]);
        let [record] = records[..] else { anyhow::bail!("it drops, and is recorded as {records:?}") };
        let mut expected = Record {
            number: 1,
            at: record.at,
            left_out: 0,
            length: u32::try_from(frame.len())?,
            reason: decision.number(),
            passed: u8::from(passed),
            captured: u8::try_from(captured)?,
            is_bare: u8::from(self.place == Place::Bare),
            bytes,
        };
        // The remains of a longer frame mean nothing.
        expected.bytes[captured..].copy_from_slice(&record.bytes[captured..]);
        ensure!(record == expected, "it is recorded as {record:?}, not {expected:?}");
        ensure!(record.at != 0, "it has no time");
        let recorder = self.recorders.get(&self.cpu, 0)?.0;
        let kind = decision.kind();
        ensure!(recorder.kinds.iter().filter(|known| known.number != 0).all(|known| known.number == kind), "its kind");
        let (protocol, port) = decision.port().map_or((0, 0), |(protocol, port)| (protocol as u8, port));
        let knock = Knocks { packets: 1, at: record.at, port, protocol, reason: decision.number(), padding: 0 };
        let expected: Vec<_> = sender.map(|source| (source, knock)).into_iter().collect();
        ensure!(knocks == expected, "its sender is noted as {knocks:?}, not {expected:?}");
        Ok(())
    }
}
