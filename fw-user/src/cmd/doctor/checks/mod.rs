//! Checks of everything that a filter needs. They attach and change nothing.

pub(crate) mod interfaces;
pub(crate) mod machine;
pub(crate) mod offloads;

use serde::Serialize;

/// The verdict on a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    /// As it should be.
    Ok,
    /// Good to know, or not visible from here.
    Note,
    /// It stops the filter from working, now or later.
    Bad,
}

/// The result of one check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// The interface; `None` for the machine as a whole.
    pub interface: Option<String>,
    /// The subject of the check.
    pub about: &'static str,
    /// The verdict.
    pub verdict: Verdict,
    /// The finding.
    pub found: String,
    /// The fix, if one is needed.
    pub fix: Option<String>,
}

impl Finding {
    fn new(about: &'static str, verdict: Verdict, found: impl Into<String>) -> Self {
        Self { interface: None, about, verdict, found: found.into(), fix: None }
    }

    fn ok(about: &'static str, found: impl Into<String>) -> Self {
        Self::new(about, Verdict::Ok, found)
    }

    fn note(about: &'static str, found: impl Into<String>) -> Self {
        Self::new(about, Verdict::Note, found)
    }

    fn bad(about: &'static str, found: impl Into<String>) -> Self {
        Self::new(about, Verdict::Bad, found)
    }

    fn fix(self, fix: impl Into<String>) -> Self {
        Self { fix: Some(fix.into()), ..self }
    }

    fn of(self, interface: &str) -> Self {
        Self { interface: Some(interface.to_owned()), ..self }
    }
}
