//! The `fw-user` command.

use std::{env, process::ExitCode};

use fw_user::{cli::Cli, commands, output::complain};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match commands::run(Cli::read(env::args_os()).unwrap_or_else(|error| error.exit())).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("fw-user: {error}"));
            ExitCode::from(error.exit_code())
        }
    }
}
