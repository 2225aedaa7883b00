//! One file a command: from its arguments to what it prints.

mod apply;
mod attach;
mod beside;
mod change;
mod check;
mod confirm;
mod detach;
mod doctor;
mod drops;
mod enforce;
mod explain;
mod exposed;
mod guard;
mod meets;
#[cfg(feature = "metrics")]
mod metrics;
mod run;
mod save;
mod service;
mod stats;
mod status;
mod trial;

use std::{path::PathBuf, time::Duration};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::{Interval, MissedTickBehavior, interval},
};

use crate::{
    Error, Result,
    bpf::{
        bpffs,
        deadline::{self, Which},
        lock::Lock,
        pins::Pins,
        state,
        turn::Turn,
    },
    cli::{Cli, Command},
    interface,
    output::{complain, has_reader, narrate, overwrite, print},
    printable::printable_json,
};

/// Carry out a command.
///
/// # Errors
/// What [`Error`] lists. Nothing is changed then, but for [`Error::Changed`].
pub async fn run(cli: Cli) -> Result<()> {
    let pins = Pins::new(&bpffs::resolve(&cli.bpffs)?);
    match cli.command {
        Command::Attach(args) => attach::run(&pins, &args).await,
        Command::Detach(args) => detach::run(&pins, &args).await,
        Command::Allow(args) => change::run(&pins, &cli.config, &args, change::Change::Allow).await,
        Command::Deny(args) => change::run(&pins, &cli.config, &args, change::Change::Deny).await,
        Command::Apply(args) => apply::run(&pins, &cli.config, &args).await,
        Command::Check(args) => check::run(&cli.config, &args),
        Command::Save(args) => save::run(&pins, &cli.config, &args).await,
        Command::Monitor(args) => enforce::monitor(&pins, &args).await,
        Command::Enforce(args) => enforce::enforce(&pins, &args).await,
        Command::Confirm(args) => confirm::confirm(&pins, &args).await,
        Command::Rollback(args) => confirm::rollback(&pins, &args).await,
        Command::Status(args) => status::run(&pins, &args).await,
        Command::Doctor(args) => doctor::run(&pins, &args).await,
        Command::Exposed(args) => exposed::run(&pins, &args).await,
        Command::Stats(args) => stats::run(&pins, &args).await,
        Command::Drops(args) => drops::run(&pins, &args).await,
        Command::Explain(args) => explain::run(&pins, &args).await,
        Command::Run(args) => run::run(&pins, &cli.config, &args).await,
        #[cfg(feature = "metrics")]
        Command::Metrics(args) => metrics::run(&pins, &cli.config, &args).await,
        Command::Service(args) => service::run(&pins, &cli.config, &args),
    }
}

/// The interfaces that a command concerns: those named, which must have a filter, or all that have one.
fn attached(pins: &Pins, named: &[String]) -> Result<Vec<String>> {
    let attached = pins.interfaces()?;
    let of_other_abi = other_abis(pins)?;
    let other_abi = |name: &String| of_other_abi.iter().find(|(other, _)| other == name);
    let unknown = |name: &String| match other_abi(name) {
        Some((name, abi)) => Err(Error::OtherAbi { name: name.clone(), abi: *abi }),
        None if attached.is_empty() => Err(Error::NothingAttached),
        None if !attached.contains(name) => Err(Error::NotAttached { name: name.clone() }),
        None => Ok(()),
    };
    if !named.is_empty() {
        named.iter().try_for_each(unknown)?;
        return Ok(interface::once_each(named).cloned().collect());
    }
    of_other_abi.iter().map(|(name, _)| name).try_for_each(unknown)?;
    if attached.is_empty() { Err(Error::NothingAttached) } else { Ok(attached) }
}

/// Those of [`attached`] whose filter is at work: a change to any other would close nothing, and say that it did. Those that were not named
/// are left out with a word.
async fn at_work(pins: &Pins, named: &[String]) -> Result<Vec<String>> {
    let mut at_work = Vec::new();
    let mut idle = Vec::new();
    for name in attached(pins, named)? {
        if state::ingress_link(pins, &name)?.is_some_and(|link| link.ifindex != 0) {
            at_work.push(name);
        } else {
            let state = state::of(pins, &name, interface::present(&name).await?.as_ref())?.words();
            idle.push(Error::NotFiltering { name, state });
        }
    }
    if named.is_empty() && !at_work.is_empty() {
        for idle in idle {
            complain(&format!("note: left out: {idle}"));
        }
        return Ok(at_work);
    }
    idle.into_iter().next().map_or(Ok(at_work), Err)
}

/// The interfaces that are filtered by another version, and its ABI.
fn other_abis(pins: &Pins) -> Result<Vec<(String, u32)>> {
    let mut found = Vec::new();
    for other in pins.others()? {
        for name in other.interfaces()? {
            if state::ingress_link(&other, &name)?.is_some_and(|link| link.ifindex != 0) {
                found.push((name, other.abi()));
            }
        }
    }
    Ok(found)
}

/// Keep other commands from changing anything meanwhile. A change that nobody confirmed in time is taken back first, should the process
/// that was to do it be dead. Whatever a command decides by is read after this.
async fn lock(pins: &Pins) -> Result<Option<Lock>> {
    let lock = pins.lock()?;
    deadline::roll_back(pins, &pins.interfaces()?, Which::Due).await?;
    Ok(lock)
}

/// The same for a command that may attach: a BPF file system is mounted where there is none.
async fn turn(pins: &Pins) -> Result<Turn> {
    let turn = Turn::take(pins)?;
    deadline::roll_back(pins, &pins.interfaces()?, Which::Due).await?;
    Ok(turn)
}

/// The wish that this process ends: Ctrl-C on a terminal, or SIGTERM from whatever started it.
struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    /// From now on the process is not ended by these signals any more.
    fn listen() -> Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Ticks, the first one at once. What was missed, by a process that was stopped for a while, is not made up for.
fn every(period: Duration) -> Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// What failed after these interfaces were changed and these files written.
fn after_change(error: Error, interfaces: &[String], files: &[PathBuf]) -> Error {
    let files = files.iter().map(|file| file.display().to_string());
    let changed: Vec<String> = interfaces.iter().cloned().chain(files).collect();
    if changed.is_empty() { error } else { error.after(format!("changed {}", changed.join(", "))) }
}

/// One JSON value on a line of its own.
fn json<T: serde::Serialize>(value: &T) -> Result<String> {
    let mut text = serde_json::to_string(value).map_err(|error| Error::kernel("writing JSON", error))?;
    text = printable_json(&text);
    text.push('\n');
    Ok(text)
}
