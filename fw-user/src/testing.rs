//! The parts of the program that this project's tests, benches and packages use. It changes without notice.

#[cfg(feature = "metrics")]
pub use crate::cmd::metrics::ports;
#[cfg(feature = "screen")]
pub use crate::cmd::stats::screen;
pub use crate::{
    cmd::{cli, completions},
    config::{Settings, check, edit, parse},
    error::exit_code,
    host::{interface, systemd::files},
    kernel::{
        attach::{attachment, egress, ingress, links, plan, spare},
        bpffs, dry_run,
        maps::{bans, batch, counters, flows, policy_map, sources, uppers},
        meta, mount, object,
        object::OBJECT,
        pins, plain, shape,
    },
    packet::headers,
    report::reasons,
};
