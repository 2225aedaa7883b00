//! Check which connections a change would cut, before it is made.

use crate::{
    error::{Error, Result, SafeguardError},
    lockout::{self, Outlook, change::PolicyChange},
    output::complain,
    report::lockout::{self as report, Fix},
};

/// How a command guards its user.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Guard {
    /// Continue whatever is cut.
    pub(crate) force: bool,
    /// The JSON lists what is cut, so no text is needed.
    pub(crate) as_json: bool,
    /// The advice in a refusal.
    pub(crate) fix: Fix,
}

impl Guard {
    /// Refuse changes that would cut the user's own session or `sshd`, and print what else they would cut.
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
