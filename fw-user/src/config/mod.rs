//! Files that say what may come in, `/etc/fw-user/NAME.toml`: read, checked, compared with what is in force, written.
//!
//! [`parse`] makes words of a text, [`check`] makes sense of the words, and both collect every mistake with its place. [`list`] and
//! [`edit`] change a text without touching what else is in it, [`edits`] plans that for several files. None of them calls the system but
//! for the names of `/etc/services` and `/etc/protocols`; [`folder`] reads and writes the files.

pub mod check;
pub(crate) mod difference;
pub mod edit;
pub(crate) mod edits;
pub(crate) mod folder;
pub(crate) mod list;
pub mod parse;

use std::{path::PathBuf, time::SystemTime};

use fw_common::policy::Policy;
use toml::Spanned;

use crate::{
    error::Mistake,
    kernel::{
        attach::{egress::Hook, ingress::ModeChoice, plan::Plan},
        maps::policy_map::Terms,
    },
};

/// Where the files are, unless `--config` says otherwise.
pub(crate) const DEFAULT_FOLDER: &str = "/etc/fw-user";

/// What a file says of each of its interfaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What may come in.
    pub policy: Policy,
    /// Which XDP mode.
    pub mode: ModeChoice,
    /// Capacity of each flow table; what is there already, or the default, without.
    pub flows: Option<u32>,
    /// Whether replies are tracked.
    pub replies: bool,
    /// Whether everything is judged and counted, and nothing dropped.
    pub monitor: bool,
}

impl Settings {
    /// What `attach` is to do, for good or until a second of `CLOCK_MONOTONIC`.
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
        }
    }
}

/// A file that was read.
#[derive(Clone, Debug)]
pub struct File {
    /// Where it is.
    pub path: PathBuf,
    /// What is in it.
    pub text: String,
    /// The interfaces that it is for, as far as they can be read, and where it says so.
    pub interfaces: Vec<Spanned<String>>,
    /// What it says of flows, and where.
    pub flows: Option<Spanned<u32>>,
    /// What it says, unless there are mistakes.
    pub settings: Option<Settings>,
    /// What is wrong with it.
    pub mistakes: Vec<Mistake>,
}

impl File {
    /// Whether it is for this interface.
    #[must_use]
    pub fn is_for(&self, interface: &str) -> bool {
        self.interfaces.iter().any(|name| name.get_ref() == interface)
    }
}

/// How a process fares that keeps interfaces as their files say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Applies {
    /// Whether everything is as the files say.
    pub is_good: bool,
    /// When files were applied last, without a failure.
    pub last_success: SystemTime,
}
