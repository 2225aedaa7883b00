//! Converts the words of a file to settings, and checks whether files agree with each other.

use std::{collections::BTreeSet, path::Path};

use clap::ValueEnum;
use fw_common::{
    actions::Action,
    entry::Entry,
    flow::Timeouts,
    forward::{self, Forward, Networks},
    grammar::{Fault, Rule, SpecError},
    limit::Limit,
    policy::Policy,
    refuse::{Refuse, RefuseError},
};
use toml::Spanned;

use crate::{
    config::{
        File, Settings,
        parse::{self, ForwardWords, Notes, RuleWords, Words},
        pattern,
    },
    error::{ConfigError, Error, Mistake, Result, UsageError, place},
    kernel::{attach::ingress::ModeChoice, maps::flows},
    policy_text,
};

/// Read a file's text: its settings, or all its mistakes. A file that names no interface is for the interface of its name.
#[must_use]
pub fn file(path: &Path, text: String) -> File {
    let mut notes = Notes::new(path, &text);
    let words = parse::parse(&text, &mut notes);
    let (interfaces, patterns) = interfaces(path, &words, &mut notes);
    let except = exceptions(&words, &interfaces, &patterns, &mut notes);
    let flows = flow_capacity(&words, &mut notes);
    let settings = settings(&words, flows.as_ref().map(|flows| *flows.get_ref()), &mut notes);
    let mistakes = notes.into_mistakes();
    let settings = mistakes.is_empty().then_some(settings);
    File { path: path.to_owned(), text, interfaces, patterns, except, flows, settings, mistakes }
}

/// Names, each with its place.
type Names = Vec<Spanned<String>>;

/// The names and the patterns.
fn interfaces(path: &Path, words: &Words, notes: &mut Notes<'_>) -> (Names, Names) {
    let Some(named) = &words.interfaces else {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if !is_interface_name(&name) {
            notes.add(
                0..0,
                format!("`{name}` cannot be an interface's name; say what the file is for: interfaces = [\"eth0\"]"),
            );
        }
        return (vec![Spanned::new(0..0, name)], Vec::new());
    };
    check_names(named.get_ref(), notes);
    named.get_ref().iter().cloned().partition(|word| !pattern::is_pattern(word.get_ref()))
}

/// The exceptions of patterns: names and patterns.
fn exceptions(words: &Words, interfaces: &Names, patterns: &Names, notes: &mut Notes<'_>) -> Names {
    let Some(except) = &words.except else { return Vec::new() };
    check_names(except.get_ref(), notes);
    if patterns.is_empty() && !except.get_ref().is_empty() {
        notes.add(
            except.span(),
            "`except` leaves interfaces out of a pattern, and `interfaces` has none: interfaces = [\"*\"]",
        );
    }
    for name in except.get_ref().iter().filter(|name| interfaces.iter().any(|one| one.get_ref() == name.get_ref())) {
        let what = format!("`{}` is in `interfaces` as well; delete one of the two", name.get_ref());
        notes.add(name.span(), what);
    }
    except.get_ref().clone()
}

fn check_names(names: &Names, notes: &mut Notes<'_>) {
    let mut seen = BTreeSet::new();
    for name in names {
        let word = name.get_ref();
        if pattern::is_pattern(word)
            && let Err(what) = pattern::check(word)
        {
            notes.add(name.span(), what);
        } else if !pattern::is_pattern(word) && !is_interface_name(word) {
            notes.add(name.span(), format!("`{word}` cannot be an interface's name; `ip link` lists those there are"));
        } else if !seen.insert(word) {
            notes.add(name.span(), format!("`{word}` is named twice; delete one of the two"));
        }
    }
}

/// Whether the kernel could have an interface of this name (`dev_valid_name`, net/core/dev.c).
fn is_interface_name(name: &str) -> bool {
    (1..libc::IFNAMSIZ).contains(&name.len())
        && !matches!(name, "." | "..")
        && !name.contains(|c: char| matches!(c, '/' | ':') || c.is_whitespace())
}

fn flow_capacity(words: &Words, notes: &mut Notes<'_>) -> Option<Spanned<u32>> {
    let given = words.flows.as_ref()?;
    let number = *given.get_ref();
    match u32::try_from(number) {
        Ok(capacity) if flows::CAPACITY.contains(&number) => Some(Spanned::new(given.span(), capacity)),
        _ => {
            let (least, most) = (flows::CAPACITY.start(), flows::CAPACITY.end());
            notes.add(given.span(), format!("`flows` cannot be {number}; write a number from {least} to {most}"));
            None
        }
    }
}

fn settings(words: &Words, flows: Option<u32>, notes: &mut Notes<'_>) -> Settings {
    let mut policy = Policy::of(
        rules(words.allow.as_ref(), entry_rules, notes)
            .into_iter()
            .flat_map(|(rules, comment)| Entry::of(&rules).into_iter().map(move |entry| (entry, comment.clone()))),
    );
    for (limits, comment) in rules(words.limit.as_ref(), entry_limits, notes) {
        for limit in limits {
            match limit {
                Limit::Ping(rate) => policy.ping = Some(rate),
                Limit::Ports(entry, rate) => drop(policy.act(entry, Action::Limit(rate), comment.clone())),
            }
        }
    }
    for (refused, comment) in rules(words.deny.as_ref(), entry_rules, notes) {
        for entry in Entry::of(&refused) {
            policy.act(entry, Action::Deny, comment.clone());
        }
    }
    policy.protocols = protocols(&words.allow_proto, notes);
    policy.forward = forward(words, notes);
    policy.refuse = refuse(words, notes);
    policy.timeouts = timeouts(words, notes);
    let mut mode = ModeChoice::default();
    if let Some(given) = &words.mode {
        match ModeChoice::from_str(given.get_ref(), false) {
            Ok(known) => mode = known,
            Err(_) => {
                notes.add(
                    given.span(),
                    format!("`{}` is not a mode; write auto, native, tc or generic", given.get_ref()),
                );
            }
        }
    }
    if let (Some(allow), Err(error)) = (&words.allow, policy.compile()) {
        notes.add(allow.span(), Error::from(error).to_string());
    }
    let (replies, monitor) = (words.replies.unwrap_or(true), words.monitor.unwrap_or(false));
    Settings { policy, mode, flows, replies, monitor }
}

fn refuse(words: &Words, notes: &mut Notes<'_>) -> Refuse {
    let Some(given) = &words.refuse else { return Refuse::default() };
    given.get_ref().parse().unwrap_or_else(|error: RefuseError| {
        notes.add(given.span(), error.to_string());
        Refuse::default()
    })
}

fn forward(words: &Words, notes: &mut Notes<'_>) -> Forward {
    let networks = match &words.forward {
        None => return Forward::default(),
        Some(ForwardWords::Verdict(word)) => {
            let verdict = word.get_ref().parse();
            return verdict.unwrap_or_else(|error: forward::ForwardError| {
                notes.add(word.span(), error.to_string());
                Forward::default()
            });
        }
        Some(ForwardWords::Networks(networks)) => networks,
    };
    let mut known = BTreeSet::new();
    for entry in networks {
        match forward::network(entry.get_ref()) {
            Ok(network) if known.insert(network) => {}
            Ok(_) => notes.add(entry.span(), already(entry.get_ref())),
            Err(error) => notes.add(entry.span(), error.to_string()),
        }
    }
    Networks::new(known).map_or(Forward::Drop, Forward::To)
}

/// The mistake for an entry that occurs twice.
fn already(entry: &str) -> String {
    format!("`{entry}` is in the list already; delete one of the two")
}

fn timeouts(words: &Words, notes: &mut Notes<'_>) -> Timeouts {
    let [udp, udp_stream, tcp] = &words.timeouts;
    let mut read = |given: &Option<Spanned<String>>, bounds| {
        let given = given.as_ref()?;
        let read = policy_text::timeouts::parse(given.get_ref(), bounds);
        read.map_err(|error| notes.add(given.span(), error)).ok()
    };
    let (bounds, tcp_bounds) = (policy_text::timeouts::UDP, policy_text::timeouts::TCP);
    let timeouts = policy_text::timeouts::with(read(udp, &bounds), read(udp_stream, &bounds), read(tcp, &tcp_bounds));
    if let Some(stream) = udp_stream.as_ref().filter(|_| timeouts.udp_stream < timeouts.udp) {
        let udp = policy_text::timeouts::words(timeouts.udp);
        notes.add(stream.span(), format!("flows with replies would expire before flows without; write at least {udp}"));
    }
    timeouts
}

/// The rules of a list, each with its comment.
fn rules<T: Clone + Ord>(
    list: Option<&Spanned<Vec<RuleWords>>>,
    read: impl Fn(&str) -> Result<Vec<T>>,
    notes: &mut Notes<'_>,
) -> Vec<(Vec<T>, Option<String>)> {
    let mut known: BTreeSet<Vec<T>> = BTreeSet::new();
    let mut found = Vec::new();
    for RuleWords { rule, comment } in list.into_iter().flat_map(Spanned::get_ref) {
        let comment = comment.as_ref().and_then(|comment| {
            let read = policy_text::comment(comment.get_ref());
            read.map_err(|error| notes.add(comment.span(), error)).ok()
        });
        match read(rule.get_ref()) {
            Ok(rules) if known.insert(rules.clone()) => found.push((rules, comment)),
            Ok(_) => notes.add(rule.span(), already(rule.get_ref())),
            Err(error) => notes.add(rule.span(), error.to_string()),
        }
    }
    found
}

/// The rules of one entry of an allow list: the grammar of `--allow`, but each entry is a string of its own.
pub fn entry_rules(entry: &str) -> Result<Vec<Rule>> {
    of_one(entry, policy_text::rules)
}

/// The limits of one entry of a list of limits.
pub fn entry_limits(entry: &str) -> Result<Vec<Limit>> {
    of_one(entry, policy_text::limits)
}

fn of_one<T>(entry: &str, read: impl Fn(&[String]) -> Result<Vec<T>>) -> Result<Vec<T>> {
    if entry.contains(',') {
        return Err(Error::Config(ConfigError::SeveralEntries(entry.to_owned())));
    }
    match read(&[entry.to_owned()]) {
        Err(Error::Usage(UsageError::NothingAllowed)) => {
            Err(SpecError { spec: entry.to_owned(), fault: Fault::Empty }.into())
        }
        read => read,
    }
}

/// The number of one entry of a list of protocols.
pub fn entry_protocol(entry: &str) -> Result<u8> {
    if entry.contains(',') {
        return Err(Error::Config(ConfigError::SeveralEntries(entry.to_owned())));
    }
    let numbers = policy_text::protocols(&[entry.to_owned()])?;
    numbers.first().copied().ok_or_else(|| Error::Usage(UsageError::UnknownProtocol(entry.to_owned())))
}

fn protocols(entries: &[Spanned<String>], notes: &mut Notes<'_>) -> BTreeSet<u8> {
    let mut protocols = BTreeSet::new();
    for entry in entries {
        match entry_protocol(entry.get_ref()) {
            Ok(number) if protocols.insert(number) => {}
            Ok(_) => notes.add(entry.span(), already(entry.get_ref())),
            Err(error) => notes.add(entry.span(), error.to_string()),
        }
    }
    protocols
}

/// Add to each file the contradictions to earlier files.
pub fn between(files: &mut [File]) {
    for index in 1..files.len() {
        let (before, rest) = files.split_at_mut(index);
        let Some(file) = rest.first_mut() else { continue };
        for interface in &file.interfaces {
            let name = interface.get_ref();
            if let Some(other) = before.iter().find(|other| other.is_for(name)) {
                let what = format!(
                    "{name} already has a file, {}; keep everything about an interface in one file",
                    other.path.display()
                );
                file.mistakes.push(Mistake::new(&file.path, &file.text, interface.span().start, what));
            }
        }
        for pattern in &file.patterns {
            let in_common = before.iter().find_map(|other| Some((other, in_common(other, file, pattern)?)));
            if let Some((other, theirs)) = in_common {
                let (line, column) = place(&other.text, theirs.span().start);
                let (ours, theirs) = (pattern.get_ref(), theirs.get_ref());
                let fix = if ours == theirs {
                    "keep one of the two files".to_owned()
                } else if pattern::matches(theirs, ours) {
                    format!("add except = [\"{ours}\"] there")
                } else {
                    format!("add except = [\"{theirs}\"] here")
                };
                let what = format!(
                    "`{ours}` and `{theirs}` in {}:{line}:{column} match the same interfaces; {fix}",
                    other.path.display()
                );
                file.mistakes.push(Mistake::new(&file.path, &file.text, pattern.span().start, what));
            }
        }
        let other = before.iter().find_map(|other| Some((other, *other.flows.as_ref()?.get_ref())));
        if let (Some(flows), Some((other, theirs))) = (&file.flows, other)
            && *flows.get_ref() != theirs
        {
            let what = format!(
                "all interfaces share the flow tables, and {} says flows = {theirs}; write the same here, or leave it out",
                other.path.display()
            );
            file.mistakes.push(Mistake::new(&file.path, &file.text, flows.span().start, what));
        }
        if !file.mistakes.is_empty() {
            file.mistakes.sort_unstable();
            file.settings = None;
        }
    }
}

/// A pattern of the other file that may match an interface which this pattern matches, and which neither file leaves out.
fn in_common<'a>(theirs: &'a File, ours: &File, pattern: &Spanned<String>) -> Option<&'a Spanned<String>> {
    let leaves_out =
        |file: &File, narrow: &str| file.except.iter().any(|except| pattern::matches(except.get_ref(), narrow));
    theirs.patterns.iter().find(|one| {
        pattern::overlap(one.get_ref(), pattern.get_ref())
            && !leaves_out(theirs, pattern.get_ref())
            && !leaves_out(ours, one.get_ref())
    })
}
