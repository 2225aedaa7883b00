//! Changes of the bans: the ledger first, then the kernel's maps, so that what is in force is what a reboot brings back.

use std::{fs, path::Path};

use fw_common::abi::map;

use crate::{
    bans::{ledger::Ledger, moment::Moment},
    error::{Error, Result, UsageError},
    kernel::{
        lock::{self, Lock, Wait},
        maps::bans::{BanMap, MOST},
        pins::Pins,
        trust,
    },
    output::complain,
};

/// Where the ledger is, unless `--state` says otherwise.
pub(crate) const DEFAULT_FOLDER: &str = "/var/lib/fw-user";
/// Its name.
pub(crate) const FILE: &str = "bans";

/// Whether a filter heeds the bans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Force {
    /// They are in force.
    Now,
    /// No filter is attached; the next one that is finds them in the ledger.
    WithTheNextFilter,
}

/// The ledger as it stands. Without a folder for it nobody is banned.
pub(crate) fn read(pins: &Pins) -> Result<(Ledger, Moment)> {
    let now = Moment::now()?;
    let ledger = match pins.state() {
        Some(folder) => Ledger::read(&folder.join(FILE), &now)?,
        None => Ledger::default(),
    };
    Ok((ledger, now))
}

/// How the bans stand.
pub(crate) struct Standing {
    /// How many networks are banned now.
    pub(crate) count: usize,
    /// Whether the kernel holds the bans of the ledger. It does not after a command that was killed in between, nor while one changes them.
    pub(crate) are_in_force: bool,
}

/// How the bans stand. They count as in force where the kernel's maps cannot be read.
pub(crate) fn standing(pins: &Pins) -> Result<Standing> {
    let (mut ledger, now) = read(pins)?;
    let are_in_force = are_in_force(pins, &ledger).unwrap_or(true);
    ledger.sweep(&now);
    let (v4, v6) = ledger.bans().counts();
    Ok(Standing { count: v4 + v6, are_in_force })
}

fn are_in_force(pins: &Pins, ledger: &Ledger) -> Result<bool> {
    Ok(!is_attached(pins) || BanMap::open(pins)?.holds(&ledger.bans())?)
}

/// Put the bans of the ledger in force where a command was killed in between.
pub(crate) fn finish(pins: &Pins) -> Result<()> {
    if are_in_force(pins, &read(pins)?.0)? { Ok(()) } else { change(pins, |_, _| Ok(())).map(drop) }
}

/// Change the bans. Nobody else changes them meanwhile. What a killed command has begun is finished first, whatever comes of the change.
pub(crate) fn change<T>(pins: &Pins, change: impl FnOnce(&mut Ledger, &Moment) -> Result<T>) -> Result<(T, Force)> {
    let Some(folder) = pins.state() else { unreachable!("every command has the folder of --state") };
    let _of_pins = pins.lock()?;
    let _of_ledger = lock(folder)?;
    let (mut ledger, now) = read(pins)?;
    let mut map = if is_attached(pins) { Some(BanMap::open(pins)?) } else { None };
    if let Some(map) = &mut map {
        map.update(&ledger.bans())?;
    }
    ledger.sweep(&now);
    let told = change(&mut ledger, &now)?;
    let bans = ledger.bans();
    let (v4, v6) = bans.counts();
    if let Some((count, family)) = [(v4, "IPv4"), (v6, "IPv6")].into_iter().find(|(count, _)| *count > MOST) {
        let what = format!("too many {family} networks: {count}, and there is room for {MOST}; nothing was changed");
        return Err(Error::Usage(UsageError::Usage(what)));
    }
    ledger.write(&folder.join(FILE), &now)?;
    match map {
        Some(mut map) => map.update(&bans).map_err(|error| error.after("changed the ban ledger"))?,
        None => return Ok((told, Force::WithTheNextFilter)),
    }
    Ok((told, Force::Now))
}

/// Whether there is a filter that the bans are for: all share their maps.
pub(crate) fn is_attached(pins: &Pins) -> bool {
    fs::symlink_metadata(pins.shared_map(map::BANS)).is_ok()
}

/// Put the bans of the ledger in force, where they are not: in maps that were made anew. Ports are closed without them as well, so that a
/// ledger that cannot be read keeps no filter off. One that is not there, as in a container without its folder, says nothing.
pub(crate) fn restore(pins: &Pins) {
    let put = || BanMap::open(pins)?.update(&read(pins)?.0.bans());
    let is_there = pins.state().is_some_and(|folder| fs::symlink_metadata(folder.join(FILE)).is_ok());
    if is_there && let Err(error) = put() {
        complain(&format!("note: the bans are not in force: {error}"));
    }
}

/// The lock of whoever changes the ledger. There may be no BPF file system, whose lock would be enough.
fn lock(folder: &Path) -> Result<Lock> {
    trust::secure_way(folder)?;
    if fs::symlink_metadata(folder).is_err() {
        trust::claim(folder)?;
    }
    let mut wait = Wait::begin();
    loop {
        if let Some(lock) = lock::take(folder, &mut wait)? {
            return Ok(lock);
        }
    }
}
