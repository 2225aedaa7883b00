//! Who gets an answer from closed ports.

use core::{fmt, str::FromStr};
use std::string::{String, ToString};

use thiserror::Error;

/// The senders that get an answer from closed ports, so that their connections fail at once instead of after a timeout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refuse {
    /// None: a closed port is silent.
    #[default]
    Nobody,
    /// Those on the interface's own link.
    Lan,
}

impl fmt::Display for Refuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nobody => "nobody",
            Self::Lan => "lan",
        })
    }
}

impl FromStr for Refuse {
    type Err = RefuseError;

    /// Read what [`Display`](fmt::Display) writes.
    fn from_str(text: &str) -> Result<Self, RefuseError> {
        match text {
            "nobody" => Ok(Self::Nobody),
            "lan" => Ok(Self::Lan),
            _ => Err(RefuseError(text.to_string())),
        }
    }
}

/// A text is not a value of `refuse`.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{0}` is not nobody or lan")]
pub struct RefuseError(String);
