//! A policy in words and in JSON.

use std::time::Duration;

use fw_common::{
    PortProtocol, actions::Action, entry::Entry, forward::Forward, limit::Limit, policy::Policy, refuse::Refuse,
};
use serde::Serialize;

use crate::{kernel::clock, policy_text};

/// A policy in JSON: every piece of `allow` and `allow_proto` is valid for `--allow` and `--allow-proto`.
#[derive(Serialize)]
pub(crate) struct PolicyJson {
    allow: Vec<String>,
    rules: Vec<RuleJson>,
    ping: Option<String>,
    allow_proto: Vec<String>,
    forward: ForwardJson,
    refuse: String,
    timeouts: TimeoutsJson,
}

/// A rule as it was typed.
#[derive(Serialize)]
struct RuleJson {
    /// `allow`, `limit` or `deny`: the command that it is for.
    action: &'static str,
    rule: String,
    comment: Option<String>,
    /// In seconds.
    ends_in: Option<u64>,
}

impl RuleJson {
    fn new(entry: &Entry, action: Option<Action>, comment: Option<&str>) -> Self {
        let (verb, rule, ends_in) = match action {
            None => ("allow", entry.to_string(), None),
            Some(Action::Until(end)) => ("allow", entry.to_string(), Some(left(end).as_secs())),
            Some(Action::Limit(rate)) => ("limit", Limit::Ports(*entry, rate).to_string(), None),
            Some(Action::Deny) => ("deny", entry.to_string(), None),
        };
        Self { action: verb, rule, comment: comment.map(ToOwned::to_owned), ends_in }
    }
}

/// The time until an end, rounded up to seconds. Where the clock cannot be read it is none.
fn left(end: u64) -> Duration {
    let left = end.saturating_sub(clock::since_boot().unwrap_or(end));
    Duration::from_secs(left.div_ceil(1_000_000_000))
}

/// In the form of a file: a word, or a list of networks.
#[derive(Serialize)]
#[serde(untagged)]
enum ForwardJson {
    Verdict(String),
    Networks(Vec<String>),
}

impl ForwardJson {
    fn new(forward: &Forward) -> Self {
        match forward {
            Forward::Drop | Forward::Pass => Self::Verdict(forward.to_string()),
            Forward::To(networks) => Self::Networks(networks.as_slice().iter().map(ToString::to_string).collect()),
        }
    }
}

/// In seconds.
#[derive(Serialize)]
struct TimeoutsJson {
    udp: u32,
    udp_stream: u32,
    tcp: u32,
}

impl PolicyJson {
    /// In the form for JSON.
    #[must_use]
    pub(crate) fn new(policy: &Policy) -> Self {
        Self {
            allow: policy.rules().iter().map(ToString::to_string).collect(),
            rules: policy
                .entries()
                .map(|(entry, comment)| RuleJson::new(entry, None, comment))
                .chain(policy.actions().map(|(entry, action, comment)| RuleJson::new(entry, Some(action), comment)))
                .collect(),
            ping: policy.ping.map(|rate| rate.to_string()),
            allow_proto: policy.protocols.iter().copied().map(policy_text::protocol_name).collect(),
            forward: ForwardJson::new(&policy.forward),
            refuse: policy.refuse.to_string(),
            timeouts: TimeoutsJson {
                udp: policy.timeouts.udp,
                udp_stream: policy.timeouts.udp_stream,
                tcp: policy.timeouts.tcp,
            },
        }
    }
}

/// The open ports as a person would type them, in one line.
#[must_use]
pub(crate) fn open_ports(policy: &Policy) -> String {
    let words = rule_words(policy);
    if words.is_empty() { "none".to_owned() } else { words.join(", ") }
}

/// The open ports as a person would type them: a port without a protocol if TCP and UDP are both open.
#[must_use]
pub(crate) fn rule_words(policy: &Policy) -> Vec<String> {
    Entry::of(&policy.rules()).iter().map(ToString::to_string).collect()
}

/// The entries as they were typed, without their comments.
#[must_use]
pub(crate) fn entry_words(policy: &Policy) -> Vec<String> {
    policy.entries().map(|(entry, _)| entry.to_string()).collect()
}

/// The rules as they were typed, with their comments: what they do, and which do it. Limits and refusals only if there are any.
#[must_use]
pub(crate) fn typed_rules(policy: &Policy) -> Vec<(&'static str, String)> {
    let timed = policy.actions().filter_map(|(entry, action, comment)| match action {
        Action::Until(end) => {
            Some(typed_rule(&format!("{entry} for {}", humantime::format_duration(left(end))), comment))
        }
        Action::Limit(_) | Action::Deny => None,
    });
    let open = policy.entries().map(|(entry, comment)| typed_rule(&entry.to_string(), comment)).chain(timed);
    let open: Vec<String> = open.collect();
    let mut lines = vec![("open", if open.is_empty() { "none".to_owned() } else { open.join(", ") })];
    lines.extend(
        [("limited", limits(policy)), ("denied", refusals(policy))]
            .into_iter()
            .filter_map(|(what, rules)| (!rules.is_empty()).then(|| (what, rules.join(", ")))),
    );
    lines
}

/// An entry with an action that lasts, as the command that adds it.
#[must_use]
pub(crate) fn acting_rule(entry: &Entry, action: Action) -> String {
    match action {
        Action::Limit(rate) => format!("limit {}", Limit::Ports(*entry, rate)),
        Action::Deny => format!("deny {entry}"),
        Action::Until(_) => format!("allow {entry}"),
    }
}

/// The limits with their comments, in words.
#[must_use]
pub(crate) fn limits(policy: &Policy) -> Vec<String> {
    limit_rules(policy).iter().map(|(rule, comment)| typed_rule(rule, *comment)).collect()
}

/// The refusals with their comments, in words.
#[must_use]
pub(crate) fn refusals(policy: &Policy) -> Vec<String> {
    refusal_rules(policy).iter().map(|(rule, comment)| typed_rule(rule, *comment)).collect()
}

/// The limits as they are typed, each with its comment.
#[must_use]
pub(crate) fn limit_rules(policy: &Policy) -> Vec<(String, Option<&str>)> {
    let of_ports = policy.actions().filter_map(|(entry, action, comment)| match action {
        Action::Limit(rate) => Some((Limit::Ports(*entry, rate).to_string(), comment)),
        Action::Until(_) | Action::Deny => None,
    });
    of_ports.chain(policy.ping.map(|rate| (Limit::Ping(rate).to_string(), None))).collect()
}

/// The refusals as they are typed, each with its comment.
#[must_use]
pub(crate) fn refusal_rules(policy: &Policy) -> Vec<(String, Option<&str>)> {
    let refusals = policy.actions().filter(|(_, action, _)| *action == Action::Deny);
    refusals.map(|(entry, _, comment)| (entry.to_string(), comment)).collect()
}

/// A rule with its comment.
fn typed_rule(rule: &str, comment: Option<&str>) -> String {
    match comment {
        None => rule.to_owned(),
        Some(comment) => format!("{rule} ({comment})"),
    }
}

/// Who gets an answer from closed ports, in one line; `None` if nobody does.
#[must_use]
pub(crate) fn refused(refuse: Refuse) -> Option<&'static str> {
    match refuse {
        Refuse::Nobody => None,
        Refuse::Lan => {
            Some("closed TCP and UDP ports answer senders on the link, so that their connections fail at once")
        }
    }
}

/// The packets that are routed on, in one line; `None` if none are.
#[must_use]
pub(crate) fn router(forward: &Forward) -> Option<String> {
    match forward {
        Forward::Drop => None,
        Forward::Pass => Some(
            "packets to open ports are routed on to every machine and container behind this one, published or not"
                .to_owned(),
        ),
        Forward::To(networks) => {
            let networks: Vec<String> = networks.as_slice().iter().map(ToString::to_string).collect();
            Some(format!("every packet that is routed on to {} passes, whatever its port", networks.join(", ")))
        }
    }
}

/// Whether others on the network can resolve names like `raspberrypi.local`.
#[must_use]
pub(crate) fn answers_mdns(policy: &Policy) -> bool {
    const MDNS: u16 = 5353;
    policy.is_open_to_some(PortProtocol::Udp, MDNS)
}
