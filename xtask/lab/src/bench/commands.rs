//! The time of commands for the person who types them.

mod counted;
mod live;

use std::{process::Command, time::Instant};

use anyhow::Result;

use super::{
    measure::Measured,
    network,
    report::{Cell, Goal, Row, Section, Table, Unit},
};
use xtask::{command, product::FwUser};

const ROUNDS: usize = 11;

/// Milliseconds that `attach` may take for an interface, and `detach`.
pub(super) const ATTACH_GOAL: f64 = 200.0;
/// Milliseconds that `stats` may take.
pub(super) const STATS_GOAL: f64 = 100.0;

const TEXT: &str = "\
The median of eleven runs, from the start of the process to its end. `attach` allows three ports. `stats` reads counters for every TCP and UDP \
port on every CPU. For the live screen, all counters change between two updates, and the flow table is full.";

/// Attach and detach some times, and ask for the statistics of a filter that has counted packets for every port. A live screen of them
/// is measured in CPU time.
pub(super) fn measure() -> Result<Section> {
    let interface = network::interface()?;
    let (attach, detach) = (format!("attach {interface} --allow 22,80,443"), format!("detach {interface}"));
    let mut attach_ms = Vec::new();
    let mut detach_ms = Vec::new();
    let mut stats_ms = Vec::new();
    let mut live_ms = 0.0;
    for round in 0..ROUNDS {
        attach_ms.push(fw_user(&attach)?);
        counted::count_every_port(&interface, 1)?;
        stats_ms.push(fw_user("stats --once")?);
        if round == 0 {
            live_ms = live::milliseconds_a_second(&interface)?;
        }
        detach_ms.push(fw_user(&detach)?);
    }
    let rows = vec![
        row("fw-user attach", attach_ms, ATTACH_GOAL),
        row("fw-user stats --once", stats_ms, STATS_GOAL),
        // 2 % of a core.
        row("fw-user stats, live, CPU time a second", vec![live_ms], 20.0),
        row("fw-user detach", detach_ms, ATTACH_GOAL),
    ];
    Ok(Section {
        name: "commands",
        title: "Time of commands",
        text: TEXT.to_owned(),
        tables: vec![Table { subject: "command", columns: vec!["time"], rows }],
        charts: Vec::new(),
    })
}

fn row(command: &str, samples: Vec<f64>, goal: f64) -> Row {
    let value = Measured::of(samples);
    Row {
        subject: command.to_owned(),
        cells: vec![Cell::Number { value, unit: Unit::Milliseconds }],
        goal: Some(Goal::at_most(goal, Unit::Milliseconds, value.median)),
    }
}

/// Run it, and return the milliseconds that it took.
pub(super) fn fw_user(line: &str) -> Result<f64> {
    let start = Instant::now();
    command::output(Command::new(FwUser::Release.path()).args(line.split(' ')))?;
    Ok(start.elapsed().as_secs_f64() * 1e3)
}
