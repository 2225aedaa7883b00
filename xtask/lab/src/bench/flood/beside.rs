//! Allowed traffic beside a flood: a service that is asked at a fixed rate, and how much of that is still answered.

use std::{
    io::ErrorKind,
    net::{Ipv4Addr, UdpSocket},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use fw_tests::lab::{Mode, PI4};

use super::{
    contestant::Contestant,
    race::START,
    source::{Kind, Rate, Source},
};
use crate::bench::{
    filters::{CLOSED, Filter, SERVICE},
    measure::{Measured, pin},
    report::{Cell, Chart, ChartKind, Goal, Row, Table, Unit},
    stand::{Cpus, Received, Stand},
};

/// Odd, for the median.
const ROUNDS: usize = 3;
/// How long the service is asked for one sample.
const WINDOW: Duration = Duration::from_millis(400);
/// Requests a second: what a busy DNS server of a home sees, and a small part of what a CPU can answer.
const REQUESTS: f64 = 2000.0;
/// The pause between two looks at what is due.
const PAUSE: Duration = Duration::from_micros(500);
/// An answer that takes longer will not come.
const LATE: Duration = Duration::from_millis(100);
/// The part of its rate that allowed traffic keeps.
const GOAL: f64 = 0.95;
/// One for the flood, and one beside it.
const QUEUES: usize = 2;

const CONTESTANTS: [Filter; 10] = [
    Filter::None,
    Filter::Fw(Mode::Native),
    Filter::Fw(Mode::Tc),
    Filter::Fw(Mode::Generic),
    Filter::XdpTools(Mode::Native),
    Filter::XdpTools(Mode::Generic),
    Filter::NftIngress,
    Filter::NftPrerouting,
    Filter::IptablesRaw,
    Filter::DockerUser,
];

/// The traffic at the closed port.
#[derive(Clone, Copy)]
struct Flood {
    name: &'static str,
    rate: Rate,
    /// Whether the service's packets arrive by the queue that it fills.
    same_queue: bool,
}

const FLOODS: [Flood; 3] = [
    Flood { name: "1 Gbit/s, same queue", rate: Rate::Gigabit, same_queue: true },
    Flood { name: "unlimited, same queue", rate: Rate::Unlimited, same_queue: true },
    Flood { name: "unlimited, another queue", rate: Rate::Unlimited, same_queue: false },
];

/// Ask the service of every host, without a flood and beside each of them, in turn. Returns a table for each flood.
pub(super) fn measure() -> Result<(Vec<Table>, Chart)> {
    let cpus = Cpus::choose()?;
    let contestants: Vec<Contestant> =
        CONTESTANTS.into_iter().map(|filter| Contestant::new(filter, cpus, QUEUES)).collect::<Result<_>>()?;
    let mut samples: [Vec<Vec<Sample>>; FLOODS.len()] = FLOODS.map(|_| CONTESTANTS.map(|_| Vec::new()).into());
    for _ in 0..ROUNDS {
        for (index, contestant) in contestants.iter().enumerate() {
            let quiet = ask(&contestant.stand)?;
            ensure!(quiet > 0, "nobody answers");
            for (flood, samples) in FLOODS.into_iter().zip(&mut samples) {
                samples[index].push(flood.beside(&contestant.stand, quiet)?);
            }
        }
    }
    contestants.iter().try_for_each(Contestant::held)?;
    let tables = FLOODS.into_iter().zip(&samples).map(|(flood, samples)| Table {
        subject: flood.name,
        columns: vec!["answered", "lost in the queue", "part of the CPU"],
        rows: CONTESTANTS.into_iter().zip(samples).map(|(filter, samples)| row(filter, samples)).collect(),
    });
    let kept = |samples: &[Vec<Sample>]| {
        let kept = |samples: &Vec<Sample>| Some(of(samples, |sample| sample.kept).median);
        samples.iter().map(kept).collect()
    };
    let chart = Chart {
        name: "answered",
        title: "Allowed requests that are answered beside a flood".to_owned(),
        categories: CONTESTANTS.map(Filter::name).into(),
        series: FLOODS.iter().zip(&samples).map(|(flood, samples)| (flood.name, kept(samples))).collect(),
        unit: Unit::Ratio,
        kind: ChartKind::Bars,
    };
    Ok((tables.collect(), chart))
}

fn row(filter: Filter, samples: &[Sample]) -> Row {
    let cell = |value: fn(&Sample) -> f64| Cell::Number { value: of(samples, value), unit: Unit::Ratio };
    let kept = of(samples, |sample| sample.kept).median;
    Row {
        subject: filter.name(),
        cells: vec![cell(|sample| sample.kept), cell(Sample::overflowed), cell(Sample::busy)],
        goal: matches!(filter, Filter::Fw(_)).then(|| Goal::at_least(GOAL, Unit::Ratio, kept)),
    }
}

fn of(samples: &[Sample], value: fn(&Sample) -> f64) -> Measured {
    Measured::of(samples.iter().map(value).collect())
}

impl Flood {
    /// Ask the service of a host meanwhile, that has answered so many requests in peace.
    fn beside(self, stand: &Stand, quiet: u32) -> Result<Sample> {
        // The kernel puts frames that are sent on from XDP into the queue of the CPU that sends.
        let flooded = stand.cpus.lan % QUEUES;
        stand.send_by(if self.same_queue { flooded } else { 1 - flooded }, QUEUES)?;
        Source::new(stand, Kind::Udp(CLOSED), self.rate)?.during(|| {
            thread::sleep(START);
            let (start, before) = (Instant::now(), stand.receipts()?);
            let kept = f64::from(ask(stand)?) / f64::from(quiet);
            Ok(Sample { kept, received: stand.receipts()?.since(before), time: start.elapsed() })
        })
    }
}

/// The results of the service's requests, and the host's load meanwhile.
struct Sample {
    kept: f64,
    received: Received,
    time: Duration,
}

impl Sample {
    fn overflowed(&self) -> f64 {
        self.received.overflowed / (self.received.handled + self.received.overflowed)
    }

    fn busy(&self) -> f64 {
        self.received.cpu.as_secs_f64() / self.time.as_secs_f64()
    }
}

/// Ask the service for a while, and return how many requests were answered.
fn ask(stand: &Stand) -> Result<u32> {
    let over = AtomicBool::new(false);
    let server = stand.lab.pi.enter(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, SERVICE)))?;
    let client = stand.lab.lan.enter(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)))?;
    client.connect((PI4, SERVICE))?;
    client.set_nonblocking(true)?;
    thread::scope(|scope| {
        let answering = scope.spawn(|| pin(0, stand.cpus.host).and_then(|()| answer(&server, &over)));
        let asking = scope.spawn(|| pin(0, stand.cpus.lan).and_then(|()| requests(&client)));
        let answered = asking.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        over.store(true, Relaxed);
        answering.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        answered
    })
}

fn requests(client: &UdpSocket) -> Result<u32> {
    let (mut sent, mut answered) = (0, 0);
    let start = Instant::now();
    let mut last = start;
    loop {
        let open = start.elapsed() < WINDOW;
        while open && f64::from(sent) < start.elapsed().as_secs_f64() * REQUESTS {
            let length = client.send(b"question")?;
            ensure!(length == 8);
            sent += 1;
        }
        while client.recv(&mut [0; 16]).is_ok() {
            answered += 1;
            last = Instant::now();
        }
        if !open && (answered == sent || last.max(start + WINDOW).elapsed() > LATE) {
            return Ok(answered);
        }
        thread::sleep(PAUSE);
    }
}

fn answer(server: &UdpSocket, over: &AtomicBool) -> Result<()> {
    server.set_read_timeout(Some(LATE))?;
    let mut request = [0; 16];
    while !over.load(Relaxed) {
        match server.recv_from(&mut request) {
            Ok((length, client)) => drop(server.send_to(&request[..length], client)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
