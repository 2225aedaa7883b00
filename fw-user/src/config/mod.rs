//! Files that say what may come in, `/etc/fw-user/NAME.toml`: read, checked, compared with what is in force, written.
//!
//! [`parse`] makes words of a text, [`check`] makes sense of the words, and both collect every mistake with its place. [`list`] and
//! [`edit`] change a text without touching what else is in it, [`edits`] plans that for several files, [`pattern`] compares names. None of them calls the system but
//! for the names of `/etc/services` and `/etc/protocols`; [`folder`] reads and writes the files.

pub mod check;
pub(crate) mod difference;
pub mod edit;
pub(crate) mod edits;
pub(crate) mod folder;
pub(crate) mod list;
pub mod parse;
pub(crate) mod pattern;

use std::{path::PathBuf, time::SystemTime};

use fw_common::policy::Policy;
use toml::Spanned;

use crate::{
    error::Mistake,
    host::class::Sides,
    kernel::{
        attach::{egress::Hook, ingress::ModeChoice, plan::Plan},
        maps::policy_map::Terms,
    },
};

/// The default folder of the files (`--config`).
pub(crate) const DEFAULT_FOLDER: &str = "/etc/fw-user";

/// The settings of a file for each of its interfaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The policy.
    pub policy: Policy,
    /// The mode.
    pub mode: ModeChoice,
    /// Capacity of each flow table; `None` for the existing one, or the default.
    pub flows: Option<u32>,
    /// Whether replies are tracked.
    pub replies: bool,
    /// Whether verdicts are counted and nothing is dropped (monitor mode).
    pub monitor: bool,
}

impl Settings {
    /// The plan for `attach`, without a deadline or until a second of `CLOCK_MONOTONIC`.
    #[must_use]
    pub fn plan(&self, deadline: Option<u32>) -> Plan {
        Plan {
            policy: self.policy.clone(),
            terms: Terms { monitors: self.monitor, deadline },
            mode: self.mode,
            flows: self.flows,
            replies: self.replies,
            hook: Hook::default(),
            debug: false,
            replace: false,
            arrival: None,
        }
    }
}

/// A file that was read.
#[derive(Clone, Debug)]
pub struct File {
    /// Its path.
    pub path: PathBuf,
    /// Its contents.
    pub text: String,
    /// The interfaces that it names, as far as they can be read, with their places.
    pub interfaces: Vec<Spanned<String>>,
    /// Its patterns: it also applies to matching interfaces that no other file names.
    pub patterns: Vec<Spanned<String>>,
    /// Names and patterns of the interfaces that it leaves out.
    pub except: Vec<Spanned<String>>,
    /// Its capacity for flows, with the place.
    pub flows: Option<Spanned<u32>>,
    /// Its settings, unless there are mistakes.
    pub settings: Option<Settings>,
    /// Its mistakes.
    pub mistakes: Vec<Mistake>,
}

impl File {
    /// Whether it names this interface.
    #[must_use]
    pub fn is_for(&self, interface: &str) -> bool {
        self.interfaces.iter().any(|name| name.get_ref() == interface)
    }

    /// Whether its patterns match this interface, and no exception does.
    #[must_use]
    pub(crate) fn takes(&self, interface: &str) -> bool {
        self.has_pattern_for(interface) && !self.has_exception_for(interface)
    }

    /// Whether its patterns match this interface, but an exception does too.
    #[must_use]
    pub(crate) fn leaves_out(&self, interface: &str) -> bool {
        self.has_pattern_for(interface) && self.has_exception_for(interface)
    }

    /// The patterns that match none of these names.
    pub(crate) fn idle_patterns(&self, names: &[&str]) -> Vec<&str> {
        idle(&self.patterns, names)
    }

    /// The exceptions that match none of these names.
    pub(crate) fn idle_exceptions(&self, names: &[&str]) -> Vec<&str> {
        idle(&self.except, names)
    }

    fn has_pattern_for(&self, interface: &str) -> bool {
        self.patterns.iter().any(|one| pattern::matches(one.get_ref(), interface))
    }

    fn has_exception_for(&self, interface: &str) -> bool {
        self.except.iter().any(|one| pattern::matches(one.get_ref(), interface))
    }
}

fn idle<'a>(patterns: &'a [Spanned<String>], names: &[&str]) -> Vec<&'a str> {
    let words = patterns.iter().map(|one| one.get_ref().as_str());
    words.filter(|word| !names.iter().any(|name| pattern::matches(word, name))).collect()
}

/// The file for an interface: the one that names it, or else, for an outside interface, the one whose patterns match it.
#[must_use]
pub(crate) fn file_for<'a>(files: &'a [File], interface: &str, sides: &Sides) -> Option<&'a File> {
    let named = files.iter().find(|file| file.is_for(interface));
    named.or_else(|| files.iter().find(|file| file.takes(interface) && sides.leads_outside(interface)))
}

/// The file that leaves an interface out on purpose.
#[must_use]
pub(crate) fn file_without<'a>(files: &'a [File], interface: &str) -> Option<&'a File> {
    let is_taken = files.iter().any(|file| file.is_for(interface) || file.takes(interface));
    files.iter().find(|file| !is_taken && file.settings.is_some() && file.leaves_out(interface))
}

/// The results of a process that keeps interfaces as in their files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Applies {
    /// Whether everything matches the files.
    pub is_good: bool,
    /// When files were applied last, without a failure.
    pub last_success: SystemTime,
}
