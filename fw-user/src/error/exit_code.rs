//! Exit codes of `fw-user`, for scripts.

/// Done.
pub const DONE: u8 = 0;
/// Failed; nothing was changed.
pub const FAILED: u8 = 1;
/// The command line is not understood.
pub const USAGE: u8 = 2;
/// Another program holds the interface.
pub const TAKEN: u8 = 3;
/// A privilege is missing.
pub const PRIVILEGE: u8 = 4;
/// Changed in part, or changed and not reported.
pub const CHANGED: u8 = 5;
/// `status --check`: an outside interface is not filtered.
pub const NOT_FILTERED: u8 = 6;

/// Each code with its meaning, as in the manuals.
pub const ALL: [(u8, &str); 7] = [
    (DONE, "done"),
    (FAILED, "failed; nothing was changed"),
    (USAGE, "the command line is not understood"),
    (TAKEN, "the interface is taken by another XDP program"),
    (
        PRIVILEGE,
        "a privilege is missing: `CAP_BPF`, `CAP_PERFMON` and `CAP_NET_ADMIN` are needed, root on the host has them",
    ),
    (CHANGED, "changed in part, or changed and not reported"),
    (NOT_FILTERED, "`status --check`: an outside interface has an address and no filter, or a filter is gone"),
];
