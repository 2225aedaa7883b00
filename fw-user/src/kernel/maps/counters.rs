//! Counters, summed over the CPUs.

use std::collections::BTreeMap;

use bytemuck::Zeroable;
use fw_common::{
    PortProtocol, Reason, Verdict,
    abi::{
        COUNTED_PROTOCOLS, Counter, CounterPage, PAGE, PAGES, PortCounter, RARE_PORTS, RarePort, ReasonCounters, map,
    },
};

use crate::{
    error::Result,
    kernel::{maps::batch::BatchMap, pins::Pins},
};

/// The number of pages of counters per CPU.
const PAGES_PER_CPU: usize = (COUNTED_PROTOCOLS * PAGES) as usize;

/// The counters of an interface's filter since it was attached.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    /// Packets and bytes by reason; only reasons that occurred.
    pub reasons: BTreeMap<Reason, Counter>,
    /// Packets by protocol and destination port.
    pub ports: PortCounters,
}

impl Counters {
    /// Read the counters of an interface once.
    pub fn read(pins: &Pins, interface: &str) -> Result<Self> {
        let mut reader = Reader::open(pins, interface)?;
        reader.read()?;
        Ok(reader.counters)
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

/// Packets of every port.
#[derive(Debug)]
pub struct PortCounters {
    /// The counters of TCP, then UDP, which the maps have pages for.
    counted: Vec<PortCounter>,
    rare: BTreeMap<(PortProtocol, u16), PortCounter>,
}

impl Default for PortCounters {
    fn default() -> Self {
        Self { counted: vec![PortCounter::default(); PAGES_PER_CPU * PAGE], rare: BTreeMap::new() }
    }
}

impl Clone for PortCounters {
    fn clone(&self) -> Self {
        Self { counted: self.counted.clone(), rare: self.rare.clone() }
    }

    /// Reuse the memory.
    fn clone_from(&mut self, source: &Self) {
        self.counted.clone_from(&source.counted);
        self.rare.clone_from(&source.rare);
    }
}

impl PortCounters {
    /// The ports that saw traffic, in the order of protocols and numbers.
    pub fn iter(&self) -> impl Iterator<Item = ((PortProtocol, u16), PortCounter)> {
        let counted = self.counted.iter().enumerate().map(|(index, &counter)| {
            let protocol = PortProtocol::ALL[index >> u16::BITS];
            ((protocol, index as u16), counter)
        });
        let rare = self.rare.iter().map(|(&port, &counter)| (port, counter));
        counted.chain(rare).filter(|(_, counter)| *counter != PortCounter::default())
    }

    /// The packets of a port.
    #[must_use]
    pub fn get(&self, port: (PortProtocol, u16)) -> PortCounter {
        match Self::index(port) {
            Some(index) => self.counted[index],
            None => self.rare.get(&port).copied().unwrap_or_default(),
        }
    }

    /// Set the packets of a port.
    pub fn set(&mut self, port: (PortProtocol, u16), counter: PortCounter) {
        match Self::index(port) {
            Some(index) => self.counted[index] = counter,
            None => drop(self.rare.insert(port, counter)),
        }
    }

    fn index((protocol, port): (PortProtocol, u16)) -> Option<usize> {
        let index = (protocol as usize) << u16::BITS | port as usize;
        (index < PAGES_PER_CPU * PAGE).then_some(index)
    }
}

/// The counter maps of an interface's filter, kept open for repeated reads.
pub struct Reader {
    reasons: BatchMap<u32, ReasonCounters>,
    ports: BatchMap<u32, CounterPage>,
    rare: BatchMap<u32, RarePort>,
    cpus: Vec<Cpu>,
    keys: Vec<u32>,
    pages: Vec<CounterPage>,
    counters: Counters,
}

/// The counters of a CPU at the last reading.
#[derive(Clone)]
struct Cpu {
    reasons: ReasonCounters,
    /// None before the first packet.
    pages: Vec<CounterPage>,
    /// Whether it counted nothing between the last two readings.
    is_idle: bool,
}

impl Reader {
    /// Open the pinned maps of an interface.
    pub fn open(pins: &Pins, interface: &str) -> Result<Self> {
        let path = |name| pins.map(interface, name);
        Ok(Self {
            reasons: BatchMap::open(&path(map::COUNTERS))?,
            ports: BatchMap::open(&path(map::PORT_COUNTERS))?,
            rare: BatchMap::open(&path(map::RARE_PORT_COUNTERS))?,
            cpus: Vec::new(),
            keys: vec![0; PAGES_PER_CPU],
            pages: vec![CounterPage::zeroed(); PAGES_PER_CPU],
            counters: Counters::default(),
        })
    }

    /// Read the current counters.
    pub fn read(&mut self) -> Result<&Counters> {
        let reasons = self.read_reasons()?;
        self.cpus.resize_with(reasons.len(), || Cpu {
            reasons: ReasonCounters::zeroed(),
            pages: Vec::new(),
            is_idle: true,
        });
        for (index, counted) in reasons.into_iter().enumerate() {
            let cpu = &mut self.cpus[index];
            let is_idle = counted == cpu.reasons;
            // A packet's reason is counted before its port, so read the ports once more after a quiet period.
            let is_read = is_idle && cpu.is_idle;
            cpu.is_idle = is_idle;
            cpu.reasons = counted;
            if !is_read {
                self.read_ports(index)?;
            }
        }
        self.sum_reasons();
        self.read_rare_ports()?;
        Ok(&self.counters)
    }

    /// The result of the last reading.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    fn read_reasons(&mut self) -> Result<Vec<ReasonCounters>> {
        let mut all = Vec::new();
        let mut next = None;
        loop {
            let mut some = [ReasonCounters::zeroed(); 16];
            let count;
            (count, next) = self.reasons.read(next, &mut self.keys[..16], &mut some)?;
            all.extend_from_slice(&some[..count]);
            if next.is_none() || count == 0 {
                return Ok(all);
            }
        }
    }

    fn sum_reasons(&mut self) {
        for &reason in Reason::ALL {
            let sum = self.cpus.iter().fold(Counter::default(), |sum, cpu| {
                let Counter { packets, bytes } = cpu.reasons[reason as usize];
                Counter { packets: sum.packets + packets, bytes: sum.bytes + bytes }
            });
            if sum.packets != 0 {
                self.counters.reasons.insert(reason, sum);
            }
        }
    }

    /// Update the sums with the counters of a CPU.
    fn read_ports(&mut self, cpu: usize) -> Result<()> {
        self.ports.read_from((cpu * PAGES_PER_CPU) as u32, &mut self.pages)?;
        let before = &mut self.cpus[cpu].pages;
        before.resize(PAGES_PER_CPU, CounterPage::zeroed());
        let slots = self.pages.as_flattened().iter().zip(before.as_flattened());
        for (sum, (now, before)) in self.counters.ports.counted.iter_mut().zip(slots) {
            sum.passed = sum.passed.wrapping_add(now.passed.wrapping_sub(before.passed));
            sum.dropped = sum.dropped.wrapping_add(now.drops.packets().wrapping_sub(before.drops.packets()));
        }
        std::mem::swap(before, &mut self.pages);
        Ok(())
    }

    fn read_rare_ports(&mut self) -> Result<()> {
        self.counters.ports.rare.clear();
        let mut slots = vec![RarePort::zeroed(); RARE_PORTS as usize];
        for cpu in 0..self.cpus.len() {
            self.rare.read_from(cpu as u32 * RARE_PORTS, &mut slots)?;
            for RarePort { port, slot } in &slots {
                // Slots that are empty, or name no protocol.
                let Some(number) = port.checked_sub(1) else { continue };
                let Some(&protocol) = PortProtocol::ALL.get((number >> u16::BITS) as usize) else { continue };
                let counter = self.counters.ports.rare.entry((protocol, number as u16)).or_default();
                counter.passed += slot.passed;
                counter.dropped += slot.drops.packets();
            }
        }
        Ok(())
    }
}
