//! Lists of networks in a file: one a line with `#` and `;` before comments, as Spamhaus DROP; what `ipset save` and `nft list set` print.

use std::path::Path;

use ipnet::IpNet;

use crate::{
    bans::moment::NO_END,
    cmd::ban::{args::LASTING, network::networks},
    error::{Mistake, Mistakes},
    policy_text::timeouts,
};

/// Mistakes that a person reads. After them the file is taken for something else.
const MOST_MISTAKES: usize = 10;
/// The longest word, in bytes: a range between two IPv6 addresses has less.
const LONGEST_WORD: usize = 100;

/// A network of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) network: IpNet,
    /// How many seconds its ban lasts, or [`NO_END`], where the list says so.
    pub(crate) lasting: Option<u64>,
}

/// A word, and at which byte it begins.
type Word<'a> = (usize, &'a str);
/// What is wrong, and at which byte.
type Wrong = (usize, String);

/// Read a list. Fails with the first mistakes.
pub(crate) fn read(file: &Path, text: &str) -> Result<Vec<Entry>, Mistakes> {
    let mut read: Vec<Result<Vec<Entry>, Wrong>> = Vec::new();
    if is_nft(text) {
        nft(text, |entry| read.push(entry));
    } else {
        let mut at = 0;
        for line in text.split_inclusive('\n') {
            let words: Vec<Word<'_>> = words(line).map(|(from, word)| (at + from, word)).collect();
            at += line.len();
            read.push(match words.as_slice() {
                [(_, "create"), _, ..] => Ok(Vec::new()),
                [(_, "add"), _, network, options @ ..] => ipset(*network, options),
                words => plain(words),
            });
        }
    }
    let mut entries = Vec::new();
    let mut mistakes = Vec::new();
    for result in read {
        match result {
            Ok(found) => entries.extend(found),
            Err((at, what)) if mistakes.len() < MOST_MISTAKES => mistakes.push(Mistake::new(file, text, at, what)),
            Err(_) => break,
        }
    }
    if mistakes.is_empty() { Ok(entries) } else { Err(Mistakes(mistakes)) }
}

fn words(line: &str) -> impl Iterator<Item = Word<'_>> {
    line.split_ascii_whitespace().map(|word| (word.as_ptr().addr() - line.as_ptr().addr(), word))
}

fn entries((at, word): Word<'_>, lasting: Option<u64>) -> Result<Vec<Entry>, Wrong> {
    if word.len() > LONGEST_WORD {
        return Err((at, format!("a word of {} bytes is not an address or a network", word.len())));
    }
    let found = networks(word).map_err(|what| (at, what))?;
    Ok(found.into_iter().map(|network| Entry { network, lasting }).collect())
}

/// One network, and a comment behind it.
fn plain(words: &[Word<'_>]) -> Result<Vec<Entry>, Wrong> {
    const COMMENTS: [char; 2] = ['#', ';'];
    let is_comment = |(_, word): &&Word<'_>| word.starts_with(COMMENTS);
    let Some((at, first)) = words.first().filter(|first| !is_comment(first)) else { return Ok(Vec::new()) };
    let network = first.split(COMMENTS).next().unwrap_or_default();
    let found = entries((*at, network), None)?;
    match words.get(1).filter(|second| network == *first && !is_comment(second)) {
        Some((at, second)) => {
            let second: String = second.chars().take(LONGEST_WORD).collect();
            Err((*at, format!("unexpected `{second}` after the network; comments start with # or ;")))
        }
        None => Ok(found),
    }
}

/// What follows `add SETNAME` (ipset(8)).
fn ipset(network: Word<'_>, options: &[Word<'_>]) -> Result<Vec<Entry>, Wrong> {
    let mut lasting = None;
    let mut options = options.iter();
    while let Some(&(at, option)) = options.next() {
        match option {
            "timeout" => {
                let seconds = options.next().and_then(|(_, word)| word.parse().ok());
                // 0 is for ever where the set has a default.
                lasting = match seconds.ok_or_else(|| (at, "`timeout` needs a number of seconds".to_owned()))? {
                    0 => Some(NO_END),
                    seconds => Some(bounded(at, seconds)?),
                };
            }
            "packets" | "bytes" | "skbmark" | "skbprio" | "skbqueue" => drop(options.next()),
            // The last one, in quotes.
            "comment" => break,
            "nomatch" => {
                return Err((at, "`nomatch` (an exception from a wider network) is not supported".to_owned()));
            }
            _ => return Err((at, format!("unknown ipset option `{option}`"))),
        }
    }
    entries(network, lasting)
}

/// A time in seconds, as long as a ban may last.
fn bounded(at: usize, seconds: u64) -> Result<u64, Wrong> {
    let most = *LASTING.end();
    if seconds > u64::from(most) {
        return Err((at, format!("a ban lasts at most {}; without a time it has no end", timeouts::words(most))));
    }
    Ok(seconds)
}

fn is_nft(text: &str) -> bool {
    let first = tokens(text).next().map(|(_, word)| word);
    first.is_some_and(|word| ["table", "set", "elements"].contains(&word))
}

/// The elements of the sets (nft(8), SETS), each told of as it is read.
fn nft(text: &str, mut tell: impl FnMut(Result<Vec<Entry>, Wrong>)) {
    let mut tokens = tokens(text);
    while let Some((_, word)) = tokens.next() {
        if word != "elements" || tokens.next().is_none_or(|(_, word)| word != "=") {
            continue;
        }
        // The brace.
        tokens.next();
        let mut one: Vec<Word<'_>> = Vec::new();
        loop {
            let Some(token) = tokens.next() else {
                return tell(Err((text.len(), "the file is truncated inside `elements`".to_owned())));
            };
            if !matches!(token.1, "," | "}") {
                one.push(token);
                continue;
            }
            if let Some((network, options)) = one.split_first() {
                tell(element(*network, options));
            }
            one.clear();
            if token.1 == "}" {
                break;
            }
        }
    }
}

fn element(network: Word<'_>, options: &[Word<'_>]) -> Result<Vec<Entry>, Wrong> {
    let (mut lasting, mut left) = (None, None);
    let mut options = options.iter();
    while let Some(&(at, option)) = options.next() {
        match option {
            "timeout" | "expires" => {
                let time = options.next().and_then(|(_, word)| humantime::parse_duration(word).ok());
                let time = time.ok_or_else(|| (at, format!("`{option}` needs a time, such as 1h30m")))?;
                let seconds = Some(bounded(at, time.as_secs() + u64::from(time.subsec_nanos() > 0))?);
                if option == "timeout" { lasting = seconds } else { left = seconds }
            }
            "counter" => {}
            "packets" | "bytes" | "comment" => drop(options.next()),
            _ => {
                return Err((
                    at,
                    format!("unexpected `{option}`; an element must be an address, a network or a range"),
                ));
            }
        }
    }
    entries(network, left.or(lasting))
}

/// Words, marks and quoted text, without comments.
fn tokens(text: &str) -> impl Iterator<Item = Word<'_>> {
    const MARKS: [char; 5] = ['{', '}', ',', '=', ';'];
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let rest = &text[at..];
            let begin = at + (rest.len() - rest.trim_start().len());
            let rest = &text[begin..];
            let first = rest.chars().next()?;
            let length = match first {
                '#' => {
                    at = begin + rest.find('\n').unwrap_or(rest.len());
                    continue;
                }
                '"' => rest[1..].find('"').map_or(rest.len(), |end| end + 2),
                mark if MARKS.contains(&mark) => 1,
                _ => rest.find(|c: char| c.is_whitespace() || MARKS.contains(&c)).unwrap_or(rest.len()),
            };
            at = begin + length;
            return Some((begin, &rest[..length]));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(network: &str, lasting: Option<u64>) -> Entry {
        Entry { network: network.parse().expect("a network"), lasting }
    }

    fn mistakes(text: &str) -> Vec<String> {
        let Mistakes(mistakes) = read(Path::new("list"), text).expect_err(text);
        mistakes.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn plain_lines_and_spamhaus_drop() {
        let text = "; Spamhaus DROP List\n; Expires: Tue\n\n192.0.2.0/24 ; SBL1\n198.51.100.7#a comment\r\n  2001:db8::/32\n\
                    # none\n203.0.113.1-203.0.113.2\n203.0.113.9";
        let expected =
            ["192.0.2.0/24", "198.51.100.7/32", "2001:db8::/32", "203.0.113.1/32", "203.0.113.2/32", "203.0.113.9/32"];
        assert_eq!(read(Path::new("list"), text), Ok(expected.map(|network| entry(network, None)).to_vec()));
        assert_eq!(read(Path::new("list"), ""), Ok(Vec::new()));
    }

    #[test]
    fn ipset_save() {
        let text = "create bad hash:net family inet hashsize 1024 maxelem 65536 timeout 600 counters comment\n\
                    add bad 192.0.2.0/24 timeout 55 packets 1 bytes 60 comment \"no; this # is one\"\n\
                    add bad 198.51.100.7 timeout 0\nadd bad 203.0.113.9\n";
        let expected = vec![
            entry("192.0.2.0/24", Some(55)),
            entry("198.51.100.7/32", Some(NO_END)),
            entry("203.0.113.9/32", None),
        ];
        assert_eq!(read(Path::new("list"), text), Ok(expected));
    }

    #[test]
    fn nft_list_set() {
        let text = "table inet filter {\n\tset bad {\n\t\ttype ipv4_addr\n\t\tflags interval,timeout\n\t\tcounter\n\
                    \t\telements = { 192.0.2.0/24 counter packets 0 bytes 0, 198.51.100.7 timeout 1h expires 59m58s12ms,\n\
                    \t\t\t     203.0.113.1-203.0.113.2 comment \"a, b }\", 203.0.113.9 timeout 1d }\n\t}\n}\n";
        let expected = vec![
            entry("192.0.2.0/24", None),
            entry("198.51.100.7/32", Some(59 * 60 + 59)),
            entry("203.0.113.1/32", None),
            entry("203.0.113.2/32", None),
            entry("203.0.113.9/32", Some(86_400)),
        ];
        assert_eq!(read(Path::new("list"), text), Ok(expected));
        assert_eq!(
            read(Path::new("list"), "table inet filter {\n\tset bad {\n\t\ttype ipv4_addr\n\t}\n}\n"),
            Ok(vec![])
        );
    }

    #[test]
    fn every_mistake_has_its_line_and_column() {
        assert_eq!(
            mistakes("192.0.2.1\n  192.0.2.300 ; what\n198.51.100.1 198.51.100.2\n::/0\n"),
            [
                "list:2:3: `192.0.2.300` is not an address or a network; write for example 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32",
                "list:3:14: unexpected `198.51.100.2` after the network; comments start with # or ;",
                "list:4:1: `::/0` covers every address and cannot be banned",
            ]
        );
        for (text, place, words) in [
            ("add bad 192.0.2.1,tcp:80\n", "list:1:9:", "192.0.2.1,tcp:80"),
            ("add bad 192.0.2.0/24 nomatch\n", "list:1:22:", "`nomatch`"),
            ("add bad 192.0.2.1 timeout soon\n", "list:1:19:", "seconds"),
            ("add bad 192.0.2.1 until 5\n", "list:1:19:", "`until`"),
            ("add bad\n", "list:1:1:", "`add`"),
            ("elements = { 192.0.2.1,\n  192.0.2.2", "list:2:12:", "truncated"),
            ("elements = { 192.0.2.1 . 80 }", "list:1:24:", "`.`"),
            ("elements = { 192.0.2.1 timeout soon }", "list:1:24:", "needs a time"),
            ("<html>\n", "list:1:1:", "<html>"),
            ("add bad 192.0.2.1 timeout 999999999999\n", "list:1:19:", "3653d"),
            ("elements = { 192.0.2.1 timeout 213503982334601d }", "list:1:24:", "3653d"),
        ] {
            let found = mistakes(text);
            assert!(found[0].starts_with(place) && found[0].contains(words), "{text}: {found:?}");
        }
        assert_eq!(mistakes(&"no list\n".repeat(1000)).len(), MOST_MISTAKES);
        for line in ["x".repeat(1 << 20), format!("192.0.2.1 {}", "x".repeat(1 << 20))] {
            assert!(mistakes(&line)[0].len() < 300, "a long line makes a long message");
        }
    }
}
