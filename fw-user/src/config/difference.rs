//! The changes that an interface needs to match its file.

use std::{collections::BTreeMap, fmt};

use clap::ValueEnum;
use fw_common::{entry::Entry, policy::Policy};
use serde::{Serialize, Serializer};

use crate::{
    config::Settings,
    kernel::{attach::ingress::ModeChoice, meta::Mode},
    policy_text::{self, words},
};

/// The settings in force on an interface.
#[derive(Clone, Debug)]
pub(crate) struct Running {
    /// The policy.
    pub policy: Policy,
    /// Whether nothing is dropped.
    pub monitor: bool,
    /// Whether replies are tracked.
    pub replies: bool,
    /// The version of the programs.
    pub version: String,
    /// The mode; `None` without a filter.
    pub mode: Option<Mode>,
    /// The capacity for flows of each family, if known.
    pub flows: Option<u32>,
}

/// One setting that changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Setting {
    /// Its name.
    pub what: &'static str,
    /// The value in force.
    pub from: String,
    /// The value in the file.
    pub to: String,
}

/// A rule that is added or removed. In JSON it is the rule alone, as for `--allow`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ChangedRule {
    rule: String,
    comment: Option<String>,
}

impl ChangedRule {
    fn new(entry: &Entry, comment: Option<&str>) -> Self {
        Self { rule: entry.to_string(), comment: comment.map(ToOwned::to_owned) }
    }
}

impl fmt::Display for ChangedRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rule)?;
        self.comment.as_ref().map_or(Ok(()), |comment| write!(f, " ({comment})"))
    }
}

impl Serialize for ChangedRule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.rule)
    }
}

/// Everything that changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Difference {
    /// Added rules, as for `--allow`.
    pub opened: Vec<ChangedRule>,
    /// Removed rules.
    pub closed: Vec<ChangedRule>,
    /// Added protocols, as for `--allow-proto`.
    pub opened_proto: Vec<String>,
    /// Removed protocols.
    pub closed_proto: Vec<String>,
    /// All other settings.
    pub settings: Vec<Setting>,
}

/// What `after` opens and `before` does not, by the rules as they were typed where they mean just that, and the entries that only `after` has.
fn changed(before: &Policy, after: &Policy) -> (Vec<ChangedRule>, Vec<ChangedRule>) {
    let new = Policy::new(after.without(before));
    let known: BTreeMap<&Entry, Option<&str>> = before.entries().collect();
    let mut opened: Vec<(Entry, Option<&str>)> = Vec::new();
    let mut only_typed = Vec::new();
    for (entry, comment) in after.entries().filter(|(entry, comment)| known.get(entry) != Some(comment)) {
        only_typed.push(ChangedRule::new(entry, comment));
        if entry.rules().all(|rule| new.says(&rule)) {
            opened.push((*entry, comment));
        }
    }
    let rest = new.without(&Policy::of(opened.iter().map(|(entry, _)| (*entry, None))));
    opened.extend(Entry::of(&rest).into_iter().map(|entry| (entry, None)));
    opened.sort_unstable();
    (opened.iter().map(|(entry, comment)| ChangedRule::new(entry, *comment)).collect(), only_typed)
}

impl Difference {
    /// The difference from the settings in force, if any, to those of a file, applied by `version`.
    #[must_use]
    pub(crate) fn new(running: Option<&Running>, wanted: &Settings, version: &str) -> Self {
        let nothing = Running {
            policy: Policy::default(),
            monitor: false,
            replies: true,
            version: version.to_owned(),
            mode: None,
            flows: None,
        };
        let running = running.unwrap_or(&nothing);
        let protocols = |one: &Policy, other: &Policy| {
            one.protocols.difference(&other.protocols).copied().map(policy_text::protocol_name).collect()
        };
        let mut settings = Vec::new();
        let mut compare = |what, from: &str, to: &str| {
            if from != to {
                settings.push(Setting { what, from: from.to_owned(), to: to.to_owned() });
            }
        };
        let on = |on| if on { "on" } else { "off" };
        let list = |rules: Vec<String>| if rules.is_empty() { "none".to_owned() } else { rules.join(", ") };
        compare("limit", &list(words::limits(&running.policy)), &list(words::limits(&wanted.policy)));
        compare("deny", &list(words::refusals(&running.policy)), &list(words::refusals(&wanted.policy)));
        compare("forward", &running.policy.forward.to_string(), &wanted.policy.forward.to_string());
        compare("refuse", &running.policy.refuse.to_string(), &wanted.policy.refuse.to_string());
        let words = policy_text::timeouts::words;
        let (from, to) = (running.policy.timeouts, wanted.policy.timeouts);
        compare("udp-timeout", &words(from.udp), &words(to.udp));
        compare("udp-stream-timeout", &words(from.udp_stream), &words(to.udp_stream));
        compare("tcp-timeout", &words(from.tcp), &words(to.tcp));
        compare("replies", on(running.replies), on(wanted.replies));
        compare("monitor", on(running.monitor), on(wanted.monitor));
        // A file with `auto` accepts the mode in force.
        let choice = wanted.mode.to_possible_value().filter(|_| wanted.mode != ModeChoice::Auto);
        if let (Some(mode), Some(choice)) = (running.mode, choice) {
            compare("mode", mode.name(), choice.get_name());
        }
        if let (Some(from), Some(to)) = (running.flows, wanted.flows) {
            compare("flows", &from.to_string(), &to.to_string());
        }
        compare("version", &running.version, version);
        let (opened, retyped) = changed(&running.policy, &wanted.policy);
        let (closed, typed_before) = changed(&wanted.policy, &running.policy);
        if opened.is_empty() && closed.is_empty() && !(retyped.is_empty() && typed_before.is_empty()) {
            let words = |rules: Vec<ChangedRule>| {
                let words: Vec<String> = rules.iter().map(ToString::to_string).collect();
                if words.is_empty() { "none".to_owned() } else { words.join(", ") }
            };
            settings.push(Setting { what: "rules", from: words(typed_before), to: words(retyped) });
        }
        Self {
            opened,
            closed,
            opened_proto: protocols(&wanted.policy, &running.policy),
            closed_proto: protocols(&running.policy, &wanted.policy),
            settings,
        }
    }

    /// Whether nothing changes.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
