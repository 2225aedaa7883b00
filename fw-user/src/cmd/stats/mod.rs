//! `fw-user stats`: prints once, repeatedly, or as a live screen.

pub(crate) mod args;
#[cfg(feature = "screen")]
pub(crate) mod live;
#[cfg(feature = "screen")]
pub(crate) mod names;
pub(crate) mod report;
#[cfg(feature = "screen")]
pub mod screen;
#[cfg(feature = "screen")]
pub(crate) mod terminal;
#[cfg(feature = "screen")]
pub(crate) mod watch;

use std::{
    io::IsTerminal,
    time::{Duration, Instant},
};

use crate::{
    cmd::{
        locked,
        select::attached,
        signals::{Stop, every},
        stats::{args::StatsArgs, report::InterfaceStats},
    },
    error::Result,
    host::privilege,
    kernel::{
        maps::{counters::Counters, flows, policy_map::PolicyMap},
        meta::AttachmentRecord,
        pins::Pins,
    },
    output::{has_reader, json, print},
};

/// How often a terminal gets new numbers, unless `--interval` says otherwise.
const INTERVAL: Duration = Duration::from_secs(1);

pub(crate) async fn run(pins: &Pins, args: &StatsArgs) -> Result<()> {
    privilege::check()?;
    attached(pins, &args.interfaces)?;
    let is_live = std::io::stdout().is_terminal() && !args.json && !args.once;
    #[cfg(feature = "screen")]
    if is_live && terminal::can_draw() {
        return live::run(pins, &args.interfaces, args.interval.unwrap_or(INTERVAL)).await;
    }
    match args.interval.or(is_live.then_some(INTERVAL)) {
        None => print(&render(&read(pins, args)?, args.json, None)?),
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
                record: AttachmentRecord::read(pins, &name)?,
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
    if as_json { json(&report::StatsJson::new(now)) } else { Ok(report::text(now, before)) }
}

/// One report after another, for files, programs and terminals on which nothing can be drawn, as long as somebody reads them.
async fn repeat(pins: &Pins, args: &StatsArgs, interval: Duration) -> Result<()> {
    let mut stop = Stop::listen()?;
    let mut ticks = every(interval);
    let mut before: Option<(Vec<InterfaceStats>, Instant)> = None;
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                // What was named is looked for by that name.
                if args.interfaces.is_empty() {
                    locked::follow(pins);
                }
                let (now, read_at) = (read(pins, args)?, Instant::now());
                let since = before.as_ref().map(|(before, at)| (before.as_slice(), read_at - *at));
                let gap = if before.is_some() && !args.json { "\n" } else { "" };
                if !has_reader(&(gap.to_owned() + &render(&now, args.json, since)?))? {
                    return Ok(());
                }
                before = Some((now, read_at));
            }
            () = stop.wait() => return Ok(()),
        }
    }
}
