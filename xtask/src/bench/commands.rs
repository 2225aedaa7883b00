//! What commands cost the person who types them.

mod live;

use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use aya::{
    maps::{Array, Map, MapData},
    util::nr_cpus,
};
use fw_common::{
    Reason,
    abi::{COUNTED_PROTOCOLS, PAGE, PAGES, map},
};
use fw_user::bpf::pins::{DEFAULT_BPFFS, Pins};
use serde::Serialize;

use super::{COMMANDS, measure::median};
use crate::{command, root::FwUser};

const ROUNDS: usize = 11;

/// What a command took, in milliseconds.
#[derive(Serialize)]
pub(super) struct Timing {
    pub(super) command: String,
    pub(super) ms: f64,
    /// What the issues allow.
    pub(super) goal_ms: f64,
}

impl Timing {
    /// Whether the goal is met.
    pub(super) fn met(&self) -> bool {
        self.ms < self.goal_ms
    }
}

/// Attach and detach some times, and ask for the statistics of a filter that has counted packets for every port. A live screen of them
/// is measured in CPU time.
pub(super) fn measure() -> Result<Vec<Timing>> {
    let (attach, detach) = (format!("attach {COMMANDS} --allow 22,80,443"), format!("detach {COMMANDS}"));
    let mut attach_ms = Vec::new();
    let mut detach_ms = Vec::new();
    let mut stats_ms = Vec::new();
    let mut live_ms = 0.0;
    for round in 0..ROUNDS {
        attach_ms.push(milliseconds(fw_user(&attach)?));
        count_every_port(1)?;
        stats_ms.push(milliseconds(fw_user("stats --once")?));
        if round == 0 {
            live_ms = live::milliseconds_a_second()?;
        }
        detach_ms.push(milliseconds(fw_user(&detach)?));
    }
    let timing =
        |line: &str, samples, goal_ms| Timing { command: format!("fw-user {line}"), ms: median(samples), goal_ms };
    Ok(vec![
        timing(&attach, attach_ms, 1000.0),
        timing("stats --once", stats_ms, 100.0),
        // 2 % of a core.
        timing("stats, live, each second", vec![live_ms], 20.0),
        timing(&detach, detach_ms, 1000.0),
    ])
}

fn fw_user(line: &str) -> Result<Duration> {
    let start = Instant::now();
    command::output(Command::new(FwUser::Release.path()).args(line.split(' ')))?;
    Ok(start.elapsed())
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// A port's counters, passed and dropped, and a reason's, packets and bytes.
const COUNTERS: usize = 2;

/// As if somebody had scanned every port so many times, on every CPU.
fn count_every_port(times: u64) -> Result<()> {
    let pin = Pins::new(Path::new(DEFAULT_BPFFS)).map(COMMANDS, map::PORT_COUNTERS);
    let data = MapData::from_pin(&pin).with_context(|| format!("cannot open {}", pin.display()))?;
    let mut pages: Array<_, [u64; PAGE * COUNTERS]> = Map::Array(data).try_into()?;
    let pin = Pins::new(Path::new(DEFAULT_BPFFS)).map(COMMANDS, map::COUNTERS);
    let data = MapData::from_pin(&pin).with_context(|| format!("cannot open {}", pin.display()))?;
    let mut reasons: Array<_, [u64; Reason::SLOTS * COUNTERS]> = Map::Array(data).try_into()?;
    let cpus = nr_cpus().map_err(|(_, error)| error).context("cannot count the CPUs")?;
    let cpus = u32::try_from(cpus)?;
    for cpu in 0..cpus {
        // Where a CPU has seen no packet, nobody looks at its ports.
        reasons.set(cpu, [times; Reason::SLOTS * COUNTERS], 0)?;
    }
    for page in 0..cpus * COUNTED_PROTOCOLS * PAGES {
        pages.set(page, [times; PAGE * COUNTERS], 0)?;
    }
    Ok(())
}
