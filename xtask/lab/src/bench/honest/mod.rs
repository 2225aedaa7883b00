//! The cost of an attached filter for allowed traffic.

mod exchange;
mod stream;

use anyhow::Result;
use fw_tests::lab::{Lab, Mode, Namespace};

use super::{
    filters::{Attached, Filter},
    measure::Measured,
    report::{Cell, Chart, ChartKind, Goal, Row, Section, Table, Unit},
    stand::{Cpus, Stand},
};
use exchange::{Exchange, Kind};
use stream::{Servers, Stream, Streamed};

/// Odd, for the median.
const ROUNDS: usize = 3;
/// The part of the rate without a filter that is left with one, in the mode of drivers without native XDP.
const GOAL: f64 = 0.97;

/// The compared filters. The last one is not a filter: it shows the cost of generic mode itself.
const CONTESTANTS: [Filter; 6] = [
    Filter::None,
    Filter::Fw(Mode::Native),
    Filter::Fw(Mode::Tc),
    Filter::Fw(Mode::Generic),
    Filter::NftIngress,
    Filter::Pass(Mode::Generic),
];

const STREAMS: [Stream; 5] = [Stream::Upload, Stream::Wire, Stream::Download, Stream::Serve, Stream::Container];
const EXCHANGES: [Exchange; 4] = [
    Exchange { kind: Kind::Request, inbound: true },
    Exchange { kind: Kind::Request, inbound: false },
    Exchange { kind: Kind::Connection, inbound: true },
    Exchange { kind: Kind::Connection, inbound: false },
];

/// Have every kind of traffic with and without the filter, in turn.
pub(super) fn measure() -> Result<Section> {
    let cpus = Cpus::choose()?;
    let contestants: Vec<Contestant> =
        CONTESTANTS.into_iter().map(|filter| Contestant::new(filter, cpus)).collect::<Result<_>>()?;
    let mut streams: Vec<[Vec<Streamed>; CONTESTANTS.len()]> = STREAMS.map(|_| Default::default()).into();
    let mut exchanges: Vec<[Vec<f64>; CONTESTANTS.len()]> = EXCHANGES.map(|_| Default::default()).into();
    for _ in 0..ROUNDS {
        for (stream, samples) in STREAMS.into_iter().zip(&mut streams) {
            for (contestant, samples) in contestants.iter().zip(samples) {
                samples.push(stream.run(&contestant.stand)?);
            }
        }
        for (exchange, samples) in EXCHANGES.into_iter().zip(&mut exchanges) {
            for (contestant, samples) in contestants.iter().zip(samples) {
                samples.push(exchange.run(&contestant.stand)?);
            }
        }
    }
    let of = |samples: &[Vec<Streamed>; CONTESTANTS.len()], value: fn(&Streamed) -> f64| {
        samples.each_ref().map(|samples| Measured::of(samples.iter().map(value).collect()))
    };
    let rates: Vec<_> = STREAMS
        .into_iter()
        .zip(&streams)
        .map(|(stream, samples)| (stream.name(), Unit::Gigabits, of(samples, |streamed| streamed.gigabits)))
        .chain(
            EXCHANGES
                .into_iter()
                .zip(exchanges)
                .map(|(exchange, samples)| (exchange.name(), Unit::PerSecond, samples.map(Measured::of))),
        )
        .collect();
    let cpu = STREAMS.into_iter().zip(&streams).map(|(stream, samples)| {
        let cpu = of(samples, |streamed| streamed.cpu_ms);
        Row { subject: stream.name().to_owned(), cells: cells(cpu, Unit::Milliseconds).into(), goal: None }
    });
    Ok(Section {
        name: "honest",
        title: "Cost for allowed traffic",
        text: include_str!("text.md").to_owned(),
        tables: vec![
            rate_table(&rates),
            Table { subject: "CPU time of the host for a gigabyte", columns: COLUMNS.into(), rows: cpu.collect() },
        ],
        charts: vec![chart(&rates)],
    })
}

const COLUMNS: [&str; CONTESTANTS.len()] =
    ["no filter", "fw, native", "fw, tc", "fw, generic", "nftables ingress", "XDP_PASS, generic"];

/// A kind of traffic, and what came of it with each of the contestants.
type Rates = (&'static str, Unit, [Measured; CONTESTANTS.len()]);

fn rate_table(rates: &[Rates]) -> Table {
    let row = |&(traffic, unit, rates): &Rates| {
        let left = left(rates);
        let ratio = |value| Cell::Number { value: Measured::exactly(value), unit: Unit::Ratio };
        Row {
            subject: traffic.to_owned(),
            cells: cells(rates, unit).into_iter().chain(left.map(ratio)).collect(),
            goal: Some(Goal::at_least(GOAL, Unit::Ratio, left[1])),
        }
    };
    let columns = COLUMNS.into_iter().chain(["native : none", "tc : none", "generic : none"]).collect();
    Table { subject: "traffic", columns, rows: rates.iter().map(row).collect() }
}

fn chart(rates: &[Rates]) -> Chart {
    let of = |index: usize| rates.iter().map(|&(_, _, rates)| Some(left(rates)[index])).collect();
    Chart {
        name: "left",
        title: "What is left of the rate without a filter".to_owned(),
        categories: rates.iter().map(|&(traffic, ..)| traffic.to_owned()).collect(),
        series: vec![("fw, native", of(0)), ("fw, tc", of(1)), ("fw, generic", of(2))],
        unit: Unit::Ratio,
        kind: ChartKind::Bars,
    }
}

/// The part of the rate without a filter that is left in native, tc and generic mode.
fn left([none, native, tc, generic, ..]: [Measured; CONTESTANTS.len()]) -> [f64; 3] {
    [native, tc, generic].map(|with| with.median / none.median)
}

fn cells(values: [Measured; CONTESTANTS.len()], unit: Unit) -> [Cell; CONTESTANTS.len()] {
    values.map(|value| Cell::Number { value, unit })
}

/// A filter on a stand of its own, and the servers that traffic goes to.
struct Contestant {
    // Before the namespaces that they are in.
    _servers: Servers,
    stand: Stand,
    _attached: Attached,
}

impl Contestant {
    fn new(filter: Filter, cpus: Cpus) -> Result<Self> {
        let lab = Lab::new()?;
        lab.pi.open_input()?;
        let stand = Stand::new(lab, cpus, 1)?;
        stand.receive_apart()?;
        let attached = filter.attach(&stand.lab)?;
        for place in [&stand.lab.lan, &stand.lab.pi] {
            reuse_ports(place)?;
        }
        let servers = Servers::start(&stand)?;
        Ok(Self { _servers: servers, stand, _attached: attached })
    }
}

/// Some ten thousand connections a second would soon have used up all ports.
fn reuse_ports(place: &Namespace) -> Result<()> {
    place.sysctl("net/ipv4/ip_local_port_range", "1024 65535")?;
    place.sysctl("net/ipv4/tcp_tw_reuse", "1")
}
