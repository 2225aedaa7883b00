//! From what is wanted to the text of a file. Of a text that is there already, everything stays that says what is wanted, in its order
//! and with its comments.

use clap::ValueEnum;
use fw_common::{flow::Timeouts, grammar::Rule, policy::Policy};
use toml_edit::{Array, DocumentMut, Item, Table, Value};

use crate::{
    config::{Settings, check, list::List, parse},
    error::{ConfigError, Result},
    kernel::attach::ingress::ModeChoice,
    policy_text::{self, words},
};

/// The text of a new file for an interface.
pub fn create(interface: &str, wanted: &Settings, typed: &[String]) -> Result<String> {
    create_for(interface, "", wanted, typed)
}

/// The text of a new file for every outside interface but these.
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

/// Have the patterns of a text leave out these interfaces, and no others.
pub(crate) fn set_exceptions(text: &str, except: &[String]) -> Result<String> {
    let mut document: DocumentMut = text.parse().map_err(ConfigError::InvalidToml)?;
    set(&mut document, "except", Array::from_iter(except).into());
    Ok(as_before(text, document.to_string()))
}

/// Make a text that says one thing say another. New entries of the allow list are written as they were typed, where they were.
pub fn update(text: &str, says: &Settings, wanted: &Settings, typed: &[String]) -> Result<String> {
    let mut document: DocumentMut = text.parse().map_err(ConfigError::InvalidToml)?;
    let (policy, before) = (&wanted.policy, &says.policy);
    if policy.rules() != before.rules() {
        let mut list = List::new(array(&mut document, "allow"));
        follow_rules(&mut list, policy, typed)?;
        *array(&mut document, "allow") = kept_decor(array(&mut document, "allow"), list);
    }
    if policy.protocols != before.protocols {
        let mut list = List::new(array(&mut document, "allow-proto"));
        follow_protocols(&mut list, policy)?;
        *array(&mut document, "allow-proto") = kept_decor(array(&mut document, "allow-proto"), list);
    }
    if policy.forward != before.forward {
        set(&mut document, "forward", policy.forward.to_string().into());
    }
    set_timeouts(&mut document, before.timeouts, policy.timeouts);
    if wanted.mode != says.mode
        && let Some(mode) = wanted.mode.to_possible_value()
    {
        set(&mut document, "mode", mode.get_name().into());
    }
    if wanted.flows != says.flows
        && let Some(flows) = wanted.flows
    {
        set(&mut document, "flows", i64::from(flows).into());
    }
    if wanted.replies != says.replies {
        set(&mut document, "replies", wanted.replies.into());
    }
    if wanted.monitor != says.monitor {
        set(&mut document, "monitor", wanted.monitor.into());
    }
    Ok(as_before(text, document.to_string()))
}

/// The parser drops the byte order mark and the carriage returns of editors on other systems; a file that has them keeps them.
fn as_before(old: &str, new: String) -> String {
    const MARK: char = '\u{feff}';
    let new = if old.contains("\r\n") { new.replace("\r\n", "\n").replace('\n', "\r\n") } else { new };
    if old.starts_with(MARK) { format!("{MARK}{new}") } else { new }
}

/// The list of this name, which is made where it is missing.
fn array<'a>(document: &'a mut DocumentMut, key: &str) -> &'a mut Array {
    let item = document.entry(key).or_insert_with(|| Item::Value(Array::new().into()));
    if !item.is_array() {
        *item = Item::Value(Array::new().into());
    }
    match item {
        Item::Value(Value::Array(array)) => array,
        _ => unreachable!("the item was made an array above"),
    }
}

fn kept_decor(old: &Array, list: List) -> Array {
    let mut array = list.into_array();
    *array.decor_mut() = old.decor().clone();
    array
}

/// Give a key another value. Comments around the old one stay.
fn set(document: &mut DocumentMut, key: &str, mut value: Value) {
    if let Some(old) = document.get(key).and_then(Item::as_value) {
        *value.decor_mut() = old.decor().clone();
    }
    document[key] = Item::Value(value);
}

/// Make the table of timeouts say other ones. What follows from the others is written only where it stood.
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
        let mut value = Value::from(policy_text::timeouts::words(seconds));
        let table = document.entry("timeouts").or_insert_with(|| Item::Table(Table::new()));
        if let Some(old) = table.get(key).and_then(Item::as_value) {
            *value.decor_mut() = old.decor().clone();
        }
        table[key] = Item::Value(value);
    }
}

fn follow_rules(list: &mut List, wanted: &Policy, typed: &[String]) -> Result<()> {
    let read = list.words().map(check::entry_rules).collect::<Result<Vec<_>>>()?;
    let mut said = Policy::new(read.iter().filter(|rules| says(wanted, rules)).flatten().copied());
    let mut index = 0;
    for rules in &read {
        if says(wanted, rules) {
            index += 1;
            continue;
        }
        // What is left of it stands where it stood.
        let entry = Policy::new(rules.iter().copied());
        let left = entry.without(&entry.without(wanted)).without(&said);
        for rule in left.rules() {
            said.allow(rule);
        }
        let words = words::rule_words(&left);
        match words.split_first() {
            None => list.remove(index),
            Some((first, more)) => {
                list.replace(index, first);
                for word in more {
                    index += 1;
                    list.insert(index, word);
                }
                index += 1;
            }
        }
    }
    for word in typed {
        let rules = check::entry_rules(word)?;
        if !says(&said, &rules) {
            for rule in rules {
                said.allow(rule);
            }
            list.insert(list.len(), word);
        }
    }
    for word in words::rule_words(&wanted.without(&said)) {
        list.insert(list.len(), &word);
    }
    Ok(())
}

/// Whether a policy lets in all that these rules say.
fn says(policy: &Policy, rules: &[Rule]) -> bool {
    rules.iter().all(|rule| policy.says(rule))
}

fn follow_protocols(list: &mut List, wanted: &Policy) -> Result<()> {
    let read = list.words().map(check::entry_protocol).collect::<Result<Vec<_>>>()?;
    for (index, _) in read.iter().enumerate().rev().filter(|(_, protocol)| !wanted.protocols.contains(protocol)) {
        list.remove(index);
    }
    for &protocol in wanted.protocols.iter().filter(|protocol| !read.contains(protocol)) {
        list.insert(list.len(), &policy_text::protocol_name(protocol));
    }
    Ok(())
}
