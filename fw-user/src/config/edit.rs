//! Writes settings to the text of a file. An existing text keeps everything that is still true, with its order and comments.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use clap::ValueEnum;
use fw_common::{
    entry::{Entry, Protocols},
    flow::Timeouts,
    forward::{self, Forward, Networks},
    grammar::{PortRange, Rule},
    policy::Policy,
    source::Source,
};
use toml_edit::{Array, DocumentMut, Item, Table, TableLike, Value};

use crate::{
    config::{
        Settings, check,
        list::{Fate, List},
        parse,
    },
    error::{ConfigError, Result},
    kernel::attach::ingress::ModeChoice,
    policy_text::{
        self,
        words::{limit_rules, refusal_rules},
    },
};

/// The text of a new file for an interface.
pub fn create(interface: &str, wanted: &Settings, typed: &[String]) -> Result<String> {
    create_for(interface, "", wanted, typed)
}

/// The text of a new file for every outside interface except these.
pub(crate) fn create_all(except: &[String], wanted: &Settings, typed: &[String]) -> Result<String> {
    let mut head = "interfaces = [\"*\"]\n".to_owned();
    if !except.is_empty() {
        head += &format!("except = {}\n", Array::from_iter(except));
    }
    create_for("every outside interface, present and to come", &head, wanted, typed)
}

fn create_for(whom: &str, interfaces: &str, wanted: &Settings, typed: &[String]) -> Result<String> {
    let text = format!(
        "# What may come in at {whom}; everything else is closed.\n\
         # After a change: fw-user check, then fw-user apply.\n\n\
         {interfaces}allow = [\n]\n"
    );
    let nothing =
        Settings { policy: Policy::default(), mode: ModeChoice::Auto, flows: None, replies: true, monitor: false };
    update(&text, &nothing, wanted, typed)
}

/// Set the exceptions of the patterns in a text to exactly these interfaces.
pub(crate) fn set_exceptions(text: &str, except: &[String]) -> Result<String> {
    let mut document: DocumentMut = text.parse().map_err(ConfigError::InvalidToml)?;
    set(document.as_table_mut(), "except", Array::from_iter(except).into());
    Ok(as_before(text, document.to_string()))
}

/// Change a text from one set of settings to another. New entries of the allow list are written as typed, if they were typed.
pub fn update(text: &str, says: &Settings, wanted: &Settings, typed: &[String]) -> Result<String> {
    let mut document: DocumentMut = text.parse().map_err(ConfigError::InvalidToml)?;
    let (policy, before) = (&wanted.policy, &says.policy);
    if !policy.entries().eq(before.entries()) {
        change_list(&mut document, "allow", |list| follow_rules(list, policy, typed))?;
    }
    if limit_rules(policy) != limit_rules(before) {
        change_list(&mut document, "limit", |list| follow(list, &limit_rules(policy), entry_limits))?;
    }
    if refusal_rules(policy) != refusal_rules(before) {
        change_list(&mut document, "deny", |list| follow(list, &refusal_rules(policy), entry_refusals))?;
    }
    if policy.protocols != before.protocols {
        change_list(&mut document, "allow-proto", |list| follow_protocols(list, policy))?;
    }
    if policy.forward != before.forward {
        match &policy.forward {
            Forward::Drop | Forward::Pass => {
                set(document.as_table_mut(), "forward", policy.forward.to_string().into());
            }
            Forward::To(networks) => change_list(&mut document, "forward", |list| {
                follow_networks(list, networks);
                Ok(())
            })?,
        }
    }
    if policy.refuse != before.refuse {
        set(document.as_table_mut(), "refuse", policy.refuse.to_string().into());
    }
    set_timeouts(&mut document, before.timeouts, policy.timeouts);
    let mode = wanted.mode.to_possible_value();
    let values: [(&str, bool, Option<Value>); 4] = [
        ("mode", wanted.mode != says.mode, mode.map(|mode| mode.get_name().into())),
        ("flows", wanted.flows != says.flows, wanted.flows.map(|flows| i64::from(flows).into())),
        ("replies", wanted.replies != says.replies, Some(wanted.replies.into())),
        ("monitor", wanted.monitor != says.monitor, Some(wanted.monitor.into())),
    ];
    for (key, _, value) in values.into_iter().filter(|(_, is_other, _)| *is_other) {
        if let Some(value) = value {
            set(document.as_table_mut(), key, value);
        }
    }
    Ok(as_before(text, document.to_string()))
}

/// The parser drops the byte order mark and carriage returns, which editors on other systems write. A file that has them keeps them.
fn as_before(old: &str, new: String) -> String {
    const MARK: char = '\u{feff}';
    let new = if old.contains("\r\n") { new.replace("\r\n", "\n").replace('\n', "\r\n") } else { new };
    if old.starts_with(MARK) { format!("{MARK}{new}") } else { new }
}

/// Change the list of this name, and create it if it is missing.
fn change_list(document: &mut DocumentMut, key: &str, change: impl FnOnce(&mut List) -> Result<()>) -> Result<()> {
    let old = document.get(key).and_then(Item::as_array).cloned().unwrap_or_default();
    let mut list = List::new(&old);
    change(&mut list)?;
    set(document.as_table_mut(), key, list.into_array().into());
    Ok(())
}

/// Give a key another value. Comments around the key and the old value stay.
fn set(table: &mut dyn TableLike, key: &str, mut value: Value) {
    let item = table.entry(key).or_insert(Item::None);
    if let Some(old) = item.as_value() {
        *value.decor_mut() = old.decor().clone();
    }
    *item = Item::Value(value);
}

/// Set the table of timeouts. A timeout that follows from the others is written only if it was there.
fn set_timeouts(document: &mut DocumentMut, says: Timeouts, wanted: Timeouts) {
    if says == wanted {
        return;
    }
    let [udp, udp_stream, tcp] = parse::TIMEOUTS;
    let derived = policy_text::timeouts::with(Some(wanted.udp), None, None).udp_stream;
    let stands = document.get("timeouts").is_some_and(|table| table.get(udp_stream).is_some());
    let before = if stands { says.udp_stream } else { derived };
    let pairs = [
        (udp, wanted.udp, says.udp != wanted.udp),
        (udp_stream, wanted.udp_stream, before != wanted.udp_stream),
        (tcp, wanted.tcp, says.tcp != wanted.tcp),
    ];
    for (key, seconds, _) in pairs.into_iter().filter(|(.., is_written)| *is_written) {
        let value = policy_text::timeouts::words(seconds).into();
        let table = document.entry("timeouts").or_insert_with(|| Item::Table(Table::new()));
        if let Some(table) = table.as_table_like_mut() {
            set(table, key, value);
        }
    }
}

/// An entry stays if the wanted entries have all of its rules. Otherwise those of the same network within its ports take its place.
fn follow_rules(list: &mut List, wanted: &Policy, typed: &[String]) -> Result<()> {
    let comments: BTreeMap<Rule, Option<&str>> =
        wanted.entries().flat_map(|(entry, comment)| entry.rules().map(move |rule| (rule, comment))).collect();
    let stays = |rules: &[Rule]| rules.iter().all(|rule| comments.contains_key(rule));
    let read = list.words().map(check::entry_rules).collect::<Result<Vec<_>>>()?;
    let mut said: BTreeSet<Rule> = read.iter().filter(|rules| stays(rules)).flatten().copied().collect();
    let mut unsaid: HashMap<Source, BTreeSet<Entry>> = HashMap::new();
    for (entry, _) in wanted.entries().filter(|(entry, _)| !entry.rules().all(|rule| said.contains(&rule))) {
        unsaid.entry(entry.source).or_default().insert(*entry);
    }
    let mut fates = Vec::with_capacity(read.len());
    for rules in &read {
        if stays(rules) {
            fates.push(Fate::Stays);
            continue;
        }
        let is_within = |rule: &Rule, whole: &Rule| {
            (rule.protocol, rule.source) == (whole.protocol, whole.source)
                && whole.ports.first() <= rule.ports.first()
                && rule.ports.last() <= whole.ports.last()
        };
        let is_rest = |entry: &&Entry| entry.rules().all(|rule| rules.iter().any(|whole| is_within(&rule, whole)));
        let mut rest = BTreeSet::new();
        for whole in rules {
            let Some(unsaid) = unsaid.get_mut(&whole.source) else { continue };
            let first = whole.ports.first();
            let ports = PortRange::new(first, first).unwrap_or(whole.ports);
            let from = Entry { ports, protocols: Protocols::TcpAndUdp, source: whole.source };
            let near = unsaid.range(from..).take_while(|entry| entry.ports.first() <= whole.ports.last());
            let found: Vec<Entry> = near.filter(is_rest).copied().collect();
            for entry in &found {
                unsaid.remove(entry);
            }
            rest.extend(found);
        }
        said.extend(rest.iter().flat_map(Entry::rules));
        fates.push(Fate::Becomes(rest.iter().map(ToString::to_string).collect()));
    }
    list.rewrite(fates);
    for word in typed {
        let rules = check::entry_rules(word)?;
        if stays(&rules) && !rules.iter().all(|rule| said.contains(rule)) {
            said.extend(rules);
            list.push(word);
        }
    }
    for (entry, _) in wanted.entries().filter(|(entry, _)| !entry.rules().all(|rule| said.contains(&rule))) {
        list.push(&entry.to_string());
    }
    let written = list.words().map(check::entry_rules).collect::<Result<Vec<_>>>()?;
    for (index, rules) in written.iter().enumerate() {
        let comment = rules.first().and_then(|rule| comments.get(rule).copied().flatten());
        list.set_comment(index, comment);
    }
    Ok(())
}

fn entry_limits(word: &str) -> Result<Vec<String>> {
    Ok(check::entry_limits(word)?.iter().map(ToString::to_string).collect())
}

fn entry_refusals(word: &str) -> Result<Vec<String>> {
    Ok(Entry::of(&check::entry_rules(word)?).iter().map(ToString::to_string).collect())
}

/// An entry stays if all that it means is wanted. `read` gives the entries that a word means.
fn follow(
    list: &mut List,
    wanted: &[(String, Option<&str>)],
    read: impl Fn(&str) -> Result<Vec<String>>,
) -> Result<()> {
    let is_wanted = |meant: &String| wanted.iter().any(|(word, _)| word == meant);
    let said = list.words().map(&read).collect::<Result<Vec<_>>>()?;
    list.rewrite(said.iter().map(|meant| stays_if(meant.iter().all(is_wanted))));
    let mut kept: BTreeSet<String> = said.into_iter().filter(|meant| meant.iter().all(is_wanted)).flatten().collect();
    for (word, _) in wanted {
        if kept.insert(word.clone()) {
            list.push(word);
        }
    }
    let written = list.words().map(read).collect::<Result<Vec<_>>>()?;
    for (index, meant) in written.iter().enumerate() {
        let comment = wanted.iter().find(|(word, _)| meant.contains(word)).and_then(|(_, comment)| *comment);
        list.set_comment(index, comment);
    }
    Ok(())
}

fn follow_networks(list: &mut List, wanted: &Networks) {
    let stay = |word: &str| forward::network(word).ok().filter(|network| wanted.contain(*network));
    let read: Vec<_> = list.words().map(stay).collect();
    list.rewrite(read.iter().map(|network| stays_if(network.is_some())));
    let said = Networks::new(read.into_iter().flatten());
    let is_said = |network| said.as_ref().is_some_and(|said| said.contain(network));
    for &network in wanted.as_slice().iter().filter(|network| !is_said(**network)) {
        list.push(&network.to_string());
    }
}

fn follow_protocols(list: &mut List, wanted: &Policy) -> Result<()> {
    let read = list.words().map(check::entry_protocol).collect::<Result<Vec<_>>>()?;
    list.rewrite(read.iter().map(|protocol| stays_if(wanted.protocols.contains(protocol))));
    for &protocol in wanted.protocols.iter().filter(|protocol| !read.contains(protocol)) {
        list.push(&policy_text::protocol_name(protocol));
    }
    Ok(())
}

fn stays_if(stays: bool) -> Fate {
    if stays { Fate::Stays } else { Fate::Becomes(Vec::new()) }
}
