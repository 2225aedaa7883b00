//! Streams of bytes, by iperf3.

use std::process::Command;

use anyhow::{Context as _, Result, bail};
use fw_tests::lab::{LAN4, Namespace, PI4, background::Background, netfilter::OPEN_TARGET, wait};
use serde::Deserialize;

use crate::bench::{filters::OPEN, stand::Stand};

/// The address of the host's own server.
const STREAM_PORT: u16 = OPEN[3];
/// The address of the LAN machine's server.
const LAN_PORT: u16 = 5201;
/// The address of a published container.
const CONTAINER_PORT: u16 = 80;

/// The sender and the receiver.
#[derive(Clone, Copy)]
pub(super) enum Stream {
    /// The LAN's machine to a port of the host that is open.
    Upload,
    /// The same, at the rate of a wire of 1 Gbit/s with the headers taken off.
    Wire,
    /// A server on the LAN to the host that asked it.
    Download,
    /// A server on the host to the LAN's machine.
    Serve,
    /// The LAN's machine to a container whose port is open.
    Container,
}

impl Stream {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Upload => "LAN to host",
            Self::Wire => "LAN to host, 1 Gbit/s",
            Self::Download => "host downloads",
            Self::Serve => "host to LAN",
            Self::Container => "LAN to container",
        }
    }

    /// One second of it.
    pub(super) fn run(self, stand: &Stand) -> Result<Streamed> {
        let (lan, host) = (stand.cpus.lan, stand.cpus.host);
        let to_host = |port| on_cpu(&stand.lab.lan, lan, &format!("--client {PI4} --port {port}"));
        let (mut client, options): (Command, &[&str]) = match self {
            Self::Upload => (to_host(STREAM_PORT), &[]),
            Self::Wire => (to_host(STREAM_PORT), &["--bitrate", "940M"]),
            Self::Serve => (to_host(STREAM_PORT), &["--reverse"]),
            Self::Container => (to_host(CONTAINER_PORT), &[]),
            Self::Download => {
                (on_cpu(&stand.lab.pi, host, &format!("--client {LAN4} --port {LAN_PORT}")), &["--reverse"])
            }
        };
        client.args(["--json", "--time", "1"]).args(options);
        // A server takes a moment to end the stream before.
        let (end, threads) = wait::until("a stream", || {
            let before = stand.receipts()?;
            let output = client.output().context("starting iperf3")?;
            let threads = stand.receipts()?.since(before).cpu;
            let printed: Printed =
                serde_json::from_slice(&output.stdout).context("iperf3 --json prints something else")?;
            match (printed.error, printed.end) {
                (Some(error), _) if error.contains("busy") => Ok(None),
                (Some(error), _) => bail!("iperf3 fails: {error}"),
                (None, end) => Ok(Some((serde_json::from_value::<End>(end)?, threads))),
            }
        })?;
        let percent = match self {
            Self::Download => end.cpu_utilization_percent.host_total,
            _ => end.cpu_utilization_percent.remote_total,
        };
        let program = percent / 100.0 * end.sum_received.seconds;
        Ok(Streamed {
            gigabits: end.sum_received.bits_per_second / 1e9,
            cpu_ms: (threads.as_secs_f64() + program) * 1e3 / (end.sum_received.bytes / 1e9),
        })
    }
}

/// The result of a stream.
pub(super) struct Streamed {
    /// Gigabits a second.
    pub(super) gigabits: f64,
    /// The host's CPU time for a gigabyte, in milliseconds: of its receiving threads and its end of the stream.
    pub(super) cpu_ms: f64,
}

/// The end of what iperf3 prints; "host" is who printed it.
#[derive(Deserialize)]
struct Printed {
    error: Option<String>,
    /// Empty after an error.
    #[serde(default)]
    end: serde_json::Value,
}

#[derive(Deserialize)]
struct End {
    sum_received: Sum,
    cpu_utilization_percent: Utilization,
}

#[derive(Deserialize)]
struct Sum {
    seconds: f64,
    bytes: f64,
    bits_per_second: f64,
}

#[derive(Deserialize)]
struct Utilization {
    host_total: f64,
    remote_total: f64,
}

/// Everybody who serves.
pub(super) struct Servers(#[expect(dead_code, reason = "held, not used")] Vec<Background>);

impl Servers {
    pub(super) fn start(stand: &Stand) -> Result<Self> {
        let (lab, cpus) = (&stand.lab, stand.cpus);
        let places = [
            (&lab.pi, cpus.host, STREAM_PORT),
            (lab.container(0), cpus.host, OPEN_TARGET),
            (&lab.lan, cpus.lan, LAN_PORT),
        ];
        let start = |(place, cpu, port): (&Namespace, usize, u16)| {
            let mut server =
                Background::start(&mut on_cpu(place, cpu, &format!("--server --forceflush --port {port}")))?;
            server.await_said("listening")?;
            Ok(server)
        };
        places.into_iter().map(start).collect::<Result<_>>().map(Self)
    }
}

fn on_cpu(place: &Namespace, cpu: usize, words: &str) -> Command {
    let mut command = place.command("taskset");
    command.args(["--cpu-list", &cpu.to_string(), "iperf3"]).args(words.split(' '));
    command
}
