//! `fw-user confirm` and `fw-user rollback`: keep or undo a change that was made with `--confirm`.

use std::time::Duration;

use serde::Serialize;

use clap::Args;

use crate::{
    cmd::{
        args::InterfacesArgs,
        locked::lock,
        select::{at_work, attached},
    },
    error::{Error, Result, SafeguardError},
    host::privilege,
    kernel::{
        clock,
        deadline::{self, Which},
        maps::policy_map::{self, PolicyMap},
        pins::Pins,
    },
    output::{json, print},
};

/// Arguments of `rollback`.
#[derive(Debug, Args)]
pub struct RollbackArgs {
    /// Which interfaces, and how to print.
    #[command(flatten)]
    pub of: InterfacesArgs,
    /// Wait for this second of `CLOCK_MONOTONIC`, then undo what nobody has confirmed.
    #[arg(long, hide = true, value_name = "SECOND")]
    pub at: Option<u32>,
}

#[derive(Serialize)]
struct Confirmed<'a> {
    confirmed: &'a [String],
}

#[derive(Serialize)]
struct RolledBack<'a> {
    rolled_back: &'a [String],
}

pub(crate) fn confirm(pins: &Pins, args: &InterfacesArgs) -> Result<()> {
    privilege::check()?;
    let _lock = lock(pins)?;
    let mut waiting = Vec::new();
    for name in at_work(pins, &args.interfaces)? {
        let map = PolicyMap::open(pins, &name)?;
        if map.active()?.deadline() != 0 {
            waiting.push((name, map));
        }
    }
    if waiting.is_empty() {
        return Err(Error::Safeguard(SafeguardError::NothingToConfirm));
    }
    policy_map::change_all(waiting.iter_mut().map(|(_, map)| (map, ())), |map, ()| map.confirm())?;
    let confirmed: Vec<String> = waiting.into_iter().map(|(name, _)| name).collect();
    let told = if args.json {
        json(&Confirmed { confirmed: &confirmed }).and_then(|json| print(&json))
    } else {
        confirmed.iter().try_for_each(|name| print(&format!("{name}  confirmed; the change stays\n")))
    };
    told.map_err(|error| error.after(format!("confirmed {}", confirmed.join(", "))))
}

pub(crate) async fn rollback(pins: &Pins, args: &RollbackArgs) -> Result<()> {
    privilege::check()?;
    let InterfacesArgs { interfaces, json: as_json } = &args.of;
    if let Some(second) = args.at {
        return at(pins, second).await;
    }
    let _lock = lock(pins)?;
    let rolled_back = deadline::roll_back(pins, &attached(pins, interfaces)?, Which::All)?;
    if rolled_back.is_empty() {
        return Err(Error::Safeguard(SafeguardError::NothingToConfirm));
    }
    let told = if *as_json {
        json(&RolledBack { rolled_back: &rolled_back }).and_then(|json| print(&json))
    } else {
        rolled_back.iter().try_for_each(|name| print(&format!("{name}  reverted; it is as it was before the change\n")))
    };
    told.map_err(|error| error.after(format!("reverted the change of {}", rolled_back.join(", "))))
}

/// How often the process that waits for a deadline checks whether a change still waits.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Wait, independently of the parent process, until the changes with this deadline are due, or until none waits any more. Their interfaces may be
/// renamed meanwhile.
async fn at(pins: &Pins, second: u32) -> Result<()> {
    let waits = |name: &String| {
        PolicyMap::open(pins, name).and_then(|map| map.active()).is_ok_and(|active| active.deadline() == second)
    };
    // It starts before the change, by a command that holds the lock until the change is made.
    let is_made = pins.lock().is_ok();
    loop {
        let left = clock::until(second)?;
        if left.is_zero() {
            break;
        }
        if is_made && !pins.interfaces()?.iter().any(waits) {
            return Ok(());
        }
        tokio::time::sleep(left.min(LOOK_EVERY)).await;
    }
    lock(pins).map(drop)
}
