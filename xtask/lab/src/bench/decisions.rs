//! The cost of a decision, by the packet's path and by step.

use anyhow::{Context as _, Result, ensure};
use aya::programs::Xdp;
use fw_common::{Verdict, abi::DEFAULT_FLOWS};

use super::{
    measure::{self, Measured},
    packets::{self, Packet},
    programs::{Filter, Gauges, judge, one_port, pins, xdp_filter},
    report::{Cell, Chart, ChartKind, Goal, Row, Section, Table, Unit},
};

/// Rounds, in each of which every program judges every packet.
const ROUNDS: usize = 301;

/// The filter, cut off after each of its steps.
const STEPS: [&str; 4] = ["empty", "parse", "policy", "decision"];

/// Steps by themselves, and what they are.
const PRICES: [(&str, &str); 5] = [
    ("cpu", "the CPU's number"),
    ("tick", "the clock in ticks, by which remembered routes are aged and records held back"),
    ("clock", "the coarse clock, by which flows are aged"),
    ("flow4", "a look-up of an IPv4 flow: an LRU hash, 16 bytes of key"),
    ("flow6", "a look-up of an IPv6 flow: an LRU hash, 40 bytes of key"),
];

const TEXT: &str = "\
Each program filters the same frame many times (`BPF_PROG_TEST_RUN`), attached to its own interface in native mode, on one CPU, all in turn. A \
number is the time above an empty program in the same round, as a median over the rounds. xdp-filter (xdp-tools) allows the same TCP port and \
drops all other packets. It keeps no flows, so it drops replies and needs no flow table.

The goal is a third of xdp-filter's cost, and half of it for packets with tags, extension headers or fragments. *parse* is fw's whole parser and \
verdict, with the contents of all tables as constants in the program. No program that reads the same headers can be faster.

The second table shows the cost of each step. *policy* reads the number of the policy in force, the class of the port, and whether anything was \
ever sent from it. *table* reads the route of an allowed packet, or the flow of a reply. *counters* counts by reason and by port, and for a \
drop decides whether to record it. The third table shows the cost of the most expensive parts alone, with a warm cache and an entry that \
exists.

Where the time goes, path by path:

- **Replies** need a look-up in an array and a key comparison if the CPU found the flow within the last second. Otherwise they need a look-up in \
a hash that removes the least recently used flow, and a clock for the flow's age. Those two alone cost a third to three quarters of xdp-filter's \
decision. xdp-filter drops these packets.
- **Allowed** packets need one more check: would they be routed on to a container that was never published? The routing table's answer is \
remembered for each destination, so the check costs an array look-up, an address comparison and a clock. These packets are counted twice, by \
reason and by port, in two cache lines.
- **Closed UDP ports** may be where a reply goes. A second array, under *policy*, says whether anything was ever sent from the port. It saves \
the look-up in the hash.
- **Extension headers and tags** have offsets that the compiler does not know, so every header behind them needs another check, under *parse*.
- **Closed TCP ports** cost only parser, policy and counters.";

/// Measure every packet with every program.
pub(super) fn measure() -> Result<Section> {
    let xdp_filter = xdp_filter()?;
    let fw = Filter::attach(pins("decisions"), &one_port()?, DEFAULT_FLOWS)?;
    // The flows that are all zeros.
    fw.fill(1)?;
    let names: Vec<&str> = STEPS.into_iter().chain(PRICES.map(|(name, _)| name)).collect();
    let gauges = Gauges::attach(&fw, &names)?;
    let packets = packets::all();
    for request in packets.iter().filter_map(|packet| packet.request.as_ref()) {
        fw.send(request)?;
    }
    let mut programs = STEPS.iter().map(|name| gauges.program(name)).collect::<Result<Vec<_>>>()?;
    programs.extend([fw.program()?, &xdp_filter]);
    for packet in &packets {
        are_right(packet, fw.program()?, &xdp_filter)?;
    }
    let mut contestants: Vec<_> =
        packets.iter().flat_map(|packet| programs.iter().map(|&program| (program, packet.frame.as_slice()))).collect();
    let of_packets = contestants.len();
    for (name, _) in [("empty", "")].iter().chain(&PRICES) {
        contestants.push((gauges.program(name)?, packets[0].frame.as_slice()));
    }
    let samples = measure::race(&contestants, ROUNDS)?;
    let (of_packets, of_prices) = samples.split_at(of_packets);
    let costs: Vec<Costs> = packets.iter().zip(of_packets.chunks_exact(programs.len())).map(Costs::of).collect();
    let tables = vec![comparison(&costs), steps(&costs), prices(of_prices)];
    Ok(Section { name: "decisions", title: "Cost of a verdict", text: TEXT.to_owned(), tables, charts: charts(&costs) })
}

fn are_right(packet: &Packet, fw: &Xdp, xdp_filter: &Xdp) -> Result<()> {
    for (program, name, expected) in [(fw, "fw", packet.verdict), (xdp_filter, "xdp-filter", packet.xdp_filter)] {
        let verdict = judge(program, &packet.frame, measure::REPEAT).with_context(|| packet.name)?;
        ensure!(verdict == expected, "{}: {name} says {verdict:?}, not {expected:?}", packet.name);
    }
    Ok(())
}

/// The cost of one packet, in nanoseconds.
struct Costs<'a> {
    packet: &'a Packet,
    empty: Measured,
    /// Above the empty program.
    parse: Measured,
    fw: Measured,
    xdp_filter: Measured,
    /// The cost of each step above the one before it.
    steps: [Measured; STEPS.len()],
}

impl<'a> Costs<'a> {
    fn of((packet, samples): (&'a Packet, &[Vec<f64>])) -> Self {
        let [empty, parse, policy, decision, fw, xdp_filter] = samples else {
            unreachable!("every packet is judged by the steps, the filter and xdp-filter");
        };
        let above = Measured::difference;
        Self {
            packet,
            empty: Measured::of(empty.clone()),
            parse: above(parse, empty),
            fw: above(fw, empty),
            xdp_filter: above(xdp_filter, empty),
            steps: [above(parse, empty), above(policy, parse), above(decision, policy), above(fw, decision)],
        }
    }

    fn ratio(&self) -> f64 {
        self.fw.median / self.xdp_filter.median
    }
}

fn ns(value: Measured) -> Cell {
    Cell::Number { value, unit: Unit::Nanoseconds }
}

fn comparison(costs: &[Costs<'_>]) -> Table {
    let row = |costs: &Costs<'_>| {
        let verdict = match costs.packet.verdict {
            Verdict::Pass => "pass",
            Verdict::Drop => "drop",
        };
        let ratio = Cell::Number { value: Measured::exactly(costs.ratio()), unit: Unit::Ratio };
        let numbers = [costs.empty, costs.parse, costs.fw, costs.xdp_filter].map(ns);
        Row {
            subject: costs.packet.name.to_owned(),
            cells: [Cell::Text(verdict.to_owned())].into_iter().chain(numbers).chain([ratio]).collect(),
            goal: Some(Goal::at_most(costs.packet.goal, Unit::Ratio, costs.ratio())),
        }
    };
    let columns = vec!["verdict", "empty", "parse", "fw", "xdp-filter", "fw : xdp-filter"];
    Table { subject: "packet", columns, rows: costs.iter().map(row).collect() }
}

fn steps(costs: &[Costs<'_>]) -> Table {
    let row = |costs: &Costs<'_>| Row {
        subject: costs.packet.name.to_owned(),
        cells: costs.steps.map(ns).into(),
        goal: None,
    };
    let columns = vec!["parse", "policy", "table", "counters"];
    Table { subject: "packet", columns, rows: costs.iter().map(row).collect() }
}

fn prices(samples: &[Vec<f64>]) -> Table {
    let (empty, samples) = samples.split_first().expect("the empty program comes first");
    let rows = PRICES.iter().zip(samples).map(|((_, what), samples)| Row {
        subject: (*what).to_owned(),
        cells: vec![ns(Measured::difference(samples, empty))],
        goal: None,
    });
    Table { subject: "step", columns: vec!["costs"], rows: rows.collect() }
}

fn charts(costs: &[Costs<'_>]) -> Vec<Chart> {
    let categories: Vec<String> = costs.iter().map(|costs| costs.packet.name.to_owned()).collect();
    let series = |of: &dyn Fn(&Costs<'_>) -> f64| costs.iter().map(|costs| Some(of(costs))).collect();
    let step = |index: usize| series(&|costs| costs.steps[index].median);
    vec![
        Chart {
            name: "paths",
            title: "A decision, above an empty program".to_owned(),
            categories: categories.clone(),
            series: vec![
                ("parse", series(&|costs| costs.parse.median)),
                ("fw", series(&|costs| costs.fw.median)),
                ("xdp-filter", series(&|costs| costs.xdp_filter.median)),
            ],
            unit: Unit::Nanoseconds,
            kind: ChartKind::Bars,
        },
        Chart {
            name: "steps",
            title: "Where it goes".to_owned(),
            categories,
            series: vec![("parse", step(0)), ("policy", step(1)), ("table", step(2)), ("counters", step(3))],
            unit: Unit::Nanoseconds,
            kind: ChartKind::Stacks,
        },
    ]
}
