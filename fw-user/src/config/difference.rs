//! What would have to change for an interface to be as its file says.

use clap::ValueEnum;
use fw_common::policy::Policy;
use serde::Serialize;

use crate::{
    config::Settings,
    kernel::{attach::ingress::ModeChoice, meta::Mode},
    policy_text::{self, words},
};

/// What is in force on an interface.
#[derive(Clone, Debug)]
pub(crate) struct Running {
    /// What may come in.
    pub policy: Policy,
    /// Whether nothing is dropped.
    pub monitor: bool,
    /// Whether replies are tracked.
    pub replies: bool,
    /// The version of the programs.
    pub version: String,
    /// In which mode; nothing where there is no filter.
    pub mode: Option<Mode>,
    /// How many flows of each family are remembered, where that is known.
    pub flows: Option<u32>,
}

/// One setting that changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Setting {
    /// Which.
    pub what: &'static str,
    /// What is in force.
    pub from: String,
    /// What the file says.
    pub to: String,
}

/// Everything that changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Difference {
    /// Rules that are new, as they would be given to `--allow`.
    pub opened: Vec<String>,
    /// Rules that go.
    pub closed: Vec<String>,
    /// Protocols that are new, as they would be given to `--allow-proto`.
    pub opened_proto: Vec<String>,
    /// Protocols that go.
    pub closed_proto: Vec<String>,
    /// All the rest.
    pub settings: Vec<Setting>,
}

impl Difference {
    /// From what is in force, if anything is, to what a file says, as put in force by `version`.
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
        compare("forward", &running.policy.forward.to_string(), &wanted.policy.forward.to_string());
        let words = policy_text::timeouts::words;
        let (from, to) = (running.policy.timeouts, wanted.policy.timeouts);
        compare("udp-timeout", &words(from.udp), &words(to.udp));
        compare("udp-stream-timeout", &words(from.udp_stream), &words(to.udp_stream));
        compare("tcp-timeout", &words(from.tcp), &words(to.tcp));
        compare("replies", on(running.replies), on(wanted.replies));
        compare("monitor", on(running.monitor), on(wanted.monitor));
        // What leaves it open is as well served by what there is.
        let choice = wanted.mode.to_possible_value().filter(|_| wanted.mode != ModeChoice::Auto);
        if let (Some(mode), Some(choice)) = (running.mode, choice) {
            compare("mode", mode.name(), choice.get_name());
        }
        if let (Some(from), Some(to)) = (running.flows, wanted.flows) {
            compare("flows", &from.to_string(), &to.to_string());
        }
        compare("version", &running.version, version);
        Self {
            opened: words::rule_words(&wanted.policy.without(&running.policy)),
            closed: words::rule_words(&running.policy.without(&wanted.policy)),
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
