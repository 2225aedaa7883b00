//! What the program writes for people: standard output and standard error. Whatever a file, a process, a container or the kernel put into
//! a text, a terminal shows it and does not obey it.

use std::io::{self, Write};

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

/// Print what a command came to. A reader that has left is no error.
pub(crate) fn print(text: &str) -> Result<()> {
    has_reader(text).map(|_| ())
}

/// Print one report of many, and say whether anybody reads them still.
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

/// Print what a process that goes on has done. Where that fails, it complains and goes on.
pub(crate) fn narrate(text: &str) {
    if let Err(error) = print(text) {
        complain(&format!("fw-user: {error}"));
    }
}

/// Complain, on standard error. What is done does not depend on whether anybody reads it.
pub(crate) fn complain(text: &str) {
    let _unused = writeln!(io::stderr(), "{}", printable_text(text));
}
