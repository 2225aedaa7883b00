//! The results of `allow`, `deny`, `monitor` and `enforce`.

use std::path::Path;

use fw_common::policy::Policy;

use crate::{kernel::maps::policy_map::Terms, policy_text::words::typed_rules};

/// For one interface.
#[must_use]
pub(crate) fn text(name: &str, policy: &Policy, changed: bool) -> String {
    let note = if changed { "" } else { " (as before)" };
    typed_rules(policy).into_iter().fold(String::new(), |text, (what, rules)| {
        text + &format!("{name}  {what}: {rules}{}\n", if what == "open" { note } else { "" })
    })
}

/// A change was made while another one waits to be confirmed; `is_new` says whether with a deadline of its own, which then counts for both.
#[must_use]
pub(crate) fn joins(name: &str, seconds: u64, is_new: bool) -> String {
    if is_new {
        return format!("{name}  joins the change that waits to be confirmed; the new deadline is for both\n");
    }
    format!("{name}  joins the change that reverts in {seconds} s unless you run `fw-user confirm`\n")
}

/// The rules in force match the interface's file.
#[must_use]
pub(crate) fn saved(name: &str, file: &Path) -> String {
    format!("{name}  saved in {}\n", file.display())
}

/// The interface's file differs. A reboot applies it, or the change stays until somebody does.
#[must_use]
pub(crate) fn not_in_file(name: &str, file: &Path, by_reboot: bool, on_trial: bool) -> String {
    let fix = if on_trial { "to keep it: fw-user confirm, then fw-user save" } else { "to keep it: --save" };
    let undoes = if by_reboot { "a reboot or `fw-user apply`" } else { "`fw-user apply`" };
    format!("{name}  not saved in {}: {undoes} undoes it; {fix}\n", file.display())
}

/// The interface's file cannot be read.
#[must_use]
pub(crate) fn unreadable(name: &str, why: &str) -> String {
    format!("{name}  cannot read the configuration file: {why}\n")
}

/// The same for `monitor` and `enforce`.
#[must_use]
pub(crate) fn terms(name: &str, terms: Terms, changed: bool) -> String {
    let note = if changed { "" } else { " (as before)" };
    if terms.monitors {
        format!("{name}  MONITOR ONLY{note}: verdicts are counted, nothing is dropped; `fw-user enforce` ends that\n")
    } else {
        format!("{name}  enforcing{note}: everything that is not allowed is dropped\n")
    }
}
