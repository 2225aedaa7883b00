//! Costs that grow with the size of a policy, the size of the flow table, and the number of interfaces.

use std::path::Path;

use anyhow::{Result, ensure};
use fw_common::{abi::DEFAULT_FLOWS, policy::Policy};
use fw_user::testing::{bpffs, pins::Pins};

use super::{
    commands::{ATTACH_GOAL, STATS_GOAL, fw_user},
    measure::{self, Measured},
    network,
    packets::{self, ALLOWED, NETWORK4, Packet},
    programs::{self, Filter, Gauges, pins},
    report::{Cell, Chart, ChartKind, Goal, Row, Section, Table, Unit},
};

/// Rounds in which packets are judged.
const ROUNDS: usize = 201;
/// How often commands are run.
const RUNS: usize = 3;
/// How many times as much a packet may cost at most as at the smallest size, to be called flat: what remains of noise and of cold caches.
const FLAT: f64 = 1.25;

const TEXT: &str = "\
One size grows at a time. The packet is filtered as above, and is always the same: an allowed SYN when the policy grows, a reply when the flow \
table or the number of interfaces grows. It may cost at most 1.25 times as much as at the smallest size. With many source networks, a trie \
finds the network of the packet. Each command runs three times. If one command attaches several interfaces, the time of `attach` is that of one \
interface, and the time of `stats` is that of all.";

/// The attached filters.
struct Size {
    name: &'static str,
    count: u32,
    allow: Vec<String>,
    /// The capacity of the flow tables, and how many there are.
    flows: (u32, u32),
    interfaces: u32,
}

impl Size {
    fn of(name: &'static str, count: u32) -> Self {
        Self { name, count, allow: vec![format!("{ALLOWED}/tcp")], flows: (DEFAULT_FLOWS, 1), interfaces: 1 }
    }

    /// Consecutive ports, the allowed one among them.
    fn ports(count: u16) -> Self {
        let first = ALLOWED.saturating_sub(count - 1).max(1);
        let allow = vec![format!("{first}-{}/tcp", first + (count - 1))];
        Self { allow, ..Self::of("allowed ports", count.into()) }
    }

    /// The host's own network, and others.
    fn networks(count: u32) -> Self {
        let others = (1..count).map(|index| format!("{ALLOWED}/tcp@10.{}.{}.0/24", index / 256, index % 256));
        let allow = [format!("{ALLOWED}/tcp@{NETWORK4}")].into_iter().chain(others).collect();
        Self { allow, ..Self::of("source networks", count) }
    }

    fn flows(count: u32) -> Self {
        Self { flows: (DEFAULT_FLOWS.max(count.next_power_of_two()), count), ..Self::of("flows", count) }
    }

    fn interfaces(count: u32) -> Self {
        Self { interfaces: count, ..Self::of("interfaces", count) }
    }
}

/// All that grows, each from small to large.
fn groups() -> [(&'static str, Packet, Vec<Size>); 4] {
    let reply = packets::tcp_reply4;
    [
        ("ports", packets::allowed_syn4(), [1, 16, 256, 4096, 65_535].map(Size::ports).into()),
        ("networks", packets::allowed_syn4(), [1, 10, 100, 1000].map(Size::networks).into()),
        ("flows", reply(), [1, 1000, 65_536, 1_000_000].map(Size::flows).into()),
        ("interfaces", reply(), [1, 4, 16].map(Size::interfaces).into()),
    ]
}

/// Measure each.
pub(super) fn measure() -> Result<Section> {
    let mut rows = Vec::new();
    for (group, packet, sizes) in groups() {
        let costs = judge(group, &packet, &sizes)?;
        let first = costs[0].median;
        for (size, cost) in sizes.iter().zip(costs) {
            rows.push(Grown {
                packet: cost,
                flat: cost.median <= first * FLAT,
                times: run(size)?,
                size: subject(size),
            });
        }
    }
    let tables = vec![Table {
        subject: "",
        columns: vec!["a packet", "attach", "stats"],
        rows: rows.iter().map(Grown::row).collect(),
    }];
    Ok(Section { name: "growth", title: "Growth", text: TEXT.to_owned(), tables, charts: charts(&rows) })
}

fn subject(size: &Size) -> String {
    format!("{}: {}", size.name, size.count)
}

/// The measurements at a size.
struct Grown {
    size: String,
    packet: Measured,
    flat: bool,
    times: Times,
}

impl Grown {
    fn row(&self) -> Row {
        let Times { attach, stats } = self.times;
        let ms = |value| Cell::Number { value, unit: Unit::Milliseconds };
        let show = |limit| Unit::Milliseconds.show(limit);
        Row {
            subject: self.size.clone(),
            cells: vec![Cell::Number { value: self.packet, unit: Unit::Nanoseconds }, ms(attach), ms(stats)],
            goal: Some(Goal {
                asks: format!("flat, {}, {}", show(ATTACH_GOAL), show(STATS_GOAL)),
                met: self.flat && attach.median <= ATTACH_GOAL && stats.median <= STATS_GOAL,
            }),
        }
    }
}

/// Have filters of all sizes judge a packet, in turn.
fn judge(group: &str, packet: &Packet, sizes: &[Size]) -> Result<Vec<Measured>> {
    let mut filters = Vec::new();
    for size in sizes {
        let rules = size.allow.iter().map(|rule| rule.parse()).collect::<Result<Vec<_>, _>>()?;
        let policy = Policy::new(rules);
        let pins = pins_of(group, size);
        let (capacity, flows) = size.flows;
        let mut attached = Vec::new();
        for _ in 0..size.interfaces {
            attached.push(Filter::attach(pins.clone(), &policy, capacity)?);
        }
        programs::fill(&pins, flows - 1)?;
        if let Some(request) = &packet.request {
            attached[0].send(request)?;
        }
        filters.push(attached);
    }
    let gauges = Gauges::attach(&filters[0][0], &["empty"])?;
    let frame = packet.frame.as_slice();
    let mut contestants = vec![(gauges.program("empty")?, frame)];
    for attached in &filters {
        contestants.push((attached[0].program()?, frame));
    }
    for &(program, frame) in &contestants[1..] {
        ensure!(programs::judge(program, frame, measure::REPEAT)? == packet.verdict, "{group}: another verdict");
    }
    let samples = measure::race(&contestants, ROUNDS)?;
    drop(filters);
    for size in sizes {
        programs::forget(&pins_of(group, size))?;
    }
    let (empty, samples) = samples.split_first().expect("the empty program is the first");
    Ok(samples.iter().map(|samples| Measured::difference(samples, empty)).collect())
}

fn pins_of(group: &str, size: &Size) -> Pins {
    pins(&format!("{group}-{}", size.count))
}

/// The times of commands, in milliseconds.
struct Times {
    /// Of one interface.
    attach: Measured,
    stats: Measured,
}

/// Attach, show and detach by command.
fn run(size: &Size) -> Result<Times> {
    let interfaces = (0..size.interfaces).map(|_| network::interface()).collect::<Result<Vec<_>>>()?.join(" ");
    let (capacity, flows) = size.flows;
    let attach = format!("attach {interfaces} --allow {} --flows {capacity} --force", size.allow.join(","));
    let (mut attach_ms, mut stats_ms) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        attach_ms.push(fw_user(&attach)? / f64::from(size.interfaces));
        programs::fill(&Pins::new(Path::new(bpffs::DEFAULT)), flows)?;
        stats_ms.push(fw_user("stats --once")?);
        fw_user(&format!("detach {interfaces}"))?;
    }
    Ok(Times { attach: Measured::of(attach_ms), stats: Measured::of(stats_ms) })
}

fn charts(grown: &[Grown]) -> Vec<Chart> {
    let series = |of: &dyn Fn(&Grown) -> f64| grown.iter().map(|grown| Some(of(grown))).collect();
    let chart = |name, title: &str, series, unit| Chart {
        name,
        title: title.to_owned(),
        categories: grown.iter().map(|grown| grown.size.clone()).collect(),
        series,
        unit,
        kind: ChartKind::Bars,
    };
    let packets = vec![("a packet", series(&|grown| grown.packet.median))];
    let attach = series(&|grown| grown.times.attach.median);
    let times = vec![("attach", attach), ("stats", series(&|grown| grown.times.stats.median))];
    vec![
        chart("packets", "A packet, above an empty program", packets, Unit::Nanoseconds),
        chart("commands", "Commands", times, Unit::Milliseconds),
    ]
}

#[cfg(test)]
mod tests {
    use fw_common::PortProtocol;

    use super::*;
    use crate::bench::packets::PEER4;

    fn policy(size: &Size) -> Policy {
        Policy::new(size.allow.iter().map(|rule| rule.parse().expect("a rule")))
    }

    #[test]
    fn every_size_allows_as_much_as_it_says_and_the_packet_that_is_judged() {
        for (_, packet, sizes) in groups() {
            for size in sizes {
                let policy = policy(&size);
                if packet.request.is_none() {
                    assert!(policy.is_open_to(PortProtocol::Tcp, ALLOWED, PEER4.into()), "{}", subject(&size));
                }
                let open = (0..=u16::MAX).filter(|&port| policy.is_open_to_some(PortProtocol::Tcp, port)).count();
                let expected = if size.name == "allowed ports" { size.count } else { 1 };
                assert_eq!(open, expected as usize, "{}", subject(&size));
                if size.name == "source networks" {
                    assert_eq!(policy.rules().len(), size.count as usize);
                }
            }
        }
    }
}
