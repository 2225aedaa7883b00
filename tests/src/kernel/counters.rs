//! The programs' counters, and what one packet changes in them.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail, ensure};
use aya::{
    Ebpf,
    maps::{Array, MapData},
};
use bytemuck::Zeroable as _;
use fw_common::{
    Decision, PortProtocol, Reason, Verdict,
    abi::{
        COUNTED_PROTOCOLS, Counter, CounterPage, PAGE, PAGES, PortCounter, PortSlot, RARE_PORTS, RarePort,
        ReasonCounters, counter_page, map, port_index, rare_slot, slot_of,
    },
};
use fw_user::testing::{batch::BatchMap, pins::Pins, plain::Plain};

use super::maps::{is_zero, take};
use crate::world;

/// The maps, and the CPU on which the programs run.
pub(super) struct Counters {
    cpu: u32,
    reasons: Array<MapData, Plain<ReasonCounters>>,
    ports: Array<MapData, Plain<CounterPage>>,
    /// The same map, to be read at once.
    pages: BatchMap<u32, CounterPage>,
    rare_ports: Array<MapData, Plain<RarePort>>,
    /// The same map, to be read at once.
    rare_slots: BatchMap<u32, RarePort>,
}

/// Counters of ports.
pub type Ports = BTreeMap<(PortProtocol, u16), PortCounter>;

/// Their contents at one time.
pub(super) struct Snapshot {
    reasons: ReasonCounters,
    ports: Ports,
}

impl Counters {
    pub(super) fn take(ebpf: &mut Ebpf, pins: &Pins, cpu: u32) -> Result<Self> {
        Ok(Self {
            cpu,
            pages: BatchMap::open(&pins.map(world::INTERFACE, map::PORT_COUNTERS))?,
            reasons: take(ebpf, map::COUNTERS)?.try_into()?,
            ports: take(ebpf, map::PORT_COUNTERS)?.try_into()?,
            rare_ports: take(ebpf, map::RARE_PORT_COUNTERS)?.try_into()?,
            rare_slots: BatchMap::open(&pins.map(world::INTERFACE, map::RARE_PORT_COUNTERS))?,
        })
    }

    pub(super) fn read(&self) -> Result<Snapshot> {
        let mut ports = BTreeMap::new();
        let mut add = |port, slot: PortSlot| {
            let counter = PortCounter { passed: slot.passed, dropped: slot.drops.packets() };
            if counter != PortCounter::default() {
                ports.insert(port, counter);
            }
        };
        for (page, counters) in (0..).zip(&self.pages_of(self.cpu)?) {
            let protocol = PortProtocol::ALL[(page / PAGES) as usize];
            let first = page % PAGES * PAGE as u32;
            if is_zero(counters) {
                continue;
            }
            for (port, counter) in (first..).zip(counters) {
                add((protocol, u16::try_from(port)?), *counter);
            }
        }
        for RarePort { port, slot } in self.rare_slots_of(self.cpu)?.into_iter().filter(|rare| rare.port != 0) {
            let number = port - 1;
            let protocol = PortProtocol::ALL.get((number >> 16) as usize).context("a port of no protocol")?;
            add((*protocol, number as u16), slot);
        }
        Ok(Snapshot { reasons: self.reasons()?, ports })
    }

    fn pages_of(&self, cpu: u32) -> Result<Vec<CounterPage>> {
        let mut pages = vec![CounterPage::zeroed(); (COUNTED_PROTOCOLS * PAGES) as usize];
        self.pages.read_from(counter_page(cpu, 0), &mut pages)?;
        Ok(pages)
    }

    fn rare_slots_of(&self, cpu: u32) -> Result<Vec<RarePort>> {
        let mut slots = vec![RarePort::zeroed(); RARE_PORTS as usize];
        self.rare_slots.read_from(rare_slot(cpu, 0), &mut slots)?;
        Ok(slots)
    }

    /// The counters by reason alone, which are quickly read.
    pub(super) fn reasons(&self) -> Result<ReasonCounters> {
        Ok(self.reasons.get(&self.cpu, 0)?.0)
    }

    /// Have the next drop at the ports that counted one between two snapshots be the first of its window of time.
    pub(super) fn forget_windows(&mut self, before: &Snapshot, after: &Snapshot) -> Result<()> {
        // Half of all windows away from any that is near.
        let forget = |slot: &mut PortSlot| slot.drops.0 ^= 1 << 63;
        let dropped = |snapshot: &Snapshot, port| snapshot.ports.get(port).map_or(0, |counter| counter.dropped);
        for &(protocol, port) in after.ports.keys().filter(|port| dropped(before, port) != dropped(after, port)) {
            if (protocol as u32) < COUNTED_PROTOCOLS {
                let page = counter_page(self.cpu, port_index(protocol, port));
                let Plain(mut slots) = self.ports.get(&page, 0)?;
                forget(&mut slots[slot_of(port)]);
                self.ports.set(page, Plain(slots), 0)?;
            } else {
                let at = rare_slot(self.cpu, port_index(protocol, port));
                let Plain(mut rare) = self.rare_ports.get(&at, 0)?;
                forget(&mut rare.slot);
                self.rare_ports.set(at, Plain(rare), 0)?;
            }
        }
        Ok(())
    }

    pub(super) fn check_other_cpus(&self) -> Result<()> {
        for cpu in (0..self.reasons.len()).filter(|&cpu| cpu != self.cpu) {
            let Plain(counters) = self.reasons.get(&cpu, 0)?;
            ensure!(counters == [Counter::default(); Reason::SLOTS], "something was counted for CPU {cpu}");
            ensure!(self.pages_of(cpu)?.iter().all(is_zero), "a port was counted for CPU {cpu}");
            ensure!(self.rare_slots_of(cpu)?.iter().all(is_zero), "a port was counted for CPU {cpu}");
        }
        Ok(())
    }
}

impl Snapshot {
    /// The decision about the one packet that was counted between two snapshots.
    ///
    /// # Errors
    /// When it was not exactly one packet of `bytes` bytes, under one reason and at most one port.
    pub(super) fn one_packet_since(&self, before: &Self, bytes: usize) -> Result<Decision> {
        let reason = one_reason_since(&before.reasons, &self.reasons, bytes)?;
        Ok(Decision::new(reason, self.one_port_since(before, reason.verdict())?))
    }

    fn one_port_since(&self, before: &Self, verdict: Verdict) -> Result<Option<(PortProtocol, u16)>> {
        // Those of the rare transports take each other's slots.
        let is_kept = |(protocol, _): &&(PortProtocol, u16)| (*protocol as u32) < COUNTED_PROTOCOLS;
        let mut kept = before.ports.keys().filter(is_kept);
        ensure!(kept.all(|port| self.ports.contains_key(port)), "a port's counter is gone");
        let moved: Vec<_> = self
            .ports
            .iter()
            .map(|(&port, &now)| (port, before.ports.get(&port).copied().unwrap_or_default(), now))
            .filter(|(_, then, now)| then != now)
            .collect();
        match moved[..] {
            [] => Ok(None),
            [(port, mut then, now)] => {
                match verdict {
                    Verdict::Pass => then.passed += 1,
                    Verdict::Drop => then.dropped += 1,
                }
                ensure!(then == now, "the packet was to {verdict}, and {port:?} now counts {now:?}");
                Ok(Some(port))
            }
            _ => bail!("the packet was counted under ports {moved:?}"),
        }
    }

    /// The counters of TCP and UDP ports between two snapshots. Ports of other protocols evict each other.
    pub(super) fn ports_since(&self, before: &Self) -> Ports {
        let counted = self.ports.iter().filter(|((protocol, _), _)| (*protocol as u32) < COUNTED_PROTOCOLS);
        let moved = counted.map(|(&port, now)| {
            let then = before.ports.get(&port).copied().unwrap_or_default();
            (port, PortCounter { passed: now.passed - then.passed, dropped: now.dropped - then.dropped })
        });
        moved.filter(|&(_, counter)| counter != PortCounter::default()).collect()
    }
}

/// The reason under which the one packet was counted that came in between.
///
/// # Errors
/// When it was not exactly one packet of `bytes` bytes under one reason.
pub(super) fn one_reason_since(then: &ReasonCounters, now: &ReasonCounters, bytes: usize) -> Result<Reason> {
    let moved: Vec<usize> = (0..Reason::SLOTS).filter(|&slot| now[slot] != then[slot]).collect();
    let [slot] = moved[..] else { bail!("the packet was counted under reasons {moved:?}") };
    let (packets, counted) = (now[slot].packets - then[slot].packets, now[slot].bytes - then[slot].bytes);
    ensure!((packets, counted) == (1, bytes as u64), "{packets} packets and {counted} bytes were counted");
    let reason = Reason::ALL.iter().find(|&&reason| reason as usize == slot);
    Ok(*reason.with_context(|| format!("slot {slot} has no reason"))?)
}
