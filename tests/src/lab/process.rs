//! Programs that run beside a test and end with it.

use std::{
    process::{Child, Command, ExitStatus},
    thread,
};

use anyhow::{Context, Result};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::wait;

/// A running program. It is killed when dropped.
#[derive(Debug)]
pub struct Process(Child);

impl Process {
    /// Start a program.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(command: &mut Command) -> Result<Self> {
        Ok(Self(command.spawn().with_context(|| format!("cannot start {command:?}"))?))
    }

    /// Its process ID.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Send it a signal.
    ///
    /// # Errors
    /// It has ended already.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill(self.pid()?, signal).with_context(|| format!("cannot send {signal}"))
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// The kernel's.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.0.try_wait()?)
    }

    /// Wait until it has ended.
    ///
    /// # Errors
    /// It does not end.
    pub fn await_end(&mut self) -> Result<ExitStatus> {
        wait::until("a program to end", || self.ended())
    }

    /// Ask it to end, and wait until it has.
    ///
    /// # Errors
    /// It has ended already, or does not end.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        self.signal(Signal::SIGTERM)?;
        self.await_end()
    }

    fn pid(&self) -> Result<Pid> {
        Ok(Pid::from_raw(self.0.id().try_into()?))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let killed = self.0.kill().and_then(|()| self.0.wait());
        assert!(killed.is_ok() || thread::panicking(), "a process that was started cannot be killed: {killed:?}");
    }
}
