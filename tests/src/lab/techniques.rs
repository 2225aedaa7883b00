//! Scanners and packet generators, each run against ports that nobody allowed: without the filter what they send arrives, with it nothing
//! does. What they print themselves is not looked at.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    thread,
};

use anyhow::{Context, Result, ensure};

use super::{
    Lab, Mode, PI4, Server, Transport,
    netfilter::{CLOSED_TARGET, OPEN_TARGET},
};

/// The first technique's port, at which a program on the Pi listens; the next technique has the next one, so that what arrived tells what
/// was tried.
const HOST_PORTS: u16 = 20_000;
/// The same for ports that Docker publishes: a container listens there.
const PUBLISHED_PORTS: u16 = 30_000;
/// The real address of the Pi's program.
const HOST_TARGET: u16 = 9123;
/// A port that is open with the filter too.
const OPEN: u16 = 80;
/// How many run at once: they wait most of the time.
const AT_ONCE: usize = 40;
/// No technique needs longer, in seconds. Some go on for ever where nobody answers.
const LONGEST: &str = "20";
/// How often a technique is tried without the filter: on a loaded machine a tool may run out of patience before it has sent anything.
const ROUNDS: usize = 3;

/// Something that is said to get past firewalls.
#[derive(Clone, Debug)]
pub struct Technique {
    line: String,
    reaches: Reach,
}

/// The result of the technique without a filter.
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
}

/// The result.
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
        let missing = || -> Result<VecDeque<Numbered<'_>>> {
            let arrivals = self.pi.arrivals()?;
            let is_missing =
                |one: &Numbered<'_>| one.reaches() && one.ports().iter().any(|port| arrivals.at(*port) == 0);
            Ok(numbered(techniques).filter(is_missing).collect())
        };
        self.run_all(numbered(techniques).collect())?;
        for _ in 1..ROUNDS {
            self.run_all(missing()?)?;
        }
        let now = self.pi.arrivals()?;
        let strange: Vec<_> = numbered(techniques)
            .filter(|one| one.ports().iter().any(|port| (now.at(*port) > 0) != one.reaches()))
            .map(|one| &one.technique.line)
            .collect();
        ensure!(strange.is_empty(), "without the filter it is otherwise than said: {strange:#?}");
        let without = numbered(techniques).flat_map(|one| one.ports()).map(|port| now.at(port)).sum();
        let met = reached();
        ensure!(met.iter().sum::<usize>() > 0, "without the filter no listener was met");

        let mut figures = Figures { techniques: techniques.len(), without, sent: 0 };
        for mode in [Mode::Native, Mode::Generic] {
            self.attach(mode, "22,80,443")?;
            self.pi.count_arrivals()?;
            let before = self.moment()?;
            self.run_all(numbered(techniques).collect())?;
            self.lan.reaches(&open, Transport::Tcp, PI4, OPEN).context("the open port")?;
            let (sent, _) = self.await_judged(before)?;
            ensure!(sent >= techniques.len() as u64, "{sent} packets are few for {} techniques", techniques.len());
            figures.sent += sent;
            let now = self.pi.arrivals()?;
            ensure!(now.at(OPEN) > 0, "what arrives is not counted");
            let past: Vec<_> = numbered(techniques)
                .filter(|one| one.ports().iter().any(|port| now.at(*port) > 0))
                .map(|one| &one.technique.line)
                .collect();
            ensure!(past.is_empty(), "past the filter in {mode} mode: {past:#?}");
            ensure!(reached() == met, "a listener was met in {mode} mode: {:?} after {met:?}", reached());
            self.fw(&["detach", "eth0"])?;
        }
        Ok(figures)
    }

    fn run_all(&self, techniques: VecDeque<Numbered<'_>>) -> Result<()> {
        let waiting = Mutex::new(techniques);
        let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        thread::scope(|scope| {
            let workers: Vec<_> = (0..AT_ONCE)
                .map(|_| {
                    scope.spawn(|| -> Result<()> {
                        while let Some(one) = next() {
                            one.run(self)?;
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

/// A technique with a port on the Pi and one in the container.
struct Numbered<'a> {
    technique: &'a Technique,
    host: u16,
    published: u16,
}

fn numbered(techniques: &[Technique]) -> impl Iterator<Item = Numbered<'_>> {
    let ports = (HOST_PORTS..).zip(PUBLISHED_PORTS..);
    techniques.iter().zip(ports).map(|(technique, (host, published))| Numbered { technique, host, published })
}

impl Numbered<'_> {
    /// Whether Linux lets it through.
    fn reaches(&self) -> bool {
        self.technique.reaches == Reach::Stack
    }

    /// Those of the ports that it uses.
    fn ports(&self) -> Vec<u16> {
        let both = [("HOST", self.host), ("PUBLISHED", self.published)].into_iter();
        both.filter(|(name, _)| self.technique.line.contains(name)).map(|(_, port)| port).collect()
    }

    fn run(&self, lab: &Lab) -> Result<()> {
        let line = self.technique.line.replace("HOST", &self.host.to_string());
        let line = line.replace("PUBLISHED", &self.published.to_string());
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
