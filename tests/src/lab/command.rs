//! Running other programs: what they print when they fail is part of the error.

use std::{
    env,
    io::Write,
    process::{Command, Output, Stdio},
    thread,
};

use anyhow::{Context, Result, ensure};

/// The cargo that runs the tests. Without `RUSTC_BOOTSTRAP`, which whoever measures tests has set: build scripts ask for it, and all would be
/// built anew.
#[must_use]
pub fn cargo() -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.env_remove("RUSTC_BOOTSTRAP");
    cargo
}

/// The program's standard output.
///
/// # Errors
/// It could not be started or did not succeed; the message holds everything it printed.
pub fn run(command: &mut Command) -> Result<String> {
    checked(command, |command| command.stdin(Stdio::null()).output())
}

/// The same, with `input` on standard input.
///
/// # Errors
/// As [`run`].
pub fn run_with_input(command: &mut Command, input: &[u8]) -> Result<String> {
    checked(command, |command| {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let stdin = child.stdin.take();
        thread::scope(|scope| {
            // A program that does not read to the end is judged by its exit status, not by the pipe it broke.
            scope.spawn(move || stdin.map(|mut pipe| pipe.write_all(input)));
            child.wait_with_output()
        })
    })
}

fn checked(command: &mut Command, output: impl FnOnce(&mut Command) -> std::io::Result<Output>) -> Result<String> {
    let output = output(command).with_context(|| format!("cannot run {command:?}"))?;
    ensure!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).with_context(|| format!("{command:?} printed something that is not UTF-8"))
}
