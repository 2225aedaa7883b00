//! What shells complete of a command line.

use clap::{Command, CommandFactory as _};
use clap_complete::{Generator, Shell, generate};
use fw_user::testing::cli::Cli;

/// The scripts, each with the path in the package that its shell looks at.
pub(super) fn all() -> [(&'static str, String); 3] {
    [
        ("usr/share/bash-completion/completions/fw-user", bash()),
        ("usr/share/zsh/vendor-completions/_fw-user", script(Shell::Zsh, NAME)),
        ("usr/share/fish/vendor_completions.d/fw-user.fish", script(Shell::Fish, NAME)),
    ]
}

const NAME: &str = "fw-user";

/// `clap_complete` 4.6.11 writes the hyphen of a command's name in two ways that do not meet in bash, and completes no option then. A name
/// without one takes its place everywhere but where the shell is told for which command the script is.
fn bash() -> String {
    script(Shell::Bash, "fw_user").replace(" fw_user\n", &format!(" {NAME}\n"))
}

fn script(shell: impl Generator, name: &str) -> String {
    let mut command: Command = Cli::command();
    let mut text = Vec::new();
    generate(shell, &mut command, name, &mut text);
    String::from_utf8_lossy(&text).into_owned()
}
