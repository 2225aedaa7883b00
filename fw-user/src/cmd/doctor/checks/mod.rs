//! What could keep a filter from working, looked at one by one: nothing is attached, nothing is changed.

pub(crate) mod interfaces;
pub(crate) mod machine;
pub(crate) mod offloads;

use serde::Serialize;

/// What to think of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    /// As it should be.
    Ok,
    /// Good to know, or not to be seen from here.
    Note,
    /// It keeps the filter from working, or will.
    Bad,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// The interface; nothing for the machine as a whole.
    pub interface: Option<String>,
    /// What was looked at.
    pub about: &'static str,
    /// What to think of it.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// What to do, where something should be done.
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
