//! The modes of `fw-user`, and its refusals.

use std::{fmt, process::Output};

use anyhow::{Context, Result, ensure};

/// The mode of the filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// In the driver.
    Native,
    /// In the network stack.
    Generic,
    /// At TC ingress.
    Tc,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Native => "native",
            Self::Generic => "generic",
            Self::Tc => "tc",
        })
    }
}

/// A command that failed, as it should.
#[derive(Debug)]
pub struct Refusal {
    /// The exit code.
    pub code: i32,
    /// Its standard error.
    pub message: String,
}

impl Refusal {
    /// The result of a program that must fail.
    ///
    /// # Errors
    /// It did succeed, was killed, or printed something on standard output.
    pub fn of(output: &Output) -> Result<Self> {
        let said = String::from_utf8_lossy(&output.stdout);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(!output.status.success(), "succeeded, and said {said:?} {message:?}");
        ensure!(said.is_empty(), "failed, but said on standard output {said:?}");
        Ok(Self { code: output.status.code().with_context(|| format!("killed: {}", output.status))?, message })
    }
}
