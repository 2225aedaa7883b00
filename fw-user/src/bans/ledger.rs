//! The ledger: who is banned, in which set, since when and until when.
//!
//! A file of text: the version, the boot and its second in which it was written, one ban a line, and how many there are.
//! ```text
//! fw-user bans 1
//! written 3605 5e4a3c5e-8f1f-4d0a-9b62-0f6c2f1d7a11
//! manual 192.0.2.0/24 1764470000 1764473600 3600
//! manual 2001:db8::/32 1764470000 - -
//! end 2
//! ```
//! A ban has its set, its network, since when and until when by the wall clock, and how many seconds were left when it was written. In the same boot
//! what was left counts, so that a clock that is set changes nothing. After a reboot it counts from the boot on, or until the wall clock's end where that
//! comes first.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::IpAddr,
    path::Path,
};

use ipnet::IpNet;

use crate::{
    bans::moment::{Moment, NO_END},
    error::{ConfigError, Error, HostError, Mistake, Result},
    host::{input_file, output_file},
    kernel::maps::bans::Bans,
};

const VERSION: &str = "fw-user bans 1";
/// In the place of an end that never comes.
const NONE: &str = "-";

/// A ban of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ban {
    /// Since when, in seconds of the wall clock.
    pub(crate) since: u64,
    /// The second of `CLOCK_BOOTTIME` in which it ends, or [`NO_END`].
    pub(crate) end: u64,
}

/// The bans of a set, by network without host bits.
pub(crate) type Set = BTreeMap<IpNet, Ban>;

/// All bans, by set. No set is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ledger {
    pub(crate) sets: BTreeMap<String, Set>,
}

impl Ledger {
    /// Read the file; nobody is banned where there is none.
    pub(crate) fn read(path: &Path, now: &Moment) -> Result<Self> {
        let text = match input_file::read(path) {
            // A byte that is not UTF-8 is a mistake of its line.
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(source) => {
                return Err(Error::Host(HostError::File { what: "reading", path: path.to_owned(), source }));
            }
        };
        Self::parse(&text, now).map_err(|(at, what)| {
            let mistake = Mistake::new(path, &text, at, what);
            Error::Config(ConfigError::Ledger { path: path.to_owned(), mistake })
        })
    }

    /// Put it in the place of the file.
    pub(crate) fn write(&self, path: &Path, now: &Moment) -> Result<()> {
        output_file::replace(path, &self.text(now))
    }

    /// Forget the bans that are over.
    pub(crate) fn sweep(&mut self, now: &Moment) {
        for set in self.sets.values_mut() {
            set.retain(|_, ban| !now.is_past(ban.end));
        }
        self.drop_empty_sets();
    }

    /// Ban networks in a set, each until its end. A network that is banned there already gets the new end.
    pub(crate) fn add(&mut self, set: &str, bans: impl IntoIterator<Item = (IpNet, u64)>, now: &Moment) {
        let bans_of_set = self.sets.entry(set.to_owned()).or_default();
        for (network, end) in bans {
            bans_of_set.entry(network).or_insert(Ban { since: now.wall, end }).end = end;
        }
        self.drop_empty_sets();
    }

    /// Replace all bans of a set.
    pub(crate) fn replace(&mut self, set: &str, bans: impl IntoIterator<Item = (IpNet, u64)>, now: &Moment) {
        let before = self.sets.remove(set).unwrap_or_default();
        let since = |network: IpNet| before.get(&network).map_or(now.wall, |ban| ban.since);
        let after = bans.into_iter().map(|(network, end)| (network, Ban { since: since(network), end })).collect();
        self.sets.insert(set.to_owned(), after);
        self.drop_empty_sets();
    }

    fn drop_empty_sets(&mut self) {
        self.sets.retain(|_, set| !set.is_empty());
    }

    /// Lift the ban of a network in one set, or in all. Says in which it was.
    pub(crate) fn remove(&mut self, network: IpNet, set: Option<&str>) -> Vec<String> {
        let mut found = Vec::new();
        for (name, bans) in &mut self.sets {
            if set.is_none_or(|set| set == name) && bans.remove(&network).is_some() {
                found.push(name.clone());
            }
        }
        self.drop_empty_sets();
        found
    }

    /// A ban that covers a network, with its set: the widest one.
    pub(crate) fn covering(&self, network: IpNet, now: &Moment) -> Option<(IpNet, &str)> {
        let of_set = |(name, bans): (_, &Set)| {
            let covers = |(banned, ban): &(&IpNet, &Ban)| banned.contains(&network) && !now.is_past(ban.end);
            bans.iter().find(covers).map(|(&banned, _)| (banned, name))
        };
        self.sets
            .iter()
            .filter_map(|(name, bans)| of_set((name.as_str(), bans)))
            .min_by_key(|(banned, _)| banned.prefix_len())
    }

    /// The networks that an address is banned with, each once.
    pub(crate) fn banning(&self, address: IpAddr, now: &Moment) -> BTreeSet<IpNet> {
        let bans = self.sets.values().flatten();
        let banning = bans.filter(|(network, ban)| network.contains(&address) && !now.is_past(ban.end));
        banning.map(|(&network, _)| network).collect()
    }

    /// The bans of all sets, as the kernel takes them.
    pub(crate) fn bans(&self) -> Bans {
        const NANOSECONDS: u64 = 1_000_000_000;
        self.sets.values().flatten().map(|(&network, ban)| (network, ban.end.saturating_mul(NANOSECONDS))).collect()
    }

    fn text(&self, now: &Moment) -> String {
        // Most lines are shorter.
        const LINE: usize = 50;
        let count = self.sets.values().map(Set::len).sum::<usize>();
        let mut text = String::with_capacity((count + 3) * LINE);
        text += &format!("{VERSION}\nwritten {} {}\n", now.boot, now.boot_id);
        for (set, bans) in &self.sets {
            for (&network, ban) in bans {
                text += set;
                text.push(' ');
                push_network(&mut text, network);
                text.push(' ');
                push_number(&mut text, ban.since);
                for number in [now.on_the_wall(ban.end), now.left(ban.end)] {
                    text.push(' ');
                    match number {
                        Some(number) => push_number(&mut text, number),
                        None => text += NONE,
                    }
                }
                text.push('\n');
            }
        }
        text + &format!("end {count}\n")
    }

    /// Fails with the byte of the mistake, and what is wrong.
    fn parse(text: &str, now: &Moment) -> Result<Self, (usize, String)> {
        let mut lines = Lines { text, at: 0 };
        let head = lines.next_line()?;
        if head.text != VERSION {
            return Err((0, format!("the first line is not `{VERSION}`")));
        }
        let written = lines.next_line()?;
        let [(at, word), second, boot] = written.words()?;
        if word != "written" {
            return Err((at, format!("expected `written`, found `{word}`")));
        }
        let (written_at, is_this_boot) = (number(second)?, boot.1 == now.boot_id);
        let end = |until: (usize, &str), left: (usize, &str)| match (until.1, left.1) {
            (NONE, NONE) => Ok(NO_END),
            _ if is_this_boot => Ok(written_at.saturating_add(number(left)?)),
            _ => Ok(number(left)?.min(now.boot.saturating_add(number(until)?.saturating_sub(now.wall)))),
        };
        let mut rows: Vec<Row<'_>> = Vec::new();
        loop {
            let line = lines.next_line()?;
            if let Some(total) = line.text.strip_prefix("end ") {
                let count = rows.len();
                if total != count.to_string() {
                    return Err((line.at, format!("this line counts {total} bans, the file has {count}")));
                }
                break;
            }
            let [set, network, since, until, left] = line.words()?;
            if rows.last().is_none_or(|row| row.set != set.1)
                && let Err(what) = set_name(set.1)
            {
                return Err((set.0, what));
            }
            let ban = Ban { since: number(since)?, end: end(until, left)? };
            let (at, word) = network;
            let parsed = word.parse::<IpNet>().ok().filter(|net| *net == net.trunc() && net.prefix_len() > 0);
            let network = parsed.ok_or_else(|| {
                (at, format!("`{word}` is not a network to ban; write it like 192.0.2.0/24, without host bits"))
            })?;
            rows.push(Row { set: set.1, network, ban, at });
        }
        if lines.at < text.len() {
            return Err((lines.at, "unexpected text after the last line; delete it".to_owned()));
        }
        Self::collect(rows)
    }

    fn collect(mut rows: Vec<Row<'_>>) -> Result<Self, (usize, String)> {
        // They are in order, unless a person wrote them.
        rows.sort_by_key(Row::key);
        if let Some([_, Row { set, network, at, .. }]) = rows.array_windows().find(|[a, b]| a.key() == b.key()) {
            return Err((*at, format!("{network} is in set {set} twice; delete one of the two")));
        }
        let of_set = |rows: &[Row<'_>]| rows.iter().map(|row| (row.network, row.ban)).collect();
        let sets = rows.chunk_by(|a, b| a.set == b.set);
        Ok(Self { sets: sets.filter_map(|rows| Some((rows.first()?.set.to_owned(), of_set(rows)))).collect() })
    }
}

/// The formatting of the standard library is slow for many bans.
fn push_number(text: &mut String, number: u64) {
    text.push_str(itoa::Buffer::new().format(number));
}

fn push_network(text: &mut String, network: IpNet) {
    match network.addr() {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            for (octet, mark) in [(a, '.'), (b, '.'), (c, '.'), (d, '/')] {
                push_number(text, octet.into());
                text.push(mark);
            }
            push_number(text, network.prefix_len().into());
        }
        IpAddr::V6(_) => text.push_str(&network.to_string()),
    }
}

/// A ban of the file.
struct Row<'a> {
    set: &'a str,
    network: IpNet,
    ban: Ban,
    /// The byte at which the network begins.
    at: usize,
}

impl<'a> Row<'a> {
    const fn key(&self) -> (&'a str, IpNet) {
        (self.set, self.network)
    }
}

/// Read the name of a set.
pub(crate) fn set_name(text: &str) -> Result<String, String> {
    let is_fine = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if (1..=64).contains(&text.len()) && text.chars().all(is_fine) && !text.starts_with('-') {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "`{text}` is not a valid set name; use letters, digits, dots, underscores and dashes, up to 64, and no dash first"
        ))
    }
}

/// The lines of a file, each with where it begins.
struct Lines<'a> {
    text: &'a str,
    at: usize,
}

struct Line<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Lines<'a> {
    /// The next line, which must be whole.
    fn next_line(&mut self) -> Result<Line<'a>, (usize, String)> {
        let rest = &self.text[self.at..];
        let Some(end) = rest.find('\n') else {
            return Err((self.text.len(), "the file is truncated here".to_owned()));
        };
        let line = Line { text: &rest[..end], at: self.at };
        self.at += end + 1;
        Ok(line)
    }
}

impl<'a> Line<'a> {
    /// Its words, as many as there must be.
    fn words<const N: usize>(&self) -> Result<[(usize, &'a str); N], (usize, String)> {
        let (mut words, mut count, mut at) = ([(0, ""); N], 0, self.at);
        for word in self.text.split(' ') {
            if let Some(place) = words.get_mut(count) {
                *place = (at, word);
            }
            (count, at) = (count + 1, at + word.len() + 1);
        }
        if count == N { Ok(words) } else { Err((self.at, format!("expected {N} words, found {count}"))) }
    }
}

fn number((at, word): (usize, &str)) -> Result<u64, (usize, String)> {
    word.parse().map_err(|_| (at, format!("`{word}` is not a number")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(wall: u64, boot: u64, boot_id: &str) -> Moment {
        Moment { wall, boot, boot_id: boot_id.to_owned() }
    }

    fn net(text: &str) -> IpNet {
        text.parse().expect("a network")
    }

    /// Written at second 1000 of boot `a`.
    fn ledger() -> (Ledger, Moment) {
        let now = moment(50_000, 1000, "a");
        let mut ledger = Ledger::default();
        ledger.add("manual", [(net("192.0.2.0/24"), 4600), (net("2001:db8::/32"), NO_END)], &now);
        ledger.add("drop", [(net("198.51.100.7/32"), 1500)], &now);
        (ledger, now)
    }

    fn end_of(text: &str, now: &Moment) -> u64 {
        let read = Ledger::parse(text, now).expect("a ledger");
        read.sets["manual"][&net("192.0.2.0/24")].end
    }

    #[test]
    fn what_is_written_is_read() {
        let (ledger, now) = ledger();
        let text = ledger.text(&now);
        assert_eq!(
            text,
            "fw-user bans 1\nwritten 1000 a\ndrop 198.51.100.7/32 50000 50500 500\nmanual 192.0.2.0/24 50000 53600 3600\n\
             manual 2001:db8::/32 50000 - -\nend 3\n"
        );
        assert_eq!(Ledger::parse(&text, &now), Ok(ledger));
        assert_eq!(Ledger::parse("fw-user bans 1\nwritten 0 a\nend 0\n", &now), Ok(Ledger::default()));
    }

    #[test]
    fn a_clock_that_is_set_changes_no_end_within_a_boot() {
        let (ledger, now) = ledger();
        let text = ledger.text(&now);
        for wall in [0, 50_100, u64::MAX / 2] {
            assert_eq!(end_of(&text, &moment(wall, 1100, "a")), 4600, "{wall}");
        }
    }

    /// The machine was off for an hour or a second, or does not know.
    #[test]
    fn after_a_reboot_the_end_that_comes_first_counts() {
        let (ledger, now) = ledger();
        let text = ledger.text(&now);
        // By the wall clock 3000 of the 3600 seconds are left.
        assert_eq!(end_of(&text, &moment(50_600, 10, "b")), 10 + 3000);
        // It stands where it stood, or in 1970: what was left counts, from the boot on.
        assert_eq!(end_of(&text, &moment(50_000, 10, "b")), 3600);
        assert_eq!(end_of(&text, &moment(7, 10, "b")), 3600);
        // It is over.
        let mut late = Ledger::parse(&text, &moment(60_000, 10, "b")).expect("a ledger");
        late.sweep(&moment(60_000, 10, "b"));
        assert_eq!(late.sets.keys().collect::<Vec<_>>(), ["manual"]);
        assert_eq!(late.sets["manual"].keys().collect::<Vec<_>>(), [&net("2001:db8::/32")]);
    }

    #[test]
    fn a_ledger_that_is_cut_anywhere_is_refused() {
        let (ledger, now) = ledger();
        let text = ledger.text(&now);
        for length in 0..text.len() {
            let (at, what) = Ledger::parse(&text[..length], &now).expect_err("it is cut");
            assert!(at <= length && !what.is_empty(), "{length}: {what}");
        }
    }

    #[test]
    fn a_damaged_line_is_named_with_its_place() {
        let (ledger, now) = ledger();
        let text = ledger.text(&now);
        for (old, new, words) in [
            ("bans 1", "bans 2", "the first line is not `fw-user bans 1`"),
            ("written", "wrote", "expected `written`, found `wrote`"),
            ("drop 198", "d/op 198", "`d/op` is not a valid set name"),
            ("192.0.2.0/24", "192.0.2.0/44", "`192.0.2.0/44` is not a network"),
            ("192.0.2.0/24", "192.0.2.1/24", "`192.0.2.1/24` is not a network"),
            ("192.0.2.0/24", "0.0.0.0/0", "`0.0.0.0/0` is not a network"),
            ("3600\n", "soon\n", "`soon` is not a number"),
            ("3600\n", "3600 1\n", "expected 5 words, found 6"),
            ("2001:db8::/32", "192.0.2.0/24", "192.0.2.0/24 is in set manual twice"),
            ("end 3", "end 4", "this line counts 4 bans, the file has 3"),
            ("end 3\n", "end 3\nend 3\n", "unexpected text"),
        ] {
            let (_, what) = Ledger::parse(&text.replacen(old, new, 1), &now).expect_err(words);
            assert!(what.contains(words), "{what}");
        }
        let damaged = text.replace("192.0.2.0/24", "what");
        let (at, what) = Ledger::parse(&damaged, &now).expect_err("no network");
        assert_eq!(
            Mistake::new(Path::new("bans"), &damaged, at, what).to_string(),
            "bans:4:8: `what` is not a network to ban; write it like 192.0.2.0/24, without host bits"
        );
    }

    #[test]
    fn all_sets_count_with_their_ends_in_nanoseconds() {
        let (mut ledger, now) = ledger();
        ledger.add("drop", [(net("192.0.2.0/24"), 9000)], &now);
        let expected = |of_both| {
            let others = [(net("198.51.100.7/32"), 1_500_000_000_000), (net("2001:db8::/32"), u64::MAX)];
            others.into_iter().chain([(net("192.0.2.0/24"), of_both)]).collect::<Bans>()
        };
        assert_eq!(ledger.bans(), expected(9_000_000_000_000));
        assert_eq!(ledger.remove(net("192.0.2.0/24"), Some("drop")), ["drop"]);
        assert_eq!(ledger.bans(), expected(4_600_000_000_000));
    }

    #[test]
    fn a_set_is_replaced_whole_and_what_stays_keeps_its_beginning() {
        let (mut ledger, _) = ledger();
        let later = moment(50_010, 1010, "a");
        ledger.replace("manual", [(net("192.0.2.0/24"), NO_END), (net("203.0.113.0/24"), NO_END)], &later);
        let since: Vec<u64> = ledger.sets["manual"].values().map(|ban| ban.since).collect();
        assert_eq!(since, [50_000, 50_010]);
        ledger.replace("manual", [], &later);
        assert_eq!(ledger.sets.keys().collect::<Vec<_>>(), ["drop"]);
    }

    #[test]
    fn a_wider_ban_that_stays_is_found() {
        let (mut ledger, now) = ledger();
        ledger.add("manual", [(net("192.0.2.7/32"), NO_END)], &now);
        assert_eq!(ledger.remove(net("192.0.2.7/32"), None), ["manual"]);
        assert_eq!(ledger.covering(net("192.0.2.7/32"), &now), Some((net("192.0.2.0/24"), "manual")));
        assert_eq!(ledger.covering(net("192.0.2.7/32"), &moment(99_999, 5000, "a")), None);
        assert_eq!(ledger.covering(net("203.0.113.7/32"), &now), None);
    }
}
