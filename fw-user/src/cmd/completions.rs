//! `fw-user completions`: the script with which a shell asks this program for completions, and the answers.

use std::ffi::OsStr;

use clap::{Arg, Args, Command, CommandFactory, ValueEnum};
use clap_complete::{ArgValueCompleter, CompleteEnv, CompletionCandidate, env::Shells};

use crate::{
    error::{Error, Result},
    host::interface,
    output::print,
    policy_text,
};

/// The environment variable with which the script asks.
const ASKS: &str = "COMPLETE";

/// Arguments of `completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// Shell that the script is for.
    #[arg(value_name = "SHELL", value_enum)]
    pub shell: CompletedShell,
}

/// The supported shells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CompletedShell {
    /// The GNU shell.
    Bash,
    /// The Z shell.
    Zsh,
    /// The friendly interactive shell.
    Fish,
}

pub(crate) fn run(args: &CompletionsArgs) -> Result<()> {
    print(&script(args.shell)?)
}

/// The script of a shell. It calls `fw-user` from the search path.
///
/// # Errors
/// None that is known: it is written to memory.
pub fn script(shell: CompletedShell) -> Result<String> {
    let name = match shell {
        CompletedShell::Bash => "bash",
        CompletedShell::Zsh => "zsh",
        CompletedShell::Fish => "fish",
    };
    let shells = Shells::builtins();
    let Some(writer) = shells.completer(name) else { unreachable!("clap_complete serves these shells") };
    let mut text = Vec::new();
    writer.write_registration(ASKS, "fw-user", "fw-user", "fw-user", &mut text).map_err(Error::Output)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// If a shell's script started this process, answer it and exit.
pub(crate) fn answer<Line: CommandFactory>() {
    CompleteEnv::with_factory(|| completed(Line::command())).var(ASKS).complete();
}

/// The command line with completions from this machine: the names of its interfaces and services.
fn completed(command: Command) -> Command {
    let argument = |argument: Arg| match argument.get_value_names() {
        Some([name]) if name == "INTERFACE" => argument.add(ArgValueCompleter::new(interfaces)),
        Some([name]) if name == "PORTS" || name == "PORT" => argument.add(ArgValueCompleter::new(services)),
        _ => argument,
    };
    command.mut_args(argument).mut_subcommands(completed)
}

fn interfaces(typed: &OsStr) -> Vec<CompletionCandidate> {
    let all = interface::all().unwrap_or_default();
    let names = all.into_iter().filter(|interface| !interface.is_loopback()).map(|interface| interface.name);
    beginning_with(typed, names)
}

/// The names of the services, after the text up to the last comma.
fn services(typed: &OsStr) -> Vec<CompletionCandidate> {
    let text = typed.to_string_lossy();
    let before = text.rfind(',').map_or("", |comma| &text[..=comma]);
    beginning_with(typed, policy_text::service_names().into_values().map(|name| format!("{before}{name}")))
}

fn beginning_with(typed: &OsStr, names: impl Iterator<Item = String>) -> Vec<CompletionCandidate> {
    let typed = typed.to_string_lossy();
    let mut names: Vec<String> = names.filter(|name| name.starts_with(&*typed)).collect();
    names.sort();
    names.dedup();
    names.into_iter().map(CompletionCandidate::new).collect()
}
