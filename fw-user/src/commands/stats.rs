//! `fw-user stats`: once, or again and again.

use std::{
    io::IsTerminal,
    time::{Duration, Instant},
};

use crossterm::{cursor, queue, terminal};

use super::{attached, has_reader, json, print};
use crate::{
    Result,
    bpf::{counters::Counters, flows, meta::Record, pins::Pins, policy_map::PolicyMap},
    cli::StatsArgs,
    privilege,
    report::stats::{self, InterfaceStats},
};

/// How often the terminal is drawn anew, unless `--interval` says otherwise.
const INTERVAL: Duration = Duration::from_secs(1);

pub(super) async fn run(pins: &Pins, args: &StatsArgs) -> Result<()> {
    privilege::check()?;
    attached(pins, &args.interfaces)?;
    let on_terminal = std::io::stdout().is_terminal() && !args.json;
    let interval = match args.interval {
        Some(interval) => Some(interval),
        None if on_terminal && !args.once => Some(INTERVAL),
        None => None,
    };
    match interval {
        None => print(&render(&read(pins, args)?, args.json, None)?),
        Some(interval) if on_terminal => live(pins, args, interval).await,
        Some(interval) => repeat(pins, args, interval).await,
    }
}

fn read(pins: &Pins, args: &StatsArgs) -> Result<Vec<InterfaceStats>> {
    let flows = flows::count(pins)?;
    attached(pins, &args.interfaces)?
        .into_iter()
        .map(|name| {
            let map = PolicyMap::open(pins, &name)?;
            Ok(InterfaceStats {
                record: Record::read(pins, &name)?,
                policy: map.read()?,
                monitors: map.in_force()?.monitors(),
                counters: Counters::read(pins, &name)?,
                flows,
                name,
            })
        })
        .collect()
}

fn render(now: &[InterfaceStats], as_json: bool, before: Option<(&[InterfaceStats], Duration)>) -> Result<String> {
    if as_json { json(&stats::Json::new(now)) } else { Ok(stats::text(now, before)) }
}

/// One report after another, for files and programs, as long as somebody reads them.
async fn repeat(pins: &Pins, args: &StatsArgs, interval: Duration) -> Result<()> {
    let mut ticks = tokio::time::interval(interval);
    loop {
        tokio::select! {
            _ = ticks.tick() => if !has_reader(&render(&read(pins, args)?, args.json, None)?)? {
                return Ok(());
            },
            _ = tokio::signal::ctrl_c() => return Ok(()),
        }
    }
}

/// One report over the other, until Ctrl-C.
async fn live(pins: &Pins, args: &StatsArgs, interval: Duration) -> Result<()> {
    let mut ticks = tokio::time::interval(interval);
    let mut before: Option<(Vec<InterfaceStats>, Instant)> = None;
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                let (now, read_at) = (read(pins, args)?, Instant::now());
                let since = before.as_ref().map(|(before, at)| (before.as_slice(), read_at - *at));
                draw(&render(&now, false, since)?)?;
                before = Some((now, read_at));
            }
            _ = tokio::signal::ctrl_c() => return Ok(()),
        }
    }
}

/// Draw over the last report: what does not fit is left out, so that the top stays where it is.
fn draw(text: &str) -> Result<()> {
    let rows = terminal::size().map_or(24, |(_, rows)| usize::from(rows));
    let mut frame = Vec::new();
    queue!(frame, cursor::MoveTo(0, 0), terminal::Clear(terminal::ClearType::All))?;
    let mut lines: Vec<&str> = text.lines().take(rows.saturating_sub(2)).collect();
    lines.extend(["", "Ctrl-C ends the view, not the filter"]);
    frame.extend_from_slice(lines.join("\r\n").as_bytes());
    print(&String::from_utf8_lossy(&frame))
}
