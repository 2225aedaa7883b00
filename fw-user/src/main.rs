//! The `fw-user` command.

use std::process::ExitCode;

use clap::Parser;
use fw_user::{cli::Cli, commands, output::complain};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match commands::run(Cli::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("fw-user: {error}"));
            ExitCode::from(error.exit_code())
        }
    }
}
