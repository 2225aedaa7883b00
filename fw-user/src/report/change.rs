//! What `allow`, `deny`, `monitor` and `enforce` came to.

use std::path::Path;

use fw_common::policy::Policy;

use super::open_ports;
use crate::bpf::policy_map::Terms;

/// For one interface.
#[must_use]
pub fn text(name: &str, policy: &Policy, changed: bool) -> String {
    let note = if changed { "" } else { " (as before)" };
    format!("{name}  open: {}{note}\n", open_ports(policy))
}

/// What is in force stands in the interface's file.
#[must_use]
pub fn saved(name: &str, file: &Path) -> String {
    format!("{name}  saved in {}\n", file.display())
}

/// The interface's file says otherwise.
#[must_use]
pub fn not_in_file(name: &str, file: &Path, on_trial: bool) -> String {
    let cure = if on_trial { "once it is confirmed, `fw-user save` puts it there" } else { "--save puts it there" };
    format!("{name}  not in {}: a reboot or `fw-user apply` takes it back; {cure}\n", file.display())
}

/// The interface's file cannot be read.
#[must_use]
pub fn unreadable(name: &str, why: &str) -> String {
    format!("{name}  whether its file says so too cannot be read: {why}\n")
}

/// The same of `monitor` and `enforce`.
#[must_use]
pub fn terms(name: &str, terms: Terms, changed: bool) -> String {
    let note = if changed { "" } else { " (as before)" };
    if terms.monitors {
        format!(
            "{name}  MONITOR ONLY{note}: everything is judged and counted, nothing is dropped; `fw-user enforce` ends that\n"
        )
    } else {
        format!("{name}  enforcing{note}: what is not allowed is dropped\n")
    }
}
