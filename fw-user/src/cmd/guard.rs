//! Look at what a change would cut, before it is made.

use crate::{
    error::{Error, Result, SafeguardError},
    lockout::{self, Outlook, change::PolicyChange},
    output::complain,
    report::lockout::{self as report, Fix},
};

/// How a command guards its user.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Guard {
    /// Go on whatever is cut.
    pub(crate) force: bool,
    /// What is cut stands in the JSON, and need not be told.
    pub(crate) as_json: bool,
    /// What to advise where it refuses.
    pub(crate) fix: Fix,
}

impl Guard {
    /// Refuse changes that would cut the own session or `sshd`, and tell of what else they would cut.
    pub(crate) fn look(self, changes: &[PolicyChange]) -> Result<Outlook> {
        let outlook = lockout::look(changes)?;
        if outlook.locks_out() && !self.force {
            return Err(Error::Safeguard(SafeguardError::LocksOut(report::refusal(&outlook, self.fix))));
        }
        let blind = if outlook.knows_sockets { "" } else { report::BLIND };
        let note = if self.as_json { String::new() } else { report::note(&outlook) };
        let words = format!("{blind}{note}");
        if !words.is_empty() {
            complain(words.trim_end_matches('\n'));
        }
        Ok(outlook)
    }
}
