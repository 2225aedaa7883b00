//! Programs that go on while the test does something else, and what they say meanwhile.

use std::{
    fs::{self, File},
    path::PathBuf,
    process::{Command, ExitStatus, Stdio},
};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::{Lab, process::Process, wait};

/// A program whose output goes to a file. It is killed when dropped.
#[derive(Debug)]
pub struct Background {
    /// The program.
    pub process: Process,
    folder: TempDir,
}

impl Background {
    /// Start it.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(command: &mut Command) -> Result<Self> {
        let folder = TempDir::with_prefix("fw-lab-said-")?;
        let log = File::create_new(folder.path().join("said"))?;
        let process = Process::start(command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log))?;
        Ok(Self { process, folder })
    }

    /// Everything that it has said, on standard output and standard error.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn said(&self) -> Result<String> {
        fs::read_to_string(self.log()).context("cannot read what a program said")
    }

    /// Wait until it has said something, and return everything so far.
    ///
    /// # Errors
    /// It ends before, or does not say it.
    pub fn await_said(&mut self, words: &str) -> Result<String> {
        let heard = wait::until(format!("{words:?}"), || {
            let ended = self.process.ended()?;
            let said = self.said()?;
            if said.contains(words) {
                return Ok(Some(said));
            }
            match ended {
                Some(status) => bail!("it ended with {status}"),
                None => Ok(None),
            }
        });
        heard.with_context(|| format!("it said {:?}", self.said().unwrap_or_default()))
    }

    /// Wait until it has ended, as it should, and return everything that it has said.
    ///
    /// # Errors
    /// It fails, or does not end.
    pub fn await_success(&mut self) -> Result<String> {
        let status = self.process.await_end()?;
        let said = self.said()?;
        ensure!(status.success(), "{status}: {said}");
        Ok(said)
    }

    /// Send it a signal, and wait until it has ended.
    ///
    /// # Errors
    /// It has ended already, or does not end.
    pub fn end(&mut self, signal: Signal) -> Result<ExitStatus> {
        self.process.signal(signal)?;
        self.process.await_end()
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("said")
    }
}

impl Lab {
    /// Start an `fw-user` on the Pi that goes on.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn fw_background(&self, args: &[&str]) -> Result<Background> {
        Background::start(&mut self.fw.command(&self.pi, args))
    }

    /// Start an `fw-user` that finds the lock held, and wait until it is there.
    ///
    /// # Errors
    /// It does not get there.
    pub fn fw_at_lock(&self, args: &[&str]) -> Result<Background> {
        let started = self.fw_background(args)?;
        self.fw.await_at_lock(started.process.id())?;
        Ok(started)
    }
}
