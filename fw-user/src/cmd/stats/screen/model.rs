//! The state of the screen, from one reading to the next.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
    time::{Duration, Instant},
};

use fw_common::{Reason, Verdict, abi::Counter};

use crate::{
    cmd::stats::screen::{
        busiest::{self, PortRow, Sort},
        history::History,
        rate,
        reading::{FilterReading, InterfaceReading, Port, Reading},
    },
    kernel::{
        maps::{
            counters::{Counters, PortCounters},
            sources::DropSource,
        },
        meta::Mode,
    },
};

/// More ports than any terminal has lines.
const MOST_PORTS: usize = 200;

/// The action of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScreenCommand {
    /// Sort by something else.
    Sort,
    /// Freeze the numbers, or go on.
    Pause,
    /// The interface after this one.
    NextInterface,
    /// The interface before this one.
    PreviousInterface,
    /// Explain the keys, or stop that.
    Help,
}

/// Everything that is drawn.
#[derive(Default)]
pub struct Model {
    pub(crate) interfaces: Vec<InterfaceModel>,
    pub(crate) chosen: usize,
    pub(crate) sort: Sort,
    pub(crate) is_paused: bool,
    pub(crate) shows_help: bool,
    pub(crate) flows: Option<usize>,
    services: BTreeMap<Port, String>,
    targets: BTreeMap<Port, String>,
}

/// The data of an interface.
#[derive(Default)]
pub(crate) struct InterfaceModel {
    pub(crate) name: String,
    /// Its filter; nothing before the first one.
    pub(crate) filter: Option<FilterModel>,
    /// Why it has none now.
    pub(crate) without: Option<String>,
}

/// A filter that is or was active.
pub(crate) struct FilterModel {
    generation: u64,
    pub mode: Mode,
    pub(crate) monitors: bool,
    pub(crate) trial_ends_in: Option<u64>,
    pub(crate) passed: Traffic,
    pub(crate) dropped: Traffic,
    pub(crate) reasons: Vec<ReasonRow>,
    pub(crate) ports: Vec<PortRow>,
    pub(crate) ports_in_all: usize,
    pub(crate) sources: Vec<SourceRow>,
    open: BTreeSet<Port>,
    now: Counters,
    /// The ports as they were `elapsed` before; nothing after the first reading.
    before: Option<PortCounters>,
    at: Instant,
    elapsed: Duration,
}

/// Packets with a verdict.
#[derive(Default)]
pub(crate) struct Traffic {
    pub(crate) total: Counter,
    pub(crate) packets_per_second: u64,
    pub(crate) bytes_per_second: u64,
    pub(crate) history: History,
}

/// A sender of dropped packets.
pub(crate) struct SourceRow {
    pub(crate) source: IpAddr,
    pub(crate) per_second: u64,
    pub(crate) packets: u64,
    /// Its last destination port.
    pub(crate) port: Option<Port>,
}

/// A reason that occurred.
pub(crate) struct ReasonRow {
    pub(crate) reason: Reason,
    pub(crate) per_second: u64,
    pub(crate) packets: u64,
}

impl Model {
    /// An empty screen, with these names for services at ports.
    #[must_use]
    pub fn new(services: BTreeMap<Port, String>) -> Self {
        Self { services, ..Self::default() }
    }

    /// Update the model with a reading. A paused screen takes over only warnings.
    pub fn update(&mut self, reading: &Reading<'_>) {
        let chosen = self.chosen().map(|interface| interface.name.clone());
        self.interfaces.retain(|known| reading.interfaces.iter().any(|read| read.name == known.name));
        for (index, read) in reading.interfaces.iter().enumerate() {
            let is_known = self.interfaces.get(index).is_some_and(|known| known.name == read.name);
            if !is_known {
                let new = InterfaceModel { name: read.name.to_owned(), ..InterfaceModel::default() };
                self.interfaces.insert(index, new);
            }
            self.interfaces[index].update(read, reading.at, self.sort, self.is_paused);
        }
        let again = chosen.and_then(|name| self.interfaces.iter().position(|interface| interface.name == name));
        self.chosen = again.unwrap_or(0);
        if !self.is_paused {
            self.flows = reading.flows;
        }
    }

    /// Carry out the action of a key.
    pub fn obey(&mut self, command: ScreenCommand) {
        let count = self.interfaces.len().max(1);
        match command {
            ScreenCommand::Pause => self.is_paused = !self.is_paused,
            ScreenCommand::NextInterface => self.chosen = (self.chosen + 1) % count,
            ScreenCommand::PreviousInterface => self.chosen = (self.chosen + count - 1) % count,
            ScreenCommand::Help => self.shows_help = !self.shows_help,
            ScreenCommand::Sort => {
                self.sort = self.sort.next();
                let sort = self.sort;
                self.interfaces.iter_mut().filter_map(|interface| interface.filter.as_mut()).for_each(|filter| {
                    filter.choose_ports(sort);
                    filter.sort_sources(sort);
                });
            }
        }
    }

    /// Set the receivers at ports.
    pub fn name_targets(&mut self, targets: BTreeMap<Port, String>) {
        self.targets = targets;
    }

    /// The receiver at a port or, in brackets, the usual service.
    pub(crate) fn name(&self, port: Port) -> String {
        let usual = || self.services.get(&port).map(|name| format!("({name})"));
        self.targets.get(&port).cloned().or_else(usual).unwrap_or_default()
    }

    pub(crate) fn chosen(&self) -> Option<&InterfaceModel> {
        self.interfaces.get(self.chosen)
    }
}

impl InterfaceModel {
    fn update(&mut self, read: &InterfaceReading<'_>, at: Instant, sort: Sort, is_paused: bool) {
        self.without = read.filter.as_ref().err().map(|why| (*why).to_owned());
        let Ok(read) = &read.filter else { return };
        match &mut self.filter {
            Some(filter) if is_paused => filter.update_terms(read),
            Some(filter) if filter.generation == read.generation => filter.update(read, at, sort),
            filter => *filter = Some(FilterModel::new(read, at, sort)),
        }
    }
}

impl FilterModel {
    fn new(read: &FilterReading<'_>, at: Instant, sort: Sort) -> Self {
        let mut filter = Self {
            generation: read.generation,
            mode: read.mode,
            monitors: read.monitors,
            trial_ends_in: read.trial_ends_in,
            passed: Traffic::default(),
            dropped: Traffic::default(),
            reasons: Vec::new(),
            ports: Vec::new(),
            ports_in_all: 0,
            sources: Vec::new(),
            open: read.open.clone(),
            now: read.counters.clone(),
            before: None,
            at,
            elapsed: Duration::ZERO,
        };
        filter.passed.total = filter.now.total(Verdict::Pass);
        filter.dropped.total = filter.now.total(Verdict::Drop);
        filter.choose_reasons(&Counters::default());
        filter.choose_ports(sort);
        filter.read_sources(read.sources, sort);
        filter
    }

    fn update_terms(&mut self, read: &FilterReading<'_>) {
        self.mode = read.mode;
        self.monitors = read.monitors;
        self.trial_ends_in = read.trial_ends_in;
    }

    fn update(&mut self, read: &FilterReading<'_>, at: Instant, sort: Sort) {
        self.update_terms(read);
        if self.open != *read.open {
            self.open.clone_from(read.open);
        }
        self.elapsed = at.saturating_duration_since(self.at);
        self.at = at;
        // The two swap their memory: it is megabytes, and this is done each second.
        let mut before = self.before.take().unwrap_or_default();
        std::mem::swap(&mut self.now.ports, &mut before);
        let reasons_before = Counters { reasons: std::mem::take(&mut self.now.reasons), ports: before };
        self.now.ports.clone_from(&read.counters.ports);
        self.now.reasons.clone_from(&read.counters.reasons);
        self.passed.update(self.now.total(Verdict::Pass), self.elapsed);
        self.dropped.update(self.now.total(Verdict::Drop), self.elapsed);
        self.choose_reasons(&reasons_before);
        self.before = Some(reasons_before.ports);
        self.choose_ports(sort);
        self.read_sources(read.sources, sort);
    }

    fn read_sources(&mut self, sources: &[DropSource], sort: Sort) {
        let is_first = self.before.is_none();
        let before: HashMap<IpAddr, u64> =
            std::mem::take(&mut self.sources).into_iter().map(|row| (row.source, row.packets)).collect();
        let elapsed = self.elapsed;
        self.sources.extend(sources.iter().map(|source| {
            // A sender that is new in this reading started since the last one, or had left the table. At the first reading this is unknown.
            let known = before.get(&source.source).copied().unwrap_or(if is_first { source.packets } else { 0 });
            let per_second = rate::per_second(source.packets.saturating_sub(known), elapsed);
            SourceRow { source: source.source, per_second, packets: source.packets, port: source.port }
        }));
        self.sort_sources(sort);
    }

    /// An order by port says nothing of sources.
    fn sort_sources(&mut self, sort: Sort) {
        self.sources.sort_by_key(|row| {
            let ranks = match sort {
                Sort::Rate => [row.per_second, row.packets],
                Sort::Total | Sort::Port => [row.packets, row.per_second],
            };
            (Reverse(ranks), row.source)
        });
    }

    fn choose_reasons(&mut self, before: &Counters) {
        let elapsed = self.elapsed;
        self.reasons.clear();
        self.reasons.extend(self.now.reasons.iter().map(|(&reason, &Counter { packets, .. })| {
            let new = packets.saturating_sub(before.reasons.get(&reason).map_or(0, |before| before.packets));
            ReasonRow { reason, per_second: rate::per_second(new, elapsed), packets }
        }));
        // Drops first, and of those the most frequent.
        self.reasons.sort_by_key(|row| (row.reason.verdict() == Verdict::Pass, Reverse(row.packets), row.reason));
    }

    fn choose_ports(&mut self, sort: Sort) {
        (self.ports, self.ports_in_all) =
            busiest::busiest(&self.now.ports, self.before.as_ref(), self.elapsed, sort, MOST_PORTS);
    }

    /// Whether some rule opens a port, to anybody.
    pub(crate) fn is_open(&self, port: Port) -> bool {
        self.open.contains(&port)
    }
}

impl Traffic {
    fn update(&mut self, now: Counter, elapsed: Duration) {
        let per_second = |now: u64, before: u64| rate::per_second(now.saturating_sub(before), elapsed);
        self.packets_per_second = per_second(now.packets, self.total.packets);
        self.bytes_per_second = per_second(now.bytes, self.total.bytes);
        self.history.push(self.packets_per_second);
        self.total = now;
    }
}
