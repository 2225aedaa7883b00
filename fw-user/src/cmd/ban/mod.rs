//! `fw-user ban`, `fw-user unban` and `fw-user bans`.

pub(crate) mod args;
pub(crate) mod dropped;
pub(crate) mod list;
pub(crate) mod network;
pub(crate) mod own;
pub(crate) mod report;

use std::{
    fs::File,
    io::{self, ErrorKind, Read},
    path::Path,
};

use ipnet::IpNet;

use crate::{
    bans::{
        ledger::{Ledger, Set},
        moment::NO_END,
        store,
    },
    cmd::ban::{
        args::{BanArgs, BansArgs, MANUAL, UnbanArgs},
        dropped::Dropped,
        list::Entry,
        network::words,
        own::{Covers, Own},
    },
    error::{ConfigError, Error, HostError, Mistake, Mistakes, Result, UsageError},
    host::privilege,
    kernel::pins::Pins,
    output::{complain, json, print},
};

pub(crate) fn ban(pins: &Pins, args: &BanArgs) -> Result<()> {
    let set = args.set.as_deref().unwrap_or(MANUAL);
    let mut entries = match &args.load {
        Some(path) => load(path, set)?,
        None => args.networks.iter().map(|&network| Entry { network, lasting: None }).collect(),
    };
    privilege::check()?;
    let left_out = look(&mut entries, args)?;
    let lasting = args.lasting.map_or(NO_END, u64::from);
    let (count, force) = store::change(pins, |ledger, now| {
        let end = |seconds| if seconds == NO_END { NO_END } else { now.after(seconds) };
        let bans = entries.iter().map(|entry| (entry.network, end(entry.lasting.unwrap_or(lasting))));
        if args.load.is_some() {
            ledger.replace(set, bans, now);
        } else {
            ledger.add(set, bans, now);
        }
        Ok(ledger.sets.get(set).map_or(0, Set::len))
    })?;
    let text = match args.load {
        Some(_) => report::loaded(set, count),
        None => report::banned(set, &entries, args.lasting),
    };
    print(&(text + &report::left_out(&left_out) + report::force(force)))
        .map_err(|error| error.after("changed the bans"))
}

pub(crate) fn unban(pins: &Pins, args: &UnbanArgs) -> Result<()> {
    privilege::check()?;
    let set = args.set.as_deref();
    let (text, force) = store::change(pins, |ledger, now| {
        if let Some(set) = set {
            check_set(ledger, set)?;
        }
        if args.networks.is_empty() {
            let count = set.and_then(|set| ledger.sets.remove(set)).map_or(0, |set| Set::len(&set));
            return Ok(report::lifted(set.unwrap_or_default(), count));
        }
        let mut text = String::new();
        for &network in &args.networks {
            let sets = ledger.remove(network, set);
            let around = ledger.covering(network, now);
            if sets.is_empty() {
                let (network, set) = (words(network), set.map(str::to_owned));
                return Err(Error::Usage(match around {
                    Some((around, its_set)) => {
                        let around = format!("{} (set {its_set})", words(around));
                        UsageError::OnlyCovered { network, set, around }
                    }
                    None => UsageError::NotBanned { network, set },
                }));
            }
            text += &report::unbanned(network, &sets, around);
        }
        Ok(text)
    })?;
    print(&(text + report::force(force))).map_err(|error| error.after("changed the bans"))
}

pub(crate) fn bans(pins: &Pins, args: &BansArgs) -> Result<()> {
    privilege::check()?;
    if let Err(error) = store::finish(pins) {
        complain(&format!("note: not all bans are in force: {error}"));
    }
    let (mut ledger, now) = store::read(pins)?;
    ledger.sweep(&now);
    if let Some(set) = &args.set {
        check_set(&ledger, set)?;
        ledger.sets.retain(|name, _| name == set);
    }
    let dropped = if store::is_attached(pins) { Some(Dropped::read(pins)?) } else { None };
    if args.json {
        return print(&json(&report::BansJson::new(&ledger, &now, dropped.as_ref()))?);
    }
    print(&report::table(&ledger, &now, dropped.as_ref()))
}

fn check_set(ledger: &Ledger, set: &str) -> Result<()> {
    if ledger.sets.contains_key(set) {
        return Ok(());
    }
    let there = ledger.sets.keys().cloned().collect();
    Err(Error::Usage(UsageError::NoSuchSet { set: set.to_owned(), there }))
}

/// The most bytes of a list. The longest one that fits into the kernel has less.
const MOST_BYTES: u64 = 64 << 20;

/// Read a list for a set from a file, or from standard input.
fn load(path: &Path, set: &str) -> Result<Vec<Entry>> {
    let (name, read) = if path == Path::new("-") {
        (Path::new("standard input"), bytes(io::stdin().lock()))
    } else {
        (path, File::open(path).and_then(bytes))
    };
    let bytes =
        read.map_err(|source| Error::Host(HostError::File { what: "reading", path: name.to_owned(), source }))?;
    // A byte that is not UTF-8 is in a comment, or a mistake of its line.
    let text = String::from_utf8_lossy(&bytes);
    let entries = if text.trim().is_empty() {
        let what = format!("the list is empty; did a download fail? To empty the set, run: fw-user unban --set {set}");
        Err(Mistakes(vec![Mistake::new(name, &text, 0, what)]))
    } else {
        list::read(name, &text)
    };
    entries.map_err(|mistakes| Error::Config(ConfigError::Mistakes(mistakes)))
}

fn bytes(from: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(io::Error::new(ErrorKind::FileTooLarge, format!("more than {} MiB", MOST_BYTES >> 20)));
    }
    Ok(bytes)
}

/// Refuse what covers something that this machine needs, or leave it out. Returns what was left out.
fn look(entries: &mut Vec<Entry>, args: &BanArgs) -> Result<Vec<Covers>> {
    if args.force {
        return Ok(Vec::new());
    }
    let networks: Vec<IpNet> = entries.iter().map(|entry| entry.network).collect();
    let own = Own::find(&networks)?;
    let covering: Vec<Covers> = entries.iter().filter_map(|entry| own.covered_by(entry.network)).collect();
    if !covering.is_empty() && !args.skip_own {
        return Err(own::refusal(&covering));
    }
    let covers = |network: IpNet| covering.iter().any(|covers| covers.network == network);
    entries.retain(|entry| !covers(entry.network));
    Ok(covering)
}
