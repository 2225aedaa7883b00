//! The changes that an interface needs to match its file.

use clap::ValueEnum;
use fw_common::policy::Policy;
use serde::Serialize;

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

/// Everything that changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Difference {
    /// Added rules, as for `--allow`.
    pub opened: Vec<String>,
    /// Removed rules.
    pub closed: Vec<String>,
    /// Added protocols, as for `--allow-proto`.
    pub opened_proto: Vec<String>,
    /// Removed protocols.
    pub closed_proto: Vec<String>,
    /// All other settings.
    pub settings: Vec<Setting>,
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
        compare("forward", &running.policy.forward.to_string(), &wanted.policy.forward.to_string());
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
