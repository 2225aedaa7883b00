//! The errors, by layer. Each names its object and the fix, and knows its exit code.

pub(crate) mod capture;
mod config;
pub mod exit_code;
mod host;
mod kernel;
mod safeguard;
mod usage;

use std::{io, path::PathBuf};

use fw_common::{compiled::DoesNotFit, grammar::SpecError};
use thiserror::Error;

pub(crate) use config::place;
pub(crate) use config::{ConfigError, Mistake, Mistakes};
pub(crate) use host::HostError;
pub(crate) use kernel::KernelError;
pub(crate) use safeguard::SafeguardError;
pub(crate) use usage::UsageError;

/// Short for a result with this crate's error.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a command failed.
#[derive(Debug, Error)]
pub enum Error {
    /// The command line cannot be carried out.
    #[error(transparent)]
    Usage(#[from] UsageError),
    /// A configuration file is wrong, missing or cannot be written.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A safeguard refuses a change, or undoes it.
    #[error(transparent)]
    Safeguard(#[from] SafeguardError),
    /// The machine lacks something or refuses it.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The filter or the kernel refuses.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// The rest of a command failed after it had changed something.
    #[error("{source}\n{what}; `fw-user status` shows the rules in force")]
    Changed {
        /// The part that was changed.
        what: String,
        /// Why the rest failed.
        source: Box<Error>,
    },
    /// Output could not be written.
    #[error("cannot write the output: {0}")]
    Output(#[from] io::Error),
}

impl Error {
    /// The kernel's refusal of `what`. Libraries wrap its message in their own; all of them are kept.
    pub(crate) fn refused(
        what: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        let source = source.into();
        let mut words = source.to_string();
        let mut cause = source.source();
        while let Some(error) = cause {
            let more = error.to_string();
            if !words.contains(&more) {
                words = format!("{words}: {more}");
            }
            cause = error.source();
        }
        Self::Kernel(KernelError::Refused { what: what.into(), source: words.into() })
    }

    /// Files that fw-user did not create.
    #[must_use]
    pub(crate) fn not_ours(paths: &[PathBuf]) -> Self {
        let paths: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
        Self::Kernel(KernelError::NotOurs { paths: paths.join(" ") })
    }

    /// The same failure, after a change that stays.
    #[must_use]
    pub(crate) fn after(self, what: impl Into<String>) -> Self {
        match self {
            Self::Changed { .. }
            | Self::Safeguard(SafeguardError::NotConfirmed { .. } | SafeguardError::DetachedMeanwhile { .. }) => self,
            source => Self::Changed { what: what.into(), source: Box::new(source) },
        }
    }

    /// Whether the only problem is that an interface has no file, or is gone.
    #[must_use]
    pub(crate) const fn is_for_nobody(&self) -> bool {
        matches!(
            self,
            Self::Config(ConfigError::NoFile { .. } | ConfigError::LeftOut { .. } | ConfigError::NotOutside { .. })
                | Self::Host(HostError::UnknownInterface { .. })
        )
    }

    /// The process' exit code.
    #[must_use]
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(error) => error.exit_code(),
            Self::Config(error) => error.exit_code(),

            Self::Host(error) => error.exit_code(),
            Self::Kernel(error) => error.exit_code(),
            Self::Changed { .. } => exit_code::CHANGED,
            Self::Safeguard(_) | Self::Output(_) => exit_code::FAILED,
        }
    }
}

impl From<SpecError> for Error {
    fn from(error: SpecError) -> Self {
        Self::Usage(error.into())
    }
}

impl From<DoesNotFit> for Error {
    fn from(error: DoesNotFit) -> Self {
        Self::Usage(error.into())
    }
}
