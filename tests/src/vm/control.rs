//! The line to the guest on which commands go in and their output comes out.

use std::{
    io::{BufRead, BufReader, ErrorKind, Write},
    os::unix::net::UnixStream,
    path::Path,
};

use anyhow::{Context, Result, bail};

use super::patience::PATIENCE;
use crate::lab::wait;

/// The first output of the guest's script, and the mark before each exit code.
const MARK: &str = "== ";

#[derive(Debug)]
pub(super) struct Control(BufReader<UnixStream>);

impl Control {
    /// Connect to the socket that qemu opens.
    pub(super) fn connect(path: &Path) -> Result<Self> {
        let stream = wait::until("qemu to listen", || Ok(UnixStream::connect(path).ok()))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Wait until the guest is up and reads commands.
    pub(super) fn await_ready(&mut self) -> Result<()> {
        while self.line()? != "== ready" {}
        Ok(())
    }

    /// Send a command line, and wait for nothing.
    pub(super) fn send(&mut self, line: &str) -> Result<()> {
        Ok(self.0.get_mut().write_all(format!("{line}\n").as_bytes())?)
    }

    /// Run a command line, and return what it printed and its exit code.
    pub(super) fn run(&mut self, line: &str) -> Result<(String, u8)> {
        self.send(line)?;
        let mut output = String::new();
        loop {
            let line = self.line()?;
            if let Some(code) = line.strip_prefix(MARK) {
                return Ok((output, code.parse().with_context(|| format!("the guest says `{line}`"))?));
            }
            output.push_str(&line);
            output.push('\n');
        }
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        match self.0.read_line(&mut line) {
            Ok(0) => bail!("the guest is gone"),
            Ok(_) => Ok(line.trim_end().to_owned()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => bail!("the guest was silent for {PATIENCE:?}"),
            Err(error) => Err(error.into()),
        }
    }
}
