//! What a command may do, checked before it tries.

use caps::{CapSet, Capability};

use crate::{Error, Result};

/// The capabilities that every command needs: to use BPF objects, to read packet memory, to attach to interfaces.
/// `CAP_SYS_ADMIN` stands for the first two, as before Linux 5.8.
const NEEDED: [(Capability, bool); 3] =
    [(Capability::CAP_BPF, true), (Capability::CAP_PERFMON, true), (Capability::CAP_NET_ADMIN, false)];

/// Check that the capabilities are there.
///
/// # Errors
/// [`Error::Privilege`] with the names of those that are not.
pub fn check() -> Result<()> {
    let has = |capability| caps::has_cap(None, CapSet::Effective, capability).unwrap_or(false);
    let is_admin = has(Capability::CAP_SYS_ADMIN);
    let missing: Vec<String> = NEEDED
        .into_iter()
        .filter(|&(capability, is_part_of_admin)| !(has(capability) || is_part_of_admin && is_admin))
        .map(|(capability, _)| capability.to_string())
        .collect();
    if missing.is_empty() { Ok(()) } else { Err(Error::Privilege { missing: missing.join(", ") }) }
}
