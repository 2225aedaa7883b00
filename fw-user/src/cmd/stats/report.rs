//! Counters of passed and dropped packets.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use fw_common::{
    PortProtocol, Verdict,
    abi::{Counter, PortCounter},
    policy::Policy,
};
use serde::Serialize;

use crate::{
    kernel::{
        maps::{counters::Counters, flows::Flows},
        meta::AttachmentRecord,
    },
    report::table::{bytes, indented, table},
};

/// How many ports the text shows, the busiest first. JSON has them all.
const PORTS_SHOWN: usize = 15;

/// An interface's counters and what is needed to read them.
pub(crate) struct InterfaceStats {
    /// The name.
    pub name: String,
    /// How it is attached.
    pub record: AttachmentRecord,
    /// The policy.
    pub policy: Policy,
    /// Whether packets that count as dropped pass (monitor mode).
    pub monitors: bool,
    /// The counters.
    pub counters: Counters,
    /// Flows in the tables that all interfaces share.
    pub flows: Flows,
}

/// Which ports some rule opens by their number, to anybody.
pub(crate) fn allowed_ports(policy: &Policy) -> BTreeSet<(PortProtocol, u16)> {
    let mut allowed = BTreeSet::new();
    let policy = policy.by_number();
    for protocol in PortProtocol::ALL {
        let ranges = policy.open_to_some(protocol);
        allowed.extend(ranges.iter().flat_map(|ports| ports.first()..=ports.last()).map(|port| (protocol, port)));
    }
    allowed
}

/// `stats --json`.
#[derive(Serialize)]
pub(crate) struct StatsJson<'a> {
    interfaces: Vec<InterfaceJson<'a>>,
}

#[derive(Serialize)]
struct InterfaceJson<'a> {
    name: &'a str,
    mode: &'static str,
    monitor: bool,
    passed: CounterJson,
    dropped: CounterJson,
    reasons: BTreeMap<&'static str, CounterJson>,
    ports: Vec<PortJson>,
    flows: usize,
}

#[derive(Serialize)]
struct CounterJson {
    packets: u64,
    bytes: u64,
}

impl From<Counter> for CounterJson {
    fn from(Counter { packets, bytes }: Counter) -> Self {
        Self { packets, bytes }
    }
}

#[derive(Serialize)]
struct PortJson {
    proto: &'static str,
    port: u16,
    allowed: bool,
    passed: u64,
    dropped: u64,
}

impl<'a> StatsJson<'a> {
    /// In the form for JSON.
    #[must_use]
    pub(crate) fn new(stats: &'a [InterfaceStats]) -> Self {
        Self { interfaces: stats.iter().map(InterfaceJson::new).collect() }
    }
}

impl<'a> InterfaceJson<'a> {
    fn new(stats: &'a InterfaceStats) -> Self {
        let allowed = allowed_ports(&stats.policy);
        let seen = stats.counters.ports.iter().map(|(port, _)| port);
        let ports = allowed.iter().copied().chain(seen).collect::<BTreeSet<_>>().into_iter().map(|(protocol, port)| {
            let PortCounter { passed, dropped } = stats.counters.ports.get((protocol, port));
            PortJson { proto: protocol.name(), port, allowed: allowed.contains(&(protocol, port)), passed, dropped }
        });
        Self {
            name: &stats.name,
            mode: stats.record.mode.name(),
            monitor: stats.monitors,
            passed: stats.counters.total(Verdict::Pass).into(),
            dropped: stats.counters.total(Verdict::Drop).into(),
            reasons: stats.counters.reasons.iter().map(|(reason, &counter)| (reason.name(), counter.into())).collect(),
            ports: ports.collect(),
            flows: stats.flows.all(),
        }
    }
}

/// The text for people. With an earlier reading and the time since, it has rates beside the totals.
#[must_use]
pub(crate) fn text(now: &[InterfaceStats], before: Option<(&[InterfaceStats], Duration)>) -> String {
    let mut text = String::new();
    for stats in now {
        let earlier = before.and_then(|(before, since)| {
            let stats = before.iter().find(|earlier| earlier.name == stats.name)?;
            Some((&stats.counters, since))
        });
        if !text.is_empty() {
            text.push('\n');
        }
        text += &interface_text(stats, earlier);
    }
    text
}

fn interface_text(stats: &InterfaceStats, before: Option<(&Counters, Duration)>) -> String {
    let counters = &stats.counters;
    let mut text = format!("{}  {} mode  {}\n", stats.name, stats.record.mode.name(), stats.flows);
    let dropped = if stats.monitors { "would drop" } else { "dropped" };
    if stats.monitors {
        text += "  MONITOR ONLY  nothing is dropped; `fw-user enforce` closes what is not open\n";
    }
    text.push('\n');
    let mut sums = match before {
        Some(_) => table(&["", "packets", "bytes", "per second"], &[1, 2, 3]),
        None => table(&["", "packets", "bytes"], &[1, 2]),
    };
    for (name, verdict) in [("passed", Verdict::Pass), (dropped, Verdict::Drop)] {
        let Counter { packets, bytes: count } = counters.total(verdict);
        let mut row = vec![name.to_owned(), packets.to_string(), bytes(count)];
        row.extend(before.map(|(before, since)| rate(packets.saturating_sub(before.total(verdict).packets), since)));
        sums.add_row(row);
    }
    text += &indented(&sums);
    if !counters.reasons.is_empty() {
        let mut reasons = table(&["verdict", "reason", "packets", "bytes"], &[2, 3]);
        for (reason, counter) in &counters.reasons {
            reasons.add_row([
                match reason.verdict() {
                    Verdict::Drop if stats.monitors => dropped.to_owned(),
                    verdict => verdict.to_string(),
                },
                reason.to_string(),
                counter.packets.to_string(),
                bytes(counter.bytes),
            ]);
        }
        text.push('\n');
        text += &indented(&reasons);
    }
    let allowed = allowed_ports(&stats.policy);
    let mut ports: Vec<_> = counters.ports.iter().collect();
    ports.sort_by_key(|(port, counter)| (std::cmp::Reverse(counter.passed + counter.dropped), *port));
    if !ports.is_empty() {
        let mut rows = table(&["port", "state", "passed", dropped], &[2, 3]);
        for &((protocol, port), counter) in ports.iter().take(PORTS_SHOWN) {
            let state = if allowed.contains(&(protocol, port)) { "open" } else { "closed" };
            rows.add_row([
                format!("{port}/{protocol}"),
                state.to_owned(),
                counter.passed.to_string(),
                counter.dropped.to_string(),
            ]);
        }
        text.push('\n');
        text += &indented(&rows);
        if let Some(more) = ports.len().checked_sub(PORTS_SHOWN).filter(|&more| more > 0) {
            text += &format!("  and {more} more ports; --json has them all\n");
        }
    }
    text
}

/// Packets per second, rounded for people.
#[expect(clippy::cast_precision_loss, reason = "a float's 52 bits are plenty for what is shown without decimals")]
fn rate(packets: u64, since: Duration) -> String {
    format!("{:.0}", packets as f64 / since.as_secs_f64())
}
