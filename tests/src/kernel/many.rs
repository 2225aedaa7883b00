//! Many frames in one situation, as quickly as the kernel can be asked.

use std::time::Duration;

use anyhow::{Result, ensure};
use fw_common::Reason;

use super::{
    Kernel,
    counters::{Ports, one_reason_since},
};
use crate::{oracle::Situation, row::Ban};

/// The results for frames.
pub struct Received {
    /// Why each passed or dropped.
    pub reasons: Vec<Reason>,
    /// The counters of TCP and UDP ports.
    pub ports: Ports,
}

impl Kernel {
    /// Bring a situation about.
    ///
    /// # Errors
    /// Whatever the kernel refuses.
    pub fn enter(&mut self, situation: &Situation) -> Result<()> {
        self.prepare(&situation.policy, situation.routing())?;
        let bans: Vec<Ban> = situation.banned.iter().map(|&network| Ban { network, lasts: None }).collect();
        self.ban(&bans, Duration::ZERO)?;
        for sent in &situation.sent {
            self.send(&sent.frame())?;
        }
        // Only what was read is forgotten with the situation.
        self.flows.read_sent().map(drop)
    }

    /// Have frames come in, one after the other, and say what became of them by the counters.
    ///
    /// # Errors
    /// Whatever the kernel refuses; a verdict or a count that contradicts the reason.
    pub fn receive_all<F: AsRef<[u8]>>(&mut self, frames: &[F]) -> Result<Received> {
        let before = self.counters.read()?;
        let reasons = frames.iter().map(|frame| self.receive_one(frame.as_ref())).collect::<Result<_>>()?;
        let after = self.counters.read()?;
        let ports = after.ports_since(&before);
        self.counted = after;
        Ok(Received { reasons, ports })
    }

    fn receive_one(&mut self, frame: &[u8]) -> Result<Reason> {
        let before = self.counters.reasons()?;
        let verdict = self.receive(frame)?;
        let reason = one_reason_since(&before, &self.counters.reasons()?, frame.len())?;
        ensure!(reason.verdict() == verdict, "it says {verdict}, but counts {reason}");
        Ok(reason)
    }
}
