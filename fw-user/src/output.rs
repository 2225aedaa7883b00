//! Standard output and standard error. Control characters from files, processes, containers or the kernel are replaced, so that a terminal does not
//! obey them.

use std::{
    env,
    io::{self, Write},
    os::fd::AsFd,
};

use nix::sys::stat::fstat;

use crate::{
    error::{Error, Result},
    printable::{printable_json, printable_text},
};

/// One JSON value on a line of its own.
pub(crate) fn json<T: serde::Serialize>(value: &T) -> Result<String> {
    let mut text = serde_json::to_string(value).map_err(|error| Error::Output(error.into()))?;
    text = printable_json(&text);
    text.push('\n');
    Ok(text)
}

/// Print the result of a command. A closed pipe is not an error.
pub(crate) fn print(text: &str) -> Result<()> {
    has_reader(text).map(|_| ())
}

/// Print one report of many; returns whether anybody still reads.
pub(crate) fn has_reader(text: &str) -> Result<bool> {
    write(&printable_text(text))
}

/// Print over the last line of a terminal.
pub(crate) fn overwrite(text: &str) -> Result<()> {
    const ERASE_LINE: &str = "\r\x1b[K";
    write(&format!("{ERASE_LINE}{}", printable_text(text))).map(|_| ())
}

fn write(text: &str) -> Result<bool> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Error::Output(error)),
        Ok(()) => Ok(true),
    }
}

/// The priority of a line, with the numbers of syslog(3). journald reads it from the start of the line (sd-daemon(3)).
#[derive(Clone, Copy, Debug)]
enum Level {
    Error = 3,
    Warning = 4,
    Info = 6,
}

/// Log an action of a long-running process. If that fails, it warns and continues.
pub(crate) fn narrate(text: &str) {
    if let Err(error) = print(&leveled(text, Level::Info, io::stdout())) {
        complain(&format!("fw-user: {error}"));
    }
}

/// Warn on standard error. A failed write has no effect.
pub(crate) fn complain(text: &str) {
    log(text, Level::Warning);
}

/// Print on standard error why the process ends.
pub(crate) fn fail(text: &str) {
    log(text, Level::Error);
}

fn log(text: &str, level: Level) {
    let _unused = writeln!(io::stderr(), "{}", leveled(&printable_text(text), level, io::stderr()));
}

/// The text in journald's format if the stream leads there; otherwise unchanged.
fn leveled(text: &str, level: Level, stream: impl AsFd) -> String {
    let journal = env::var("JOURNAL_STREAM").unwrap_or_default();
    let is_journal = fstat(stream).is_ok_and(|facts| journal == format!("{}:{}", facts.st_dev, facts.st_ino));
    if !is_journal {
        return text.to_owned();
    }
    let level = format!("<{}>", level as u8);
    text.split_inclusive('\n').flat_map(|line| [level.as_str(), line]).collect()
}

#[cfg(test)]
mod tests {
    use std::{
        env::current_exe,
        io,
        process::{Command, Stdio},
    };

    use super::*;

    /// Started by the test below with a journal that is one, and one that is not.
    #[test]
    fn says_a_line() {
        if env::var_os("SAYS_A_LINE").is_some() {
            complain("one\ntwo");
        }
    }

    #[test]
    fn only_journald_gets_levels() -> io::Result<()> {
        for (is_journal, expected) in [(true, "<4>one\n<4>two\n"), (false, "one\ntwo\n")] {
            let file = tempfile::NamedTempFile::new()?;
            let facts = fstat(&file)?;
            let stream = format!("{}:{}", facts.st_dev, if is_journal { facts.st_ino } else { 0 });
            let status = Command::new(current_exe()?)
                .args(["--exact", "output::tests::says_a_line", "--nocapture"])
                .envs([("SAYS_A_LINE", "1"), ("JOURNAL_STREAM", &stream)])
                // Output of its test runner would count as ours.
                .stdout(Stdio::null())
                .stderr(file.reopen()?)
                .status()?;
            assert!(status.success());
            assert_eq!(std::fs::read_to_string(&file)?, expected);
        }
        Ok(())
    }
}
