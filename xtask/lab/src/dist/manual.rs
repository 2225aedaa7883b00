//! The manual: a page for the command and one for each subcommand. What options mean is the command line's own text, examples are the
//! documentation's own commands, which the tests run.

use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use clap::{Command, CommandFactory as _};
use clap_mangen::{
    Man,
    roff::{Roff, bold, roman},
};
use fw_tests::pages;
use fw_user::testing::{cli::Cli, exit_code};

use xtask::workspace;

use super::format;

/// Debian's section for commands of the administrator.
const SECTION: &str = "8";

/// The files that the command reads and writes.
const FILES: [(&str, &str); 6] = [
    (
        "/etc/fw-user/INTERFACE.toml",
        "Rules of an interface. fw-user save writes them, fw-user apply puts them in force.",
    ),
    (
        "/etc/fw-user/all.toml",
        "Rules of every outside interface, present and to come. fw-user attach --all --boot writes it; any other name will do.",
    ),
    (
        "/etc/fw-user/off",
        "If this file exists, the boot service attaches nothing. fw-user.off in /boot or /boot/firmware does the same.",
    ),
    (
        "/etc/udev/rules.d/81-fw-user-INTERFACE.rules",
        "Written by fw-user service install, removed by fw-user service remove.",
    ),
    ("/sys/fs/bpf/fw-user", "Links, maps and programs of the attached filters."),
    ("/usr/share/doc/fw-user", "The manual, and an example of a file."),
];

/// One page.
pub(super) struct Page {
    /// `fw-user-attach.8`
    pub(super) name: String,
    /// In roff.
    pub(super) text: Vec<u8>,
}

/// All pages, as of a time in seconds since 1970.
pub(super) fn pages(epoch: i64) -> Result<Vec<Page>> {
    let time = UNIX_EPOCH + Duration::from_secs(epoch.try_into().context("a time since 1970")?);
    let date: String = humantime::format_rfc3339_seconds(time).to_string().chars().take(10).collect();
    let commands = documented_commands()?;
    let mut command = Cli::command();
    command.build();
    let mut pages = Vec::new();
    add(&command, &[], &date, &commands, &mut pages)?;
    let text = format::page(&file_page()?, &date).into_bytes();
    pages.push(Page { name: "fw-user.toml.5".to_owned(), text });
    Ok(pages)
}

/// The example of a file for an interface, from its page.
pub(super) fn example() -> Result<String> {
    Ok(pages::example(&file_page()?).context("docs/file.md has an example")?.to_owned())
}

/// The page about the files.
fn file_page() -> Result<String> {
    let page = documentation()?.into_iter().find(|(name, _)| name.ends_with("/file.md"));
    Ok(page.context("docs/file.md")?.1)
}

fn documentation() -> Result<Vec<(String, String)>> {
    pages::all(&workspace::root())
}

/// The commands in README and docs that a person types as root, without `sudo`, each once.
fn documented_commands() -> Result<Vec<String>> {
    let mut commands: Vec<String> = Vec::new();
    for (_, page) in documentation()? {
        for line in pages::command_lines(&page) {
            let command = line.strip_prefix("sudo ").unwrap_or(line);
            if command.starts_with("fw-user ") && !commands.iter().any(|known| known == command) {
                commands.push(command.to_owned());
            }
        }
    }
    Ok(commands)
}

/// The page of a command, then those of its subcommands.
fn add(command: &Command, above: &[&str], date: &str, commands: &[String], pages: &mut Vec<Page>) -> Result<()> {
    let path = [above, &[command.get_name()]].concat();
    let man = Man::new(command.clone())
        .section(SECTION)
        .date(date)
        .source(format!("fw-user {}", env!("CARGO_PKG_VERSION")))
        .manual("Firewall");
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    let subcommands: Vec<&Command> = command.get_subcommands().filter(|command| !command.is_hide_set()).collect();
    if !subcommands.is_empty() {
        man.render_subcommands_section(&mut text)?;
    }

    let mut more = Roff::new();
    notes(&mut more, command);
    more.control("SH", ["EXIT STATUS"]);
    for (code, meaning) in exit_code::ALL {
        entry(&mut more, &code.to_string(), &meaning.replace('`', ""));
    }
    if path.len() == 1 {
        more.control("SH", ["FILES"]);
        for (file, what) in FILES {
            entry(&mut more, file, what);
        }
    }
    let examples: Vec<&String> = commands.iter().filter(|line| is_of(line, &path)).collect();
    ensure!(!examples.is_empty(), "no page in docs/ has `{}` in a block of commands", path.join(" "));
    more.control("SH", ["EXAMPLES"]);
    more.control("nf", []);
    for line in examples {
        more.text([roman(line)]);
    }
    more.control("fi", []);
    more.control("SH", ["SEE ALSO"]);
    let family = (1..path.len()).map(|length| &path[..length]).map(|path| path.join("-"));
    let family = family.chain(subcommands.iter().map(|command| format!("{}-{}", path.join("-"), command.get_name())));
    let family = family.chain((path.len() == 1).then(|| "nft".to_owned()));
    let mut words = Vec::new();
    for name in family {
        let comma = if words.is_empty() { "" } else { ", " };
        words.extend([roman(comma), bold(name), roman(format!("({SECTION})"))]);
    }
    more.text(words);
    more.to_writer(&mut text)?;
    pages.push(Page { name: format!("{}.{SECTION}", path.join("-")), text });
    subcommands.into_iter().try_for_each(|command| add(command, &path, date, commands, pages))
}

/// The end of the command's help, without the exit codes, which have a section of their own.
fn notes(roff: &mut Roff, command: &Command) {
    let Some(help) = command.get_after_help() else { return };
    roff.control("SH", ["NOTES"]);
    for line in help.to_string().lines().filter(|line| !line.is_empty() && !line.starts_with("Exit codes: ")) {
        roff.control("PP", []);
        roff.text([roman(line)]);
    }
}

fn entry(roff: &mut Roff, name: &str, what: &str) {
    roff.control("TP", []);
    roff.text([bold(name)]);
    roff.text([roman(what)]);
}

/// Whether a command line is one of this command, or of one below it.
fn is_of(line: &str, path: &[&str]) -> bool {
    line.split(' ').take(path.len()).eq(path.iter().copied())
}
