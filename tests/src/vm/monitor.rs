//! qemu's own line (QMP), on which network cards are plugged in and pulled out.

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::Path,
};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::patience::PATIENCE;
use crate::lab::wait;

#[derive(Debug)]
pub(super) struct Monitor {
    stream: BufReader<UnixStream>,
    /// What qemu told while an answer was awaited.
    events: Vec<Value>,
}

impl Monitor {
    /// Connect to the socket that qemu opens, and leave the state in which it only negotiates.
    pub(super) fn connect(path: &Path) -> Result<Self> {
        let stream = wait::until("qemu to listen", || Ok(UnixStream::connect(path).ok()))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut monitor = Self { stream: BufReader::new(stream), events: Vec::new() };
        let greeting = monitor.read()?;
        greeting.get("QMP").with_context(|| format!("qemu greets with {greeting}"))?;
        monitor.execute("qmp_capabilities", &json!({}))?;
        Ok(monitor)
    }

    /// Have qemu carry out a command.
    pub(super) fn execute(&mut self, command: &str, arguments: &Value) -> Result<()> {
        let line = json!({ "execute": command, "arguments": arguments });
        self.stream.get_mut().write_all(format!("{line}\n").as_bytes())?;
        loop {
            let answer = self.read()?;
            if answer.get("return").is_some() {
                return Ok(());
            }
            if answer.get("error").is_some() {
                bail!("qemu answers {line} with {answer}");
            }
            self.events.push(answer);
        }
    }

    /// Wait until qemu tells of an event to a device.
    pub(super) fn await_event(&mut self, name: &str, device: &str) -> Result<()> {
        let is_it = |event: &Value| event["event"] == name && event["data"]["device"] == device;
        loop {
            if let Some(at) = self.events.iter().position(is_it) {
                self.events.swap_remove(at);
                return Ok(());
            }
            let event = self.read().with_context(|| format!("no {name} of {device}; {:?}", self.events))?;
            self.events.push(event);
        }
    }

    fn read(&mut self) -> Result<Value> {
        let mut line = String::new();
        let count = self.stream.read_line(&mut line).context("qemu's monitor is silent")?;
        if count == 0 {
            bail!("qemu is gone");
        }
        serde_json::from_str(&line).with_context(|| format!("qemu says {line:?}"))
    }
}
