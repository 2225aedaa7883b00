//! The program `fw-user`: it loads the programs, keeps their pins, writes policies and reads counters.
//!
//! `cmd` has a file or a folder for each command: its arguments, what it does and how it prints. Below it, `config` and `policy_text` read
//! what a person wrote, `bans` keeps who is banned, `host` asks the machine, `kernel` loads and pins the programs and reads their maps, and `report` has what several
//! commands print.

mod bans;
mod cmd;
mod config;
mod error;
mod host;
mod kernel;
mod lockout;
mod output;
mod packet;
mod policy_text;
mod printable;
mod report;
pub mod testing;

use std::{env, process::ExitCode};

use cmd::cli::Cli;
use output::fail;

/// Carry out the command line of this process. The exit codes are [`testing::exit_code`].
pub async fn run() -> ExitCode {
    cmd::completions::answer::<Cli>();
    match cmd::run(Cli::read(env::args_os()).unwrap_or_else(|error| error.exit())).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            fail(&format!("fw-user: {error}"));
            ExitCode::from(error.exit_code())
        }
    }
}
