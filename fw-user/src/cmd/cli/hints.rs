//! Hints for command lines that other firewalls accept.

use std::ffi::OsString;

use clap::{
    Arg, ArgAction, CommandFactory as _, FromArgMatches as _,
    builder::StyledStr,
    error::{ContextKind, ContextValue, ErrorKind, Result},
};

use crate::cmd::cli::Cli;

/// Commands of other firewalls, with the corresponding commands of fw-user.
const COMMANDS: [(&[&str], &str); 9] = [
    (&["version"], "fw-user --version"),
    (&["list", "ls", "show"], "fw-user status (interfaces and open ports), or fw-user exposed (who listens)"),
    (&["start", "on", "up"], "fw-user attach --all --allow 22"),
    (&["stop", "off", "down"], "fw-user detach --all"),
    (&["open", "add"], "fw-user allow PORTS"),
    (&["close", "block", "delete", "remove"], "fw-user deny PORTS"),
    (&["reload", "restart"], "fw-user apply"),
    (&["log", "logs"], "fw-user drops --last"),
    (&["undo", "revert"], "fw-user rollback"),
];

impl Cli {
    /// Reads a command line, starting with the program's name.
    pub fn read(line: impl IntoIterator<Item = OsString>) -> Result<Self> {
        let mut command = with_lists(Self::command()).disable_help_subcommand(false);
        let matches = command.try_get_matches_from_mut(line);
        matches.and_then(|mut matches| Self::from_arg_matches_mut(&mut matches)).map_err(|mut error| {
            if let Some(tip) = command_meant(&error) {
                error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![StyledStr::from(tip)]));
            }
            error
        })
    }
}

/// Interfaces are given separately or in a list with commas, wherever a command accepts several.
fn with_lists(command: clap::Command) -> clap::Command {
    let takes_many = |argument: &Arg| {
        matches!(argument.get_action(), ArgAction::Append)
            && argument.get_value_names().is_some_and(|names| names.iter().any(|name| name == "INTERFACE"))
    };
    let list = |argument: Arg| if takes_many(&argument) { argument.value_delimiter(',') } else { argument };
    command.mut_args(list).mut_subcommands(with_lists)
}

fn command_meant(error: &clap::Error) -> Option<String> {
    // Some commands take it: those that do something else without names.
    if let Some(ContextValue::String(option)) = error.get(ContextKind::InvalidArg)
        && error.kind() == ErrorKind::UnknownArgument
        && option == "--all"
    {
        return Some("leave out --all: without names it is for all of them".to_owned());
    }
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand) else { return None };
    let (_, command) = COMMANDS.iter().find(|(words, _)| words.contains(&word.as_str()))?;
    (error.kind() == ErrorKind::InvalidSubcommand).then(|| format!("type: {command}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cmd::cli::Command;

    #[test]
    fn all_is_what_most_commands_do_without_names() {
        for line in ["apply --all", "save --all", "allow 22 --all"] {
            let error = Cli::read(["fw-user"].into_iter().chain(line.split(' ')).map(OsString::from)).expect_err(line);
            assert!(error.to_string().contains("tip: leave out --all: "), "{error}");
        }
    }

    #[test]
    fn interfaces_are_given_one_by_one_or_in_a_list() -> Result<()> {
        for line in ["detach eth0 wlan0", "detach eth0,wlan0"] {
            let cli = Cli::read(["fw-user"].into_iter().chain(line.split(' ')).map(OsString::from))?;
            assert!(matches!(&cli.command, Command::Detach(args) if args.interfaces == ["eth0", "wlan0"]), "{cli:?}");
        }
        for line in ["allow 80 -i eth0 -i wlan0", "allow 80 --interface eth0,wlan0"] {
            let cli = Cli::read(["fw-user"].into_iter().chain(line.split(' ')).map(OsString::from))?;
            assert!(
                matches!(&cli.command, Command::Allow(args) if args.change.interface == ["eth0", "wlan0"]),
                "{cli:?}"
            );
        }
        Ok(())
    }
}
