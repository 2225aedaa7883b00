//! A policy in words and in JSON.

use fw_common::{PortProtocol, forward::Forward, grammar::Rule, policy::Policy};
use serde::Serialize;

use crate::policy_text;

/// A policy in JSON: every piece is valid for `--allow` and `--allow-proto`.
#[derive(Serialize)]
pub(crate) struct PolicyJson {
    allow: Vec<String>,
    allow_proto: Vec<String>,
    forward: ForwardJson,
    timeouts: TimeoutsJson,
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

/// The open ports as typed by a person, in one line.
#[must_use]
pub(crate) fn open_ports(policy: &Policy) -> String {
    let words = rule_words(policy);
    if words.is_empty() { "none".to_owned() } else { words.join(", ") }
}

/// The rules as typed by a person: a port without a protocol if TCP and UDP are both open.
#[must_use]
pub(crate) fn rule_words(policy: &Policy) -> Vec<String> {
    let rules = policy.rules();
    let other = |rule: &Rule, protocol| rules.binary_search(&Rule { protocol, ..*rule }).is_ok();
    let mut shown: Vec<(Rule, String)> = rules
        .iter()
        .filter_map(|rule| match rule.protocol {
            PortProtocol::Tcp if other(rule, PortProtocol::Udp) => {
                Some((*rule, rule.to_string().replacen("/tcp", "", 1)))
            }
            PortProtocol::Udp if other(rule, PortProtocol::Tcp) => None,
            _ => Some((*rule, rule.to_string())),
        })
        .collect();
    shown.sort_by_key(|(rule, _)| (rule.ports, rule.protocol, rule.source));
    shown.into_iter().map(|(_, text)| text).collect()
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
