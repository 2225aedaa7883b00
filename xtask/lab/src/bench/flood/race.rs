//! How many packets each filter drops, and what each takes of a CPU.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use fw_tests::lab::Mode;

use super::{
    contestant::Contestant,
    source::{Rate, Source},
};
use crate::bench::{
    filters::{CLOSED, Filter},
    measure::Measured,
    report::{Cell, Chart, ChartKind, Row, Table, Unit},
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
            let source = Source::new(&contestant.stand, CLOSED, Rate::Unlimited)?;
            samples.push(source.during(|| {
                thread::sleep(START);
                Sample::take(&contestant.stand)
            })?);
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

fn of(samples: &[Sample], value: fn(&Sample) -> f64) -> Measured {
    Measured::of(samples.iter().map(value).collect())
}

/// The packets received in some time.
struct Sample {
    received: Received,
    time: Duration,
}

impl Sample {
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
