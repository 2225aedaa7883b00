//! A guest: booted, listened to until it has said how its tests ended, and switched off.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};
use fw_tests::{lab::process::Process, vm::PATIENCE};

use super::{
    image::Image,
    machine::{self, Machine},
};

/// How many of the last lines are told when it dies.
const LAST_LINES: usize = 30;
/// The guest's last message before the exit code of its tests.
const END: &str = "ended: ";

/// A guest, ready to boot.
pub(super) struct Guest<'a> {
    pub(super) machine: Machine,
    pub(super) architecture: &'a str,
    pub(super) image: &'a Image,
    pub(super) initrd: &'a Path,
    /// Words for the kernel's command line; those of the form `name=value` become variables of the first program.
    pub(super) words: &'a str,
}

impl Guest<'_> {
    fn qemu(&self) -> Result<Command> {
        let mut qemu = machine::qemu(self.architecture);
        let console = self.machine.describe(&mut qemu, self.architecture, &self.image.trees)?;
        qemu.arg("-no-reboot").arg("-kernel").arg(&self.image.kernel).arg("-initrd").arg(self.initrd);
        qemu.args(["-append", &format!("console={console} panic=-1 quiet loglevel=1 net.ifnames=0 {}", self.words)]);
        Ok(qemu)
    }

    /// Boot it, and have every line that it says read. Returns whether its tests succeeded, in words where they did not.
    pub(super) fn run(&self, mut read: impl FnMut(&str)) -> Result<Result<(), String>> {
        let (said, pipe) = std::io::pipe().context("cannot make a pipe")?;
        let mut qemu = self.qemu()?;
        qemu.stdin(Stdio::null()).stdout(pipe.try_clone()?).stderr(pipe);
        let _running = Process::start(&mut qemu)?;
        // It holds the pipe's other end.
        drop(qemu);
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            let lines = BufReader::new(said).split(b'\n').map_while(std::io::Result::ok);
            // Nobody listens any more once the guest has said how it ended.
            lines.map(|line| sender.send(line)).find(std::result::Result::is_err)
        });
        let mut last = Vec::new();
        loop {
            let line = match lines.recv_timeout(PATIENCE) {
                Ok(line) => String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned(),
                Err(mpsc::RecvTimeoutError::Timeout) => return Ok(Err(tail(&last, &silence()))),
                Err(mpsc::RecvTimeoutError::Disconnected) => return Ok(Err(tail(&last, "it ended before its tests"))),
            };
            if let Some(code) = line.strip_prefix(END) {
                let code = code.trim();
                return Ok(if code == "0" { Ok(()) } else { Err(format!("its tests ended with {code}")) });
            }
            read(&line);
            last.push(line);
        }
    }
}

fn silence() -> String {
    format!("it was silent for {} s", Duration::as_secs(&PATIENCE))
}

fn tail(lines: &[String], what: &str) -> String {
    format!("{what}, and last said\n{}", lines[lines.len().saturating_sub(LAST_LINES)..].join("\n"))
}
