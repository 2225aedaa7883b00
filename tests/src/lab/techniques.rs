//! Scanners and packet generators, each run against ports that nobody allowed: without the filter what they send arrives, with it nothing
//! does. What they print themselves is not looked at.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    thread,
};

use anyhow::{Context, Result, ensure};

use super::{
    Lab, Mode, Server,
    netfilter::{CLOSED_TARGET, OPEN_TARGET},
};

/// The first technique's port, at which a program on the Pi listens; the next technique has the next one, so that what arrived tells what
/// was tried.
const HOST_PORTS: u16 = 20_000;
/// The same for ports that Docker publishes: a container listens there.
const PUBLISHED_PORTS: u16 = 30_000;
/// Where the Pi's program listens in truth.
const HOST_TARGET: u16 = 9123;
/// A port that is open with the filter too.
const OPEN: u16 = 80;
/// How many run at once: they wait most of the time.
const AT_ONCE: usize = 12;
/// No technique needs longer, in seconds. Some go on for ever where nobody answers.
const LONGEST: &str = "8";

/// Something that is said to get past firewalls.
#[derive(Clone, Debug)]
pub struct Technique {
    line: String,
    reaches: Reach,
}

/// What the technique comes to where there is no filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    /// The Pi's network stack sees the port.
    Stack,
    /// Linux itself sees none: it drops the packet before, or never puts its pieces together.
    Nothing,
}

impl Technique {
    /// A command line, in which `HOST` stands for a port of the Pi and `PUBLISHED` for one that is published.
    #[must_use]
    pub fn new(line: impl Into<String>) -> Self {
        Self { line: line.into(), reaches: Reach::Stack }
    }

    /// The same for one from which Linux protects itself, so that no filter has to.
    #[must_use]
    pub fn refused_by_linux(line: impl Into<String>) -> Self {
        Self { line: line.into(), reaches: Reach::Nothing }
    }

    /// Run it, at ports of its own.
    fn run(&self, lab: &Lab, host: u16, published: u16) -> Result<()> {
        let line = self.line.replace("HOST", &host.to_string()).replace("PUBLISHED", &published.to_string());
        // Words with blanks in them stand in quotes.
        let words = line.split('"').enumerate().flat_map(|(index, part)| match index % 2 {
            0 => part.split_whitespace().collect::<Vec<_>>(),
            _ => vec![part],
        });
        let mut command = lab.lan.command("timeout");
        command.args(["--kill-after", "1", LONGEST]).args(words);
        // Whether it is content is its own affair: what counts is what arrives.
        command.output().with_context(|| format!("cannot run {line}")).map(drop)
    }
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    /// How many techniques there are.
    pub techniques: usize,
    /// Packets that arrived at their ports without the filter.
    pub without: u64,
    /// Packets that were sent with the filter, in both modes.
    pub sent: u64,
}

impl Lab {
    /// Run techniques without the filter and with it, native and generic. Judged are the packets that netfilter saw at their ports, and
    /// what listens there.
    ///
    /// # Errors
    /// A technique does not do without the filter what it is said to, or something got past the filter.
    pub fn none_gets_past(&self, techniques: &[Technique]) -> Result<Figures> {
        self.pi.open_input()?;
        self.pi.nft(&published())?;
        let servers = [(&self.pi, HOST_TARGET), (self.container(0), CLOSED_TARGET)]
            .into_iter()
            .flat_map(|(place, port)| [place.serve_tcp(port), place.serve_udp(port)])
            .collect::<Result<Vec<Server>>>()?;
        let open = self.container(0).serve_tcp(OPEN_TARGET)?;
        let reached = || servers.iter().map(Server::reached).collect::<Vec<_>>();

        self.pi.count_arrivals()?;
        self.run_all(techniques)?;
        let arrived = self.await_arrivals("what needs no filter to be stopped", |arrivals| {
            ports(techniques).all(|(technique, ports)| {
                technique.reaches == Reach::Nothing || ports.iter().all(|port| arrivals.at(*port) > 0)
            })
        });
        let now = self.pi.arrivals()?;
        let strange: Vec<_> = ports(techniques)
            .flat_map(|(technique, ports)| ports.into_iter().map(move |port| (technique, port)))
            .filter(|(technique, port)| (now.at(*port) == 0) == (technique.reaches == Reach::Stack))
            .map(|(technique, port)| format!("{} at {port}: {}", technique.line, now.at(port)))
            .collect();
        ensure!(strange.is_empty(), "without the filter it is otherwise than said: {strange:#?}");
        arrived?;
        let without = ports(techniques).flat_map(|(_, ports)| ports).map(|port| now.at(port)).sum();
        let met = reached();
        ensure!(met.iter().sum::<usize>() > 0, "without the filter no listener was met");

        let mut figures = Figures { techniques: techniques.len(), without, sent: 0 };
        for mode in [Mode::Native, Mode::Generic] {
            self.attach(mode, "22,80,443")?;
            self.pi.count_arrivals()?;
            let before = self.moment()?;
            self.run_all(techniques)?;
            self.lan.reaches(&open, super::Transport::Tcp, super::PI4, OPEN).context("the open port")?;
            figures.sent += self.await_judged(before)?.0;
            let now = self.pi.arrivals()?;
            ensure!(now.at(OPEN) > 0, "what arrives is not counted");
            let past: Vec<_> = ports(techniques)
                .filter(|(_, ports)| ports.iter().any(|port| now.at(*port) > 0))
                .map(|(technique, _)| &technique.line)
                .collect();
            ensure!(past.is_empty(), "past the filter in {mode} mode: {past:#?}");
            ensure!(reached() == met, "a listener was met in {mode} mode: {:?} after {met:?}", reached());
            self.fw(&["detach", "eth0"])?;
        }
        Ok(figures)
    }

    fn run_all(&self, techniques: &[Technique]) -> Result<()> {
        let waiting: Mutex<VecDeque<_>> = Mutex::new(numbered(techniques).collect());
        let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        thread::scope(|scope| {
            let workers: Vec<_> = (0..AT_ONCE)
                .map(|_| {
                    scope.spawn(|| -> Result<()> {
                        while let Some((technique, host, published)) = next() {
                            technique.run(self, host, published)?;
                        }
                        Ok(())
                    })
                })
                .collect();
            workers
                .into_iter()
                .try_for_each(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        })
    }
}

/// Techniques with their ports on the Pi and in the container.
fn numbered(techniques: &[Technique]) -> impl Iterator<Item = (&Technique, u16, u16)> {
    techniques.iter().zip(0..).map(|(technique, index)| (technique, HOST_PORTS + index, PUBLISHED_PORTS + index))
}

/// Techniques with those of their ports that they use.
fn ports(techniques: &[Technique]) -> impl Iterator<Item = (&Technique, Vec<u16>)> {
    numbered(techniques).map(|(technique, host, published)| {
        let used = [("HOST", host), ("PUBLISHED", published)].into_iter();
        (technique, used.filter(|(name, _)| technique.line.contains(name)).map(|(_, port)| port).collect())
    })
}

/// The techniques' ports lead to the listeners, as Docker publishes a range.
fn published() -> String {
    ["ip", "ip6"]
        .map(|family| {
            let container = if family == "ip" { "172.17.0.2" } else { "[fd00:17::2]" };
            ["tcp", "udp"]
                .map(|protocol| {
                    format!(
                        "insert rule {family} nat DOCKER {protocol} dport {HOST_PORTS}-{} redirect to :{HOST_TARGET}
                         insert rule {family} nat DOCKER {protocol} dport {PUBLISHED_PORTS}-{} dnat to {container}:{CLOSED_TARGET}\n",
                        HOST_PORTS + 999,
                        PUBLISHED_PORTS + 999
                    )
                })
                .concat()
        })
        .concat()
}
