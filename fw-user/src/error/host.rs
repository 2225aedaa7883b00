//! The machine lacks something or refuses it.

use std::{io, net::SocketAddr, path::PathBuf};

use thiserror::Error;

use super::exit_code;

use crate::error::capture::CaptureError;

/// The machine lacks something or refuses it.
#[derive(Debug, Error)]
pub enum HostError {
    /// No such interface.
    #[error("there is no interface `{name}` here; there is {there}")]
    UnknownInterface {
        /// The value as typed.
        name: String,
        /// The existing interfaces.
        there: String,
    },
    /// No interface has this number.
    #[error("no interface has the number {index}; `ip link` prints the numbers")]
    UnknownNumber {
        /// The value as typed.
        index: u32,
    },
    /// Capabilities are missing.
    #[error("this needs {missing}; run it with sudo")]
    Privilege {
        /// The capabilities, by name.
        missing: String,
    },
    /// Capabilities do not count here.
    #[error(
        "this process is in a user namespace: attach on the host; CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN count only in the initial user \
         namespace, and an unprivileged container is in another"
    )]
    UserNamespace,
    /// The boot service of an interface is not installed.
    #[error("no service is installed for {name}; `fw-user service install {name}` installs it")]
    NoService { name: String },
    /// One interface cannot be taken from the service for all.
    #[error(
        "{name} is attached at boot by fw-user-all.service, as every outside interface; `fw-user disable` ends that for all of them; \
         to leave out only {name}, add except = [\"{name}\"] to the file with the pattern"
    )]
    ServiceForAll { name: String },
    /// The machine runs without systemd.
    #[error("this system was not started by systemd; have yours run `fw-user apply --force` before the network starts")]
    NoSystemd,
    /// A boot service would attach to the interfaces of another network namespace.
    #[error(
        "systemd runs in another network namespace, and a boot service is for the interfaces there; have what makes this namespace run \
         `fw-user apply --force`"
    )]
    OtherNetwork,
    /// The program is where a service could not start it.
    #[error(
        "a service must not start this program from {path}; install it first (sudo install -m 755 {path} \
         /usr/local/sbin/) and repeat the command with /usr/local/sbin/fw-user"
    )]
    ProgramElsewhere {
        /// Its path.
        path: PathBuf,
    },
    /// Users other than root can replace the program.
    #[error(
        "a boot service must not start {path}, because users other than root can replace it: {why}; install it (sudo install -m 755 {path} \
         /usr/local/sbin/) and repeat the command with /usr/local/sbin/fw-user"
    )]
    ProgramNotRoots {
        /// Its path.
        path: PathBuf,
        /// The folder or file that is the reason.
        why: String,
    },
    /// A unit or rule was changed by somebody else.
    #[error(
        "{path} was edited, or an older version wrote it; nothing was changed. Put your changes into `systemctl edit fw-user@.service`, \
         then: rm {path}"
    )]
    Edited {
        /// The file.
        path: PathBuf,
    },
    /// A system program failed.
    #[error("`{command}` failed: {complaint}")]
    Program {
        /// The command.
        command: String,
        /// Its message.
        complaint: String,
    },
    /// The address to listen on is not available.
    #[error("cannot listen on {address} ({source}); {}", listen_fix(source))]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The doctor found problems.
    #[error("{count} {}", if *count == 1 { "problem; see the fix below it" } else { "problems; see the fix below each" })]
    NotWell {
        /// How many.
        count: usize,
    },
    /// `status --check` found an interface without a filter.
    #[error("not filtered: {names}; `fw-user status` prints what is open there, and the fix")]
    NotFiltered {
        /// The interfaces.
        names: String,
    },
    /// `attach --all` found nothing to filter.
    #[error("no outside interface is here that fw can filter{}", notes.iter().flat_map(|note| ["\n", note]).collect::<String>())]
    NothingOutside {
        /// Notes on what was left out.
        notes: Vec<String>,
    },
    /// A file of packets cannot be read.
    #[error("{file}: {source}")]
    Capture {
        /// The file.
        file: String,
        /// The problem.
        source: CaptureError,
    },
    /// A file system operation failed.
    #[error("{what} {path}: {source}")]
    File {
        /// The operation.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

impl HostError {
    /// The exit code of this error.
    #[must_use]
    pub(crate) const fn exit_code(&self) -> u8 {
        match self {
            Self::Privilege { .. } | Self::UserNamespace => exit_code::PRIVILEGE,
            Self::NotFiltered { .. } => exit_code::NOT_FILTERED,
            _ => exit_code::FAILED,
        }
    }
}

/// The fix for an address that is not available.
fn listen_fix(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::AddrInUse => "another program has that port (`ss -tlnp` names it): choose one with --listen",
        io::ErrorKind::AddrNotAvailable => "no interface has that address: choose one with --listen",
        _ => "choose another address with --listen",
    }
}
