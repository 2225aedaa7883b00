//! Programs on a terminal.

use std::{
    fs::File,
    io::{Read, Write},
    os::fd::AsFd,
    process::Command,
};

use anyhow::{Result, ensure};
use nix::{
    fcntl::{FcntlArg, FdFlag, fcntl},
    poll::{PollFd, PollFlags, PollTimeout, poll},
    pty::{Winsize, openpty},
};

use super::{process::Process, wait::PATIENCE};

/// A program on a terminal of its own, 120 columns wide, and its output. Dropping it closes the terminal.
pub struct OnTerminal {
    /// The program.
    pub program: Process,
    screen: File,
}

impl OnTerminal {
    /// Start a program there.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(command: &mut Command) -> Result<Self> {
        let size = Winsize { ws_row: 40, ws_col: 120, ws_xpixel: 0, ws_ypixel: 0 };
        let terminal = openpty(Some(&size), None)?;
        for end in [&terminal.master, &terminal.slave] {
            // Children of other tests would keep the terminal open, and an open terminal sends no hangup.
            fcntl(end, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
        }
        command.env("TERM", "xterm-256color");
        command.stdin(terminal.slave.try_clone()?).stdout(terminal.slave.try_clone()?).stderr(terminal.slave);
        let program = Process::start(command)?;
        // The command holds the other end open as well.
        command
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null());
        Ok(Self { program, screen: terminal.master.into() })
    }

    /// Take the terminal away, as a lost ssh session does. It is not the controlling one, so that no SIGHUP comes.
    #[must_use]
    pub fn close(self) -> Process {
        self.program
    }

    /// Type something.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn write(&mut self, text: &str) -> Result<()> {
        Ok(self.screen.write_all(text.as_bytes())?)
    }

    /// Everything that was printed and not read yet.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn read_what_is_there(&mut self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut buffer = [0; 4096];
        while poll(&mut [PollFd::new(self.screen.as_fd(), PollFlags::POLLIN)], PollTimeout::ZERO)? == 1 {
            let length = self.screen.read(&mut buffer)?;
            bytes.extend_from_slice(&buffer[..length]);
        }
        Ok(bytes)
    }

    /// Everything that is printed until it satisfies, or until the end.
    ///
    /// # Errors
    /// Nothing more comes, and the program does not end either.
    pub fn read_until(&mut self, enough: impl Fn(&str) -> bool) -> Result<String> {
        let mut text = String::new();
        let mut buffer = [0; 4096];
        while !enough(&text) {
            let ready =
                poll(&mut [PollFd::new(self.screen.as_fd(), PollFlags::POLLIN)], PollTimeout::try_from(PATIENCE)?)?;
            ensure!(ready == 1, "nothing more comes after {text:?}");
            // The other end of a terminal is reported as an error, not as the end of a file.
            let Ok(length @ 1..) = self.screen.read(&mut buffer) else { break };
            text += std::str::from_utf8(&buffer[..length])?;
        }
        Ok(text)
    }
}
