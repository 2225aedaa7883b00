//! The privileges of a command, checked before it starts.

use std::{fs, os::unix::fs::MetadataExt};

use caps::{CapSet, Capability};

use crate::error::{Error, HostError, Result};

/// The capabilities that every command needs: to use BPF objects, to read packet memory, to attach to interfaces. `CAP_SYS_ADMIN` includes the first
/// two, as before Linux 5.8.
const NEEDED: [(Capability, bool); 3] =
    [(Capability::CAP_BPF, true), (Capability::CAP_PERFMON, true), (Capability::CAP_NET_ADMIN, false)];

/// The inode of the initial user namespace, the same in every kernel since 3.8 (`PROC_USER_INIT_INO`, `include/linux/proc_ns.h`).
const INITIAL_USER_NAMESPACE: u64 = 0xEFFF_FFFD;

/// Check that the process has the capabilities, and is in the initial user namespace: in any other the kernel ignores them (`bpf_capable`,
/// kernel/bpf/syscall.c). The map of user IDs does not show this, because a container's may be the same.
pub(crate) fn check() -> Result<()> {
    // A kernel without user namespaces has only the initial one, and no such file.
    if fs::metadata("/proc/self/ns/user").is_ok_and(|namespace| namespace.ino() != INITIAL_USER_NAMESPACE) {
        return Err(Error::Host(HostError::UserNamespace));
    }
    let has = |capability| caps::has_cap(None, CapSet::Effective, capability).unwrap_or(false);
    let is_admin = has(Capability::CAP_SYS_ADMIN);
    let missing: Vec<String> = NEEDED
        .into_iter()
        .filter(|&(capability, is_part_of_admin)| !(has(capability) || is_part_of_admin && is_admin))
        .map(|(capability, _)| capability.to_string())
        .collect();
    if missing.is_empty() { Ok(()) } else { Err(Error::Host(HostError::Privilege { missing: missing.join(", ") })) }
}
