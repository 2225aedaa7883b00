//! A real terminal: a shell in tmux, whose screen can be read and resized, and on which keys can be pressed.

use std::{
    fmt::Display,
    io::ErrorKind,
    process::{Command, Stdio},
};

use anyhow::{Context, Result};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::TempDir;

use super::{Namespace, command, skip::Missing, wait};

/// The shell's prompt.
const PROMPT: &str = "lab$ ";

/// A terminal with a shell. Dropping it closes the terminal.
pub struct Tmux {
    home: TempDir,
}

impl Tmux {
    /// Start a shell in a namespace, on a terminal of 80 columns and 24 lines, with these variables besides.
    ///
    /// # Errors
    /// [`Missing`] where tmux is not installed.
    pub fn start(place: &Namespace, variables: &[(&str, &str)]) -> Result<Self> {
        match Command::new("tmux").arg("-V").stdout(Stdio::null()).status() {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(Missing("no tmux: apt install tmux".to_owned()).into());
            }
            status => drop(status.context("cannot run tmux")?),
        }
        let tmux = Self { home: TempDir::with_prefix("fw-lab-tmux-")? };
        let mut session = tmux.tmux();
        session.args(["new-session", "-d", "-x", "80", "-y", "24", "--", "env"]);
        session.args(["-u", "NO_COLOR", "-u", "LC_ALL", "-u", "LC_CTYPE", "LANG=C.UTF-8"]);
        session.arg(format!("PS1={PROMPT}"));
        session.args(variables.iter().map(|(name, value)| format!("{name}={value}")));
        // dash asks for no terminal's answers, and reads no file of the user's.
        session.args(["nsenter", &format!("--net={}", place.path()), "--", "sh"]);
        command::run(&mut session)?;
        tmux.await_shell()?;
        Ok(tmux)
    }

    fn tmux(&self) -> Command {
        let mut command = Command::new("tmux");
        command.args(["-u", "-f", "/dev/null", "-S"]).arg(self.home.path().join("socket"));
        command.env("LC_ALL", "C.UTF-8").env_remove("TMUX");
        command
    }

    fn run(&self, args: &[&str]) -> Result<String> {
        command::run(self.tmux().args(args))
    }

    /// Wait until the shell wants a command: what is typed earlier is the running program's.
    ///
    /// # Errors
    /// It waits for something else.
    pub fn await_shell(&self) -> Result<()> {
        // A terminal that nobody draws on echoes Ctrl-C before it.
        self.await_screen("the shell", |screen| screen.trim_end().ends_with(PROMPT.trim_end())).map(drop)
    }

    /// Type text in the shell, and wait until the screen shows it after the prompt. A key that is pressed earlier may reach a shell that
    /// is still starting; and until then the screen shows an empty prompt, as if the shell were done with the text.
    ///
    /// # Errors
    /// It waits for something else.
    pub fn write(&self, text: &str) -> Result<()> {
        self.await_shell()?;
        self.run(&["send-keys", "-l", "--", text])?;
        let typed = without_spaces(text);
        self.await_screen(format!("{text:?} after the prompt"), |screen| {
            let screen = without_spaces(screen);
            screen.rsplit_once(PROMPT.trim_end()).is_some_and(|(_, line)| line.starts_with(&typed))
        })
        .map(drop)
    }

    /// Type a command in the shell, and press enter.
    ///
    /// # Errors
    /// It waits for something else.
    pub fn enter(&self, line: &str) -> Result<()> {
        self.write(line)?;
        self.press("Enter")
    }

    /// Press a key, as tmux calls it: `q`, `Tab`, `C-c`.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn press(&self, key: &str) -> Result<()> {
        self.run(&["send-keys", key]).map(drop)
    }

    /// Change the terminal's size.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn resize(&self, columns: u16, lines: u16) -> Result<()> {
        self.run(&["resize-window", "-x", &columns.to_string(), "-y", &lines.to_string()]).map(drop)
    }

    /// The contents of the screen.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn screen(&self) -> Result<String> {
        self.run(&["capture-pane", "-p"])
    }

    /// The same with the escape codes of its colours.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn coloured_screen(&self) -> Result<String> {
        self.run(&["capture-pane", "-p", "-e"])
    }

    /// Whether a program draws on a screen of its own, beside that of the shell, or hides the cursor.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn is_drawn_on(&self) -> Result<bool> {
        Ok(self.run(&["display-message", "-p", "#{alternate_on} #{cursor_flag}"])?.trim() != "0 1")
    }

    /// Wait until the screen is as wanted, and return it.
    ///
    /// # Errors
    /// It does not get so; the message shows what stands there instead.
    pub fn await_screen(&self, what: impl Display, fits: impl Fn(&str) -> bool) -> Result<String> {
        let mut last = String::new();
        let found = wait::until(what, || {
            last = self.screen()?;
            Ok(fits(&last).then(|| last.clone()))
        });
        found.with_context(|| format!("on the screen stands\n{last}"))
    }

    /// Send a signal to the program that the shell waits for.
    ///
    /// # Errors
    /// There is none.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let shell = self.run(&["display-message", "-p", "#{pane_pid}"])?;
        let shell = shell.trim();
        let children = std::fs::read_to_string(format!("/proc/{shell}/task/{shell}/children"))?;
        let child = children.split_whitespace().next().context("the shell waits for nothing")?;
        Ok(kill(Pid::from_raw(child.parse()?), signal)?)
    }

    /// The output of a command in the shell, after which the prompt must return.
    ///
    /// # Errors
    /// It does not end.
    pub fn ask(&self, line: &str) -> Result<String> {
        let answer = self.home.path().join("answer");
        let done = self.home.path().join("done");
        self.enter(&format!("{line} > {}; touch {}", answer.display(), done.display()))?;
        wait::until(format!("an answer to {line}"), || Ok(done.exists().then_some(())))
            .with_context(|| format!("on the screen stands\n{}", self.screen().unwrap_or_default()))?;
        std::fs::remove_file(done)?;
        Ok(std::fs::read_to_string(answer)?)
    }
}

/// Text as it is however a shell breaks it into the terminal's lines.
fn without_spaces(text: &str) -> String {
    text.split_whitespace().collect()
}

impl Drop for Tmux {
    fn drop(&mut self) {
        if let Err(error) = self.run(&["kill-server"]) {
            eprintln!("cannot close the terminal: {error:#}");
        }
    }
}
