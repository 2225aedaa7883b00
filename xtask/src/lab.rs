//! The verbs that need the product or the lab: another program has them, and understands their options.

use std::{
    env,
    ffi::OsString,
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result};
use xtask::{command, workspace};

/// The options of a verb of `xtask-lab`, unread.
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Arguments {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    _unread: Vec<OsString>,
}

/// Build `xtask-lab`, and hand it this very command line.
pub(crate) fn start() -> Result<ExitCode> {
    let mut cargo = command::cargo();
    eprintln!("building fw-user and the lab");
    // With the features of the whole workspace, or the tests would compile much of it once more.
    cargo.current_dir(workspace::root()).args(["build", "--quiet", "--locked", "--workspace", "--bins"]);
    command::run(&mut cargo)?;
    let mut lab = Command::new(workspace::target().join("debug/xtask-lab"));
    lab.args(env::args_os().skip(1));
    let status = lab.status().with_context(|| format!("cannot start `{}`", command::line(&lab)))?;
    // A signal has no code; whoever looks must see a failure all the same.
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}
