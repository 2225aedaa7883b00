//! A policy in words and in JSON.

use fw_common::{PortProtocol, entry::Entry, forward::Forward, policy::Policy};
use serde::Serialize;

use crate::policy_text;

/// A policy in JSON: every piece is valid for `--allow` and `--allow-proto`.
#[derive(Serialize)]
pub(crate) struct PolicyJson {
    allow: Vec<String>,
    rules: Vec<RuleJson>,
    allow_proto: Vec<String>,
    forward: ForwardJson,
    timeouts: TimeoutsJson,
}

/// A rule as it was typed.
#[derive(Serialize)]
struct RuleJson {
    rule: String,
    comment: Option<String>,
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
                .map(|(entry, comment)| RuleJson { rule: entry.to_string(), comment: comment.map(ToOwned::to_owned) })
                .collect(),
            allow_proto: policy.protocols.iter().copied().map(policy_text::protocol_name).collect(),
            forward: ForwardJson::new(&policy.forward),
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

/// The entries as they were typed, with their comments, in one line.
#[must_use]
pub(crate) fn typed_rules(policy: &Policy) -> String {
    let words: Vec<String> = policy.entries().map(|(entry, comment)| typed_rule(entry, comment)).collect();
    if words.is_empty() { "none".to_owned() } else { words.join(", ") }
}

/// An entry as it was typed, with its comment.
#[must_use]
pub(crate) fn typed_rule(entry: &Entry, comment: Option<&str>) -> String {
    match comment {
        None => entry.to_string(),
        Some(comment) => format!("{entry} ({comment})"),
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
