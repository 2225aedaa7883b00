//! What became of bans, and who is banned.

use std::time::{Duration, UNIX_EPOCH};

use ipnet::IpNet;
use serde::Serialize;

use crate::{
    bans::{
        ledger::{Ban, Ledger},
        moment::Moment,
        store::Force,
    },
    cmd::ban::{
        dropped::Dropped,
        list::Entry,
        network::words,
        own::{self, Covers},
    },
    policy_text::timeouts,
};

/// How many networks are told of one by one.
const LINES: usize = 10;

/// `bans --json`.
#[derive(Serialize)]
pub(crate) struct BansJson<'a> {
    bans: Vec<BanJson<'a>>,
}

#[derive(Serialize)]
struct BanJson<'a> {
    network: String,
    set: &'a str,
    since: String,
    until: Option<String>,
    dropped: Option<u64>,
}

impl<'a> BansJson<'a> {
    pub(crate) fn new(ledger: &'a Ledger, now: &Moment, dropped: Option<&Dropped>) -> Self {
        let ban = |(network, set, ban): (IpNet, &'a str, Ban)| BanJson {
            network: network.to_string(),
            set,
            since: time(ban.since),
            until: now.on_the_wall(ban.end).map(time),
            dropped: dropped.map(|dropped| dropped.of(network)),
        };
        Self { bans: bans(ledger).map(ban).collect() }
    }
}

/// Each ban with its network and its set.
fn bans(ledger: &Ledger) -> impl Iterator<Item = (IpNet, &str, Ban)> {
    ledger.sets.iter().flat_map(|(name, set)| set.iter().map(move |(network, ban)| (*network, name.as_str(), *ban)))
}

/// A time by the wall clock, in seconds since 1970.
fn time(seconds: u64) -> String {
    // The last second of the year 9999: later ones cannot be written, and a damaged ledger may have them.
    const LAST: u64 = 253_402_300_799;
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(seconds.min(LAST))).to_string()
}

/// All bans, one a line; without `dropped` no filter is attached.
#[must_use]
pub(crate) fn table(ledger: &Ledger, now: &Moment, dropped: Option<&Dropped>) -> String {
    if ledger.sets.is_empty() {
        return "no bans\n".to_owned();
    }
    let head = ["network", "set", "since", "until", "dropped"].map(str::to_owned);
    let row = |(network, set, ban): (IpNet, &str, Ban)| {
        let until = now.on_the_wall(ban.end).map_or_else(|| "for ever".to_owned(), time);
        let dropped = dropped.map_or_else(|| "-".to_owned(), |dropped| dropped.of(network).to_string());
        [words(network), set.to_owned(), time(ban.since), until, dropped]
    };
    let rows: Vec<[String; 5]> = [head].into_iter().chain(bans(ledger).map(row)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or_default();
    let (first, second, last) = (width(0), width(1), width(4));
    let line = |[network, set, since, until, dropped]: &[String; 5]| {
        format!("{network:first$}  {set:second$}  {since:20}  {until:20}  {dropped:>last$}\n")
    };
    let force = if dropped.is_some() { Force::Now } else { Force::WithTheNextFilter };
    rows.iter().map(line).collect::<String>() + self::force(force)
}

/// Where no filter heeds the bans.
#[must_use]
pub(crate) const fn force(force: Force) -> &'static str {
    match force {
        Force::Now => "",
        Force::WithTheNextFilter => {
            "  note    no filter is attached; bans take effect with the next `fw-user attach`\n"
        }
    }
}

/// What was typed is banned.
#[must_use]
pub(crate) fn banned(set: &str, entries: &[Entry], lasting: Option<u32>) -> String {
    let lasting = lasting.map_or_else(|| "for ever".to_owned(), |seconds| format!("for {}", timeouts::words(seconds)));
    if entries.len() > LINES {
        return format!("{}  banned {lasting} (set {set})\n", networks(entries.len()));
    }
    let line = |entry: &Entry| format!("{}  banned {lasting} (set {set})\n", words(entry.network));
    entries.iter().map(line).collect()
}

/// A set was replaced.
#[must_use]
pub(crate) fn loaded(set: &str, count: usize) -> String {
    format!("{set}  {} banned\n", networks(count))
}

/// All bans of a set are lifted.
#[must_use]
pub(crate) fn lifted(set: &str, count: usize) -> String {
    format!("{set}  {} unbanned\n", networks(count))
}

/// What covered something of this machine.
#[must_use]
pub(crate) fn left_out(covering: &[Covers]) -> String {
    match covering.len() {
        0 => String::new(),
        count => format!("{} left out:\n{}", networks(count), own::lines(covering)),
    }
}

/// A ban was lifted, and what bans the same senders still.
#[must_use]
pub(crate) fn unbanned(network: IpNet, sets: &[String], around: Option<(IpNet, &str)>) -> String {
    let still = around.map(|(around, set)| {
        format!("  note    {} is still banned by {} (set {set})\n", words(network), words(around))
    });
    format!("{}  unbanned (set {})\n", words(network), sets.join(", ")) + &still.unwrap_or_default()
}

fn networks(count: usize) -> String {
    if count == 1 { "1 network".to_owned() } else { format!("{count} networks") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_of_seconds_is_a_time() {
        assert_eq!(time(0), "1970-01-01T00:00:00Z");
        assert_eq!(time(u64::MAX), "9999-12-31T23:59:59Z");
    }
}
