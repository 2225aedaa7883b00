//! The programs' flow tables.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use anyhow::{Result, ensure};
use aya::{
    Ebpf,
    maps::{Array, HashMap, MapData},
};
use bytemuck::Zeroable as _;
use fw_common::{
    PortProtocol,
    abi::{PAGE, PAGES, SENT_PORTLESS, SentPage, map, page_of},
    admission::LimitKey,
    flow::{FlowEntry, FlowKey, FlowKey4, FlowKey6, Recent4, Recent6},
    rate::Attempts,
};
use fw_user::testing::{batch::BatchMap, pins::Pins, plain::Plain};
use nix::time::{ClockId, clock_gettime};

use super::maps::{is_zero, take};
use crate::model::Flows;

type Table<K> = HashMap<MapData, Plain<K>, Plain<FlowEntry>>;

/// The flows that CPUs found recently.
struct Found<V: bytemuck::Pod> {
    map: Array<MapData, Plain<V>>,
    /// The same map, to be read at once.
    slots: BatchMap<u32, V>,
}

impl<V: bytemuck::Pod> Found<V> {
    fn take(ebpf: &mut Ebpf, pins: &Pins, name: &str) -> Result<Self> {
        Ok(Self { map: take(ebpf, name)?.try_into()?, slots: BatchMap::open(&pins.shared_map(name))? })
    }

    fn forget(&mut self) -> Result<()> {
        let mut slots = vec![V::zeroed(); self.map.len() as usize];
        self.slots.read_from(0, &mut slots)?;
        for (slot, _) in (0..).zip(slots).filter(|(_, value)| !is_zero(value)) {
            self.map.set(slot, Plain(V::zeroed()), 0)?;
        }
        Ok(())
    }
}

/// The marks of everything that was sent.
#[derive(Clone, Default)]
pub(super) struct Noted {
    /// From local ports, as (to one, to many).
    pub(super) ports: BTreeMap<(PortProtocol, u16), (u8, u8)>,
    /// By protocols without ports.
    pub(super) portless: BTreeSet<u8>,
}

/// The maps.
pub(super) struct FlowMaps {
    v4: [Table<FlowKey4>; 2],
    v6: [Table<FlowKey6>; 2],
    attempts: HashMap<MapData, Plain<LimitKey>, Plain<Attempts>>,
    found4: Found<Recent4>,
    found6: Found<Recent6>,
    sent: Array<MapData, Plain<SentPage>>,
    /// The same map, to be read at once.
    pages: BatchMap<u32, SentPage>,
    /// The last contents of `sent` that were read.
    noted: Noted,
}

impl FlowMaps {
    pub(super) fn take(ebpf: &mut Ebpf, pins: &Pins) -> Result<Self> {
        Ok(Self {
            pages: BatchMap::open(&pins.shared_map(map::SENT))?,
            v4: [take(ebpf, map::FLOWS4)?.try_into()?, take(ebpf, map::DATAGRAMS4)?.try_into()?],
            v6: [take(ebpf, map::FLOWS6)?.try_into()?, take(ebpf, map::DATAGRAMS6)?.try_into()?],
            attempts: take(ebpf, map::ATTEMPTS)?.try_into()?,
            found4: Found::take(ebpf, pins, map::RECENT4)?,
            found6: Found::take(ebpf, pins, map::RECENT6)?,
            sent: take(ebpf, map::SENT)?.try_into()?,
            noted: Noted::default(),
        })
    }

    /// Forget all flows, what limits counted, and what [`read_sent`](Self::read_sent) saw.
    pub(super) fn clear(&mut self) -> Result<()> {
        self.v4.iter_mut().try_for_each(clear)?;
        self.v6.iter_mut().try_for_each(clear)?;
        self.forget_found()?;
        for key in self.attempts.keys().collect::<Result<Vec<_>, _>>()? {
            self.attempts.remove(&key)?;
        }
        let noted = std::mem::take(&mut self.noted);
        for (protocol, port) in noted.ports.into_keys() {
            self.sent.set(page_of(protocol, port), Plain(SentPage::zeroed()), 0)?;
        }
        if !noted.portless.is_empty() {
            self.sent.set(SENT_PORTLESS, Plain(SentPage::zeroed()), 0)?;
        }
        Ok(())
    }

    /// Let time pass: every flow was last used, and every limit began to count, so much longer ago.
    pub(super) fn pass(&mut self, time: Duration) -> Result<()> {
        if time.is_zero() {
            return Ok(());
        }
        self.v4.iter_mut().try_for_each(|table| age(table, time))?;
        self.v6.iter_mut().try_for_each(|table| age(table, time))?;
        for entry in self.attempts.iter().collect::<Result<Vec<_>, _>>()? {
            let (key, Plain(attempts)) = entry;
            let since = attempts.since.wrapping_sub(u64::try_from(time.as_nanos())?);
            self.attempts.insert(key, Plain(Attempts { since, ..attempts }), 0)?;
        }
        self.forget_found()
    }

    fn forget_found(&mut self) -> Result<()> {
        self.found4.forget()?;
        self.found6.forget()
    }

    /// Outbound marks.
    pub(super) fn read_sent(&mut self) -> Result<Noted> {
        let mut sent = BTreeMap::new();
        let mut pages = vec![SentPage::zeroed(); SENT_PORTLESS as usize + 1];
        self.pages.read_from(0, &mut pages)?;
        let portless = pages.pop().into_iter().flat_map(|page| (0..=u8::MAX).zip(page));
        let portless = portless.filter(|(_, flags)| !is_zero(flags)).map(|(protocol, _)| protocol).collect();
        for (page, flags) in (0..).zip(&pages) {
            let protocol = PortProtocol::ALL[(page / PAGES) as usize];
            if is_zero(flags) {
                continue;
            }
            for (port, flags) in (page % PAGES * PAGE as u32..).zip(flags) {
                if !is_zero(flags) {
                    sent.insert((protocol, u16::try_from(port)?), (flags.unicast, flags.multicast));
                }
            }
        }
        self.noted = Noted { ports: sent, portless };
        Ok(self.noted.clone())
    }

    /// The flows and their ages, without what left.
    pub(super) fn read(&self) -> Result<Flows> {
        Ok(Flows { v4: ages(&self.v4)?, v6: ages(&self.v6)?, ..Flows::default() })
    }
}

fn entries<K: bytemuck::Pod>(table: &Table<K>) -> Result<Vec<(Plain<K>, FlowEntry)>> {
    table
        .iter()
        .map(|entry| {
            let (key, Plain(entry)) = entry?;
            Ok((key, entry))
        })
        .collect()
}

fn clear<K: bytemuck::Pod>(table: &mut Table<K>) -> Result<()> {
    for (key, _) in entries(table)? {
        table.remove(&key)?;
    }
    Ok(())
}

fn age<K: bytemuck::Pod>(table: &mut Table<K>, by: Duration) -> Result<()> {
    for (key, FlowEntry { last_seen }) in entries(table)? {
        // On a machine that was just started this is a time before the boot.
        let last_seen = last_seen.wrapping_sub(u64::try_from(by.as_nanos())?);
        table.insert(key, Plain(FlowEntry { last_seen }), 0)?;
    }
    Ok(())
}

/// The ages of the flows of a family, each of which is in the table of its class.
fn ages<K: FlowKey>([connections, datagrams]: &[Table<K>; 2]) -> Result<BTreeMap<K, Duration>> {
    let now = u64::try_from(Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC)?).as_nanos())?;
    let mut ages = BTreeMap::new();
    for (table, has_connections) in [(connections, true), (datagrams, false)] {
        for (Plain(key), entry) in entries(table)? {
            ensure!(key.class().is_among_connections() == has_connections, "a flow is in the other table");
            ages.insert(key, Duration::from_nanos(u64::try_from(entry.age(now))?));
        }
    }
    Ok(ages)
}
