//! One file a command: from its arguments to what it prints.

mod apply;
mod attach;
mod beside;
mod change;
mod check;
mod confirm;
mod detach;
mod enforce;
mod guard;
mod save;
mod service;
mod stats;
mod status;
mod trial;

use std::io::Write;

use crate::{
    Error, Result,
    bpf::{
        deadline::{self, Which},
        lock::Lock,
        pins::Pins,
    },
    cli::{Cli, Command},
};

/// Carry out a command.
///
/// # Errors
/// What [`Error`] lists; nothing is half done then.
pub async fn run(cli: Cli) -> Result<()> {
    let pins = Pins::new(&cli.bpffs);
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
        Command::Stats(args) => stats::run(&pins, &args).await,
        Command::Service(args) => service::run(&cli.config, &args),
    }
}

/// The interfaces that a command concerns: those named, which must have a filter, or all that have one.
fn attached(pins: &Pins, named: &[String]) -> Result<Vec<String>> {
    let attached = pins.interfaces()?;
    if attached.is_empty() {
        return Err(Error::NothingAttached);
    }
    match named.iter().find(|name| !attached.contains(name)) {
        Some(name) => Err(Error::NotAttached { name: name.clone() }),
        None if named.is_empty() => Ok(attached),
        None => Ok(named.to_vec()),
    }
}

/// Keep other commands from changing anything meanwhile. A change that nobody confirmed in time is taken back first, should the process
/// that was to do it be dead.
async fn lock(pins: &Pins) -> Result<Lock> {
    let lock = pins.lock()?;
    deadline::roll_back(pins, &pins.interfaces()?, Which::Due).await?;
    Ok(lock)
}

/// Print what a command came to. A reader that has left is no error.
fn print(text: &str) -> Result<()> {
    has_reader(text).map(|_| ())
}

/// Print one report of many, and say whether anybody reads them still.
fn has_reader(text: &str) -> Result<bool> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error.into()),
        Ok(()) => Ok(true),
    }
}

/// One JSON value on a line of its own.
fn json<T: serde::Serialize>(value: &T) -> Result<String> {
    let mut text = serde_json::to_string(value).map_err(|error| Error::kernel("writing JSON", error))?;
    text.push('\n');
    Ok(text)
}
