//! The events to watch for in a guest while the peer sends without pause.

use anyhow::{Context, Result, ensure};

use super::{
    machine::Machine,
    patience::PATIENCE,
    peer::{self, Cable},
};
use crate::lab::wait;

impl Machine {
    /// How many datagrams with this text reached a port since the guest booted. A [`Cable`]'s name is the text of what comes through it.
    ///
    /// # Errors
    /// Nobody listens there.
    pub fn heard(&mut self, port: u16, text: &str) -> Result<u64> {
        let (said, code) = self.try_run(&format!("grep --count --line-regexp {text} /run/heard-{port}"))?;
        // 1: there is none.
        ensure!(code <= 1, "grep ended with {code}: {said}");
        said.trim().parse().with_context(|| format!("grep says {said}"))
    }

    /// Watch the listeners while many datagrams arrive at the open port through a cable; returns whether none arrives at the other.
    ///
    /// # Errors
    /// None comes to the open port either.
    pub fn is_closed(&mut self, cable: &Cable) -> Result<bool> {
        let (open, closed) = (self.heard(peer::OPEN, cable.name)?, self.heard(peer::CLOSED, cable.name)?);
        wait::within(PATIENCE, "datagrams at the open port", || {
            Ok((self.heard(peer::OPEN, cable.name)? > open + 100).then_some(()))
        })?;
        Ok(self.heard(peer::CLOSED, cable.name)? == closed)
    }

    /// The boot is over and no unit failed.
    ///
    /// # Errors
    /// One did.
    pub fn is_running(&mut self) -> Result<()> {
        let failed = self.run("systemctl --failed --no-legend --plain")?;
        ensure!(failed.is_empty(), "failed: {failed}{}", self.run("journalctl --boot --no-pager --unit 'fw-user*'")?);
        let system = self.run("systemctl is-system-running")?;
        ensure!(system.trim() == "running", "the system is {system}");
        Ok(())
    }

    /// The failure, and the guest's log meanwhile.
    ///
    /// # Errors
    /// Those of `result`.
    pub fn with_journal(&mut self, result: Result<()>) -> Result<()> {
        let Err(error) = result else { return Ok(()) };
        let journal = self.run("journalctl --boot --no-pager --output=short-monotonic")?;
        Err(error.context(journal))
    }
}
