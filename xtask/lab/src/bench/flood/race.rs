//! How many packets each filter drops, and what each takes of a CPU.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use fw_tests::lab::Mode;

use super::{
    contestant::Contestant,
    source::{Kind, Rate, Source},
};
use crate::bench::{
    filters::{CLOSED, Filter},
    measure::Measured,
    report::{Cell, Chart, ChartKind, Goal, Row, Table, Unit},
    stand::{Cpus, Received, Stand},
};

/// Odd, for the median.
const ROUNDS: usize = 5;
/// From the start of a flood until it flows.
pub(super) const START: Duration = Duration::from_millis(50);
/// How long is measured then.
const WINDOW: Duration = Duration::from_millis(250);

const CONTESTANTS: [Filter; 10] = [
    Filter::Drop(Mode::Native),
    Filter::Fw(Mode::Native),
    Filter::XdpTools(Mode::Native),
    Filter::Fw(Mode::Tc),
    Filter::Fw(Mode::Generic),
    Filter::XdpTools(Mode::Generic),
    Filter::NftIngress,
    Filter::NftPrerouting,
    Filter::IptablesRaw,
    Filter::DockerUser,
];

/// Have all drop the same flood, in turn, so that whatever disturbs the machine disturbs all of them.
pub(super) fn measure() -> Result<(Table, Chart)> {
    let cpus = Cpus::choose()?;
    let contestants: Vec<Contestant> =
        CONTESTANTS.into_iter().map(|filter| Contestant::new(filter, cpus, 1)).collect::<Result<_>>()?;
    let mut samples: Vec<Vec<Sample>> = CONTESTANTS.map(|_| Vec::new()).into();
    for _ in 0..ROUNDS {
        for (contestant, samples) in contestants.iter().zip(&mut samples) {
            samples.push(Sample::of(contestant, Kind::Udp(CLOSED))?);
        }
    }
    contestants.iter().try_for_each(Contestant::held)?;
    let rows = CONTESTANTS.into_iter().zip(&samples).map(|(filter, samples)| {
        let cell = |value: fn(&Sample) -> f64, unit| Cell::Number { value: of(samples, value), unit };
        Row {
            subject: filter.name(),
            cells: vec![
                cell(Sample::offered, Unit::MegaPackets),
                cell(Sample::handled, Unit::MegaPackets),
                cell(Sample::ns, Unit::Nanoseconds),
                cell(Sample::busy, Unit::Ratio),
            ],
            goal: None,
        }
    });
    let dropped = samples.iter().map(|samples| Some(of(samples, Sample::handled).median));
    let chart = Chart {
        name: "dropped",
        title: "Packets dropped a second, by one CPU".to_owned(),
        categories: CONTESTANTS.map(Filter::name).into(),
        series: vec![("dropped", dropped.collect())],
        unit: Unit::MegaPackets,
        kind: ChartKind::Bars,
    };
    let columns = vec!["offered", "dropped", "CPU time a packet", "part of the CPU"];
    Ok((Table { subject: "filter", columns, rows: rows.collect() }, chart))
}

/// The protocols whose ports are counted in different ways: each port of TCP has a counter of its own, those of SCTP share 1,024.
const KINDS: [Kind; 2] = [Kind::Syn(CLOSED), Kind::Sctp];
/// How many times as much a packet of the second may cost.
const SCTP_GOAL: f64 = 2.0;

/// Have the filter drop floods of two protocols, in turn, in each mode.
pub(super) fn by_protocol() -> Result<Table> {
    let cpus = Cpus::choose()?;
    let mut rows = Vec::new();
    for mode in [Mode::Native, Mode::Tc, Mode::Generic] {
        let contestant = Contestant::new(Filter::Fw(mode), cpus, 1)?;
        let mut samples = KINDS.map(|_| Vec::new());
        for _ in 0..ROUNDS {
            for (kind, samples) in KINDS.into_iter().zip(&mut samples) {
                samples.push(Sample::of(&contestant, kind)?);
            }
        }
        contestant.held()?;
        let costs = samples.each_ref().map(|samples| of(samples, Sample::ns));
        let [tcp, sctp] = costs;
        let ratio = sctp.median / tcp.median;
        let ratio_cell = Cell::Number { value: Measured::exactly(ratio), unit: Unit::Ratio };
        rows.push(Row {
            subject: Filter::Fw(mode).name(),
            cells: costs
                .map(|value| Cell::Number { value, unit: Unit::Nanoseconds })
                .into_iter()
                .chain([ratio_cell])
                .collect(),
            goal: Some(Goal::at_most(SCTP_GOAL, Unit::Ratio, ratio)),
        });
    }
    let columns = vec!["TCP SYNs, one port", "SCTP, random ports", "SCTP : TCP"];
    Ok(Table { subject: "CPU time a dropped packet", columns, rows })
}

fn of(samples: &[Sample], value: fn(&Sample) -> f64) -> Measured {
    Measured::of(samples.iter().map(value).collect())
}

/// The packets received in some time.
struct Sample {
    received: Received,
    time: Duration,
}

impl Sample {
    /// During a flood of a kind.
    fn of(contestant: &Contestant, kind: Kind) -> Result<Self> {
        Source::new(&contestant.stand, kind, Rate::Unlimited)?.during(|| {
            thread::sleep(START);
            Self::take(&contestant.stand)
        })
    }

    fn take(stand: &Stand) -> Result<Self> {
        let (start, before) = (Instant::now(), stand.receipts()?);
        thread::sleep(WINDOW);
        let (received, time) = (stand.receipts()?.since(before), start.elapsed());
        ensure!(received.handled > 0.0, "nothing of the flood was received");
        Ok(Self { received, time })
    }

    /// Millions of packets a second.
    fn offered(&self) -> f64 {
        (self.received.handled + self.received.overflowed) / self.time.as_secs_f64() / 1e6
    }

    fn handled(&self) -> f64 {
        self.received.handled / self.time.as_secs_f64() / 1e6
    }

    fn ns(&self) -> f64 {
        self.received.cpu.as_secs_f64() * 1e9 / self.received.handled
    }

    fn busy(&self) -> f64 {
        self.received.cpu.as_secs_f64() / self.time.as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_tells_rates_and_the_cost_of_a_packet() {
        let received = Received { handled: 1e6, overflowed: 3e6, cpu: Duration::from_millis(400) };
        let sample = Sample { received, time: Duration::from_millis(500) };
        let all = [sample.offered(), sample.handled(), sample.ns(), sample.busy()];
        assert_eq!(all.map(|value| format!("{value:.1}")), ["8.0", "2.0", "400.0", "0.8"]);
    }
}
