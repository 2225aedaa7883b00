//! The command line cannot be carried out.

use std::{io, path::PathBuf};

use fw_common::{compiled::DoesNotFit, grammar::SpecError};
use thiserror::Error;

use super::exit_code;

/// The command line cannot be carried out.
#[derive(Debug, Error)]
pub enum UsageError {
    /// A piece of an allow list is wrong.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The allow list has no entry.
    #[error("the allow list is empty, which would close every port; name the ports to keep open: --allow 22")]
    NothingAllowed,
    /// A word that is not an IP protocol.
    #[error("no IP protocol is called `{0}` in /etc/protocols; write its number, 0 to 255")]
    UnknownProtocol(String),
    /// An IP protocol that `--allow-proto` does not accept.
    #[error("--allow-proto {name}: {why}")]
    ProtocolNotHere {
        /// The value as typed.
        name: String,
        /// Why not, and what instead.
        why: &'static str,
    },
    /// More source networks, or lists of them, than fit.
    #[error(transparent)]
    DoesNotFit(#[from] DoesNotFit),
    /// The rules of an interface with their comments are too long.
    #[error("the rules with their comments have {length} bytes; {longest} is the most; shorten or remove comments")]
    TooLongRules {
        /// Their bytes.
        length: usize,
        /// The most.
        longest: usize,
    },
    /// `/etc/services` or `/etc/protocols` cannot be read.
    #[error("cannot read {path} ({source}); install the package netbase, or write numbers")]
    Names {
        /// The file.
        path: &'static str,
        /// Why.
        source: io::Error,
    },
    /// `deny` of a port that is not open.
    #[error("{rule} is not open on {name}; `fw-user status` shows the open ports")]
    NotOpen {
        /// The rule.
        rule: String,
        name: String,
    },
    /// A port was denied to everyone, but is open only to networks.
    #[error("{rule} is open on {name} only as {}; type: fw-user deny {}", narrower.join(", "), narrower.join(" "))]
    OpenToSome {
        /// The denied rule, as typed.
        rule: String,
        name: String,
        /// The rules that are open.
        narrower: Vec<String>,
    },
    /// A rule that ends was given for ports with a limit or a refusal.
    #[error(
        "{rule}: {name} has `{lasting}` for these ports, which would be gone when the time is over; nothing was changed. To open them for good: fw-user allow {rule}"
    )]
    TimedOverLasting {
        /// The rule.
        rule: String,
        name: String,
        /// The command of the limit or refusal.
        lasting: String,
    },
    /// A rule was given for a part of a refused network.
    #[error(
        "{rule} would stay closed on {name}: `{refusal}` is refused; remove the refusal first: fw-user allow {refusal}"
    )]
    RefusedAround {
        /// The rule.
        rule: String,
        name: String,
        /// The refusal.
        refusal: String,
    },
    /// A set without bans.
    #[error("there is no set `{set}`; {}", if there.is_empty() { "there are no bans".to_owned() } else { format!("the sets are {}", there.join(", ")) })]
    NoSuchSet {
        /// As it was typed.
        set: String,
        /// The names of all.
        there: Vec<String>,
    },
    /// `unban` of what is not banned.
    #[error("{network} is not banned{}; `fw-user bans` lists all bans", set.as_ref().map(|set| format!(" in set {set}")).unwrap_or_default())]
    NotBanned {
        /// The network.
        network: String,
        /// The set in which it was to be unbanned, if only in one.
        set: Option<String>,
    },
    /// `unban` of what only another ban covers.
    #[error("{network} has no ban of its own{}; it is covered by {around}, see `fw-user bans`", set.as_ref().map(|set| format!(" in set {set}")).unwrap_or_default())]
    OnlyCovered {
        /// The network.
        network: String,
        /// The set in which it was to be unbanned, if only in one.
        set: Option<String>,
        /// The ban that covers it, with its set.
        around: String,
    },
    /// The boot service does not read the files of `--config`.
    #[error("the service applies the files in /etc/fw-user; leave out --config {folder}")]
    OtherFolder {
        /// The value as typed.
        folder: PathBuf,
    },
    /// Several interfaces have a filter, and the command needs one.
    #[error("fw is attached to {there}; choose one: --interface {example}")]
    WhichInterface {
        /// All of them.
        there: String,
        /// One of them.
        example: String,
    },
    /// The command line makes no sense, for a reason that the command knows.
    #[error("{0}")]
    Usage(String),
}

impl UsageError {
    /// The exit code of this error.
    #[must_use]
    pub(crate) const fn exit_code(&self) -> u8 {
        match self {
            Self::OtherFolder { .. }
            | Self::NotOpen { .. }
            | Self::OpenToSome { .. }
            | Self::RefusedAround { .. }
            | Self::TimedOverLasting { .. }
            | Self::NoSuchSet { .. }
            | Self::NotBanned { .. }
            | Self::OnlyCovered { .. } => exit_code::FAILED,
            _ => exit_code::USAGE,
        }
    }
}
