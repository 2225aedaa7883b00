//! What shells complete of a command line.

use clap::{Command, CommandFactory as _};
use clap_complete::{Generator, Shell, generate};
use fw_user::cli::Cli;

/// The scripts, each with the path in the package that its shell looks at.
pub(super) fn all() -> [(&'static str, Vec<u8>); 3] {
    [
        ("usr/share/bash-completion/completions/fw-user", script(Shell::Bash)),
        ("usr/share/zsh/vendor-completions/_fw-user", script(Shell::Zsh)),
        ("usr/share/fish/vendor_completions.d/fw-user.fish", script(Shell::Fish)),
    ]
}

fn script(shell: impl Generator) -> Vec<u8> {
    let mut command: Command = Cli::command();
    let mut text = Vec::new();
    generate(shell, &mut command, "fw-user", &mut text);
    text
}
