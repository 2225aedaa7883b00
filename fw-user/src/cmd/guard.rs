//! Check which connections a change would cut, before it is made.

use crate::{
    error::{Error, Result, SafeguardError},
    host::network::Network,
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
        let outlook = lockout::look(&on_their_links(changes)?)?;
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

/// The same changes, with the networks on the links of interfaces whose new policies need them.
fn on_their_links(changes: &[PolicyChange]) -> Result<Vec<PolicyChange>> {
    let mut changes = changes.to_vec();
    if changes.iter().any(|change| change.after.needs_lan()) {
        let network = Network::ask()?;
        for change in changes.iter_mut().filter(|change| change.after.needs_lan()) {
            change.after.on_link = network.on_link_of(&change.interface);
        }
    }
    Ok(changes)
}
