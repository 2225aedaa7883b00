//! The scripts with which shells complete a command line.

use anyhow::Result;
use fw_user::testing::completions::{CompletedShell, script};

/// zsh takes a file of its search path for the completer itself, and calls it before it has registered another one.
const ZSH_FIRST_CALL: &str = "\n_clap_dynamic_completer_fw_user \"$@\"\n";

/// The scripts, each with the path in the package that its shell looks at.
pub(super) fn all() -> Result<[(&'static str, String); 3]> {
    Ok([
        ("usr/share/bash-completion/completions/fw-user", script(CompletedShell::Bash)?),
        ("usr/share/zsh/vendor-completions/_fw-user", script(CompletedShell::Zsh)? + ZSH_FIRST_CALL),
        ("usr/share/fish/vendor_completions.d/fw-user.fish", script(CompletedShell::Fish)?),
    ])
}
