//! The rules of an interface as they were typed, beside the policy that they compile to: one text per buffer, in chunks.

use aya::maps::{HashMap, Map, MapData, MapError};
use fw_common::{
    abi::{BUFFERS, MAX_RULE_CHUNKS, RULE_CHUNK, RuleChunk, RulesAt, map},
    actions::Action,
    policy::Policy,
};

use crate::{
    error::{Error, KernelError, Result, UsageError},
    kernel::{pins::Pins, plain::Plain, shape},
};

/// The longest text, in bytes, without its length.
const LONGEST: usize = (MAX_RULE_CHUNKS / BUFFERS) as usize * RULE_CHUNK - size_of::<u32>();

/// The map that holds the rules as they were typed.
pub(crate) struct TypedRules(HashMap<MapData, Plain<RulesAt>, Plain<RuleChunk>>);

impl TypedRules {
    /// Open the pinned map of an interface.
    pub(crate) fn open(pins: &Pins, interface: &str) -> Result<Self> {
        let bad = |error: MapError| {
            Error::Kernel(KernelError::BadPin { path: pins.map(interface, map::RULES), source: error.into() })
        };
        let map = Map::HashMap(shape::open(pins, interface, map::RULES)?);
        Ok(Self(map.try_into().map_err(bad)?))
    }

    /// The rules of a buffer; `None` if their text is damaged.
    pub(crate) fn read(&self, buffer: u32) -> Option<Policy> {
        let first = self.chunk(buffer, 0)?;
        let (length, text) = first.split_first_chunk()?;
        let length = usize::try_from(u32::from_ne_bytes(*length)).ok()?;
        let mut bytes = text.to_vec();
        let mut chunk = 1;
        while bytes.len() < length {
            bytes.extend(self.chunk(buffer, chunk)?);
            chunk += 1;
        }
        parse(std::str::from_utf8(bytes.get(..length)?).ok()?)
    }

    fn chunk(&self, buffer: u32, chunk: u32) -> Option<RuleChunk> {
        self.0.get(&Plain(RulesAt { buffer, chunk }), 0).ok().map(|Plain(chunk)| chunk)
    }

    /// Write the text of a policy's entries.
    pub(crate) fn write(&mut self, buffer: u32, text: &str) -> Result<(), MapError> {
        // Every buffer has a chunk from the first policy on, so that a change of few rules takes no more memory.
        let others = (0..BUFFERS).filter(|&other| other != buffer && self.chunk(other, 0).is_none());
        for other in others.collect::<Vec<_>>() {
            self.0.insert(Plain(RulesAt { buffer: other, chunk: 0 }), Plain([0; RULE_CHUNK]), 0)?;
        }
        let mut bytes = (text.len() as u32).to_ne_bytes().to_vec();
        bytes.extend(text.as_bytes());
        let mut next = 0;
        for part in bytes.chunks(RULE_CHUNK) {
            let mut chunk = [0; RULE_CHUNK];
            chunk[..part.len()].copy_from_slice(part);
            self.0.insert(Plain(RulesAt { buffer, chunk: next }), Plain(chunk), 0)?;
            next += 1;
        }
        // A longer text may have been there.
        while self.chunk(buffer, next).is_some() {
            self.0.remove(&Plain(RulesAt { buffer, chunk: next }))?;
            next += 1;
        }
        Ok(())
    }
}

/// The text of a policy's entries.
pub(crate) fn text(policy: &Policy) -> Result<String> {
    let mut text = String::new();
    let for_ever = policy.entries().map(|(entry, comment)| (entry, None, comment));
    for (entry, action, comment) in
        for_ever.chain(policy.actions().map(|(entry, action, comment)| (entry, Some(action), comment)))
    {
        let word = match action {
            None => ALLOW.to_owned(),
            Some(Action::Until(end)) => format!("{UNTIL}{end}"),
            Some(Action::Limit(rate)) => format!("{LIMIT}{rate}"),
            Some(Action::Deny) => DENY.to_owned(),
        };
        let comment = comment.map_or_else(String::new, |comment| format!("\t{comment}"));
        text += &format!("{word}\t{entry}{comment}\n");
    }
    if text.len() > LONGEST {
        return Err(Error::Usage(UsageError::TooLongRules { length: text.len(), longest: LONGEST }));
    }
    Ok(text)
}

/// The first word of a line, by action; behind some of them stands a number.
const ALLOW: &str = "allow";
const UNTIL: &str = "until ";
const LIMIT: &str = "limit ";
const DENY: &str = "deny";

fn parse(text: &str) -> Option<Policy> {
    let (mut entries, mut actions) = (Vec::new(), Vec::new());
    for line in text.lines() {
        let mut words = line.splitn(3, '\t');
        let (word, entry) = (words.next()?, words.next()?.parse().ok()?);
        let comment = words.next().map(ToOwned::to_owned);
        let action = match word {
            ALLOW => None,
            DENY => Some(Action::Deny),
            word => Some(match (word.strip_prefix(UNTIL), word.strip_prefix(LIMIT)) {
                (Some(end), _) => Action::Until(end.parse().ok()?),
                (_, Some(rate)) => Action::Limit(rate.parse().ok()?),
                _ => return None,
            }),
        };
        match action {
            None => entries.push((entry, comment)),
            Some(action) => actions.push((entry, action, comment)),
        }
    }
    let mut policy = Policy::of(entries);
    for (entry, action, comment) in actions {
        policy.act(entry, action, comment);
    }
    Some(policy)
}

#[cfg(test)]
mod tests {
    use fw_common::rate::Rate;

    use super::*;

    #[test]
    fn the_text_of_entries_is_read_as_it_was_written() {
        let typed = [
            ("22", None),
            ("80/tcp@192.0.2.0/24", Some("a\u{e9}")),
            ("81@[2001:db8::]/32", Some("two words, and a )")),
            ("6000-6010/udplite", None),
        ];
        let entries = typed.map(|(entry, comment): (&str, Option<&str>)| {
            (entry.parse().expect("an entry"), comment.map(ToOwned::to_owned))
        });
        let mut policy = Policy::of(entries);
        for (entry, action) in [
            ("22/tcp@192.0.2.7/32", Action::Deny),
            ("8096/tcp", Action::Until(7)),
            ("23/tcp@[2001:db8::]/32", Action::Limit(Rate::DEFAULT)),
        ] {
            policy.act(entry.parse().expect("an entry"), action, Some("why".to_owned()));
        }
        assert_eq!(parse(&text(&policy).expect("a short text")), Some(policy));
        assert_eq!(parse(""), Some(Policy::default()));
        for damaged in
            ["22\n", "drop\t22\n", "until\t22", "limit 0/s\t22/tcp", "allow\tssh\n", "allow", "allow\t22\n\n"]
        {
            assert_eq!(parse(damaged), None, "{damaged:?}");
        }
    }

    #[test]
    fn comments_that_do_not_fit_are_refused() {
        let entry = |port| {
            let ends = ["", "/sctp"].map(|end| format!("{port}{end}").parse().expect("an entry"));
            ends.map(|entry| (entry, Some("x".repeat(100))))
        };
        let entries = (1..=u16::MAX).flat_map(entry);
        let error = text(&Policy::of(entries)).expect_err("too long").to_string();
        assert!(error.contains("shorten or remove comments"), "{error}");
    }
}
