//! The commands of README and docs that build something, or that other programs check.

use std::{env, path::PathBuf, process::Command};

use anyhow::{Context, Result, bail, ensure};
use fw_tests::{
    lab::{command, skip},
    pages::{self, command_lines, root},
    tests,
};

tests! {
    every_command_that_builds_works_as_it_stands;
}

fn every_command_that_builds_works_as_it_stands() -> Result<()> {
    let mut count = 0;
    for (name, page) in pages::all(&root())? {
        for line in command_lines(&page).into_iter().filter(|line| pages::is_slow(line)) {
            run(line).with_context(|| format!("{name}: {line}"))?;
            count += 1;
        }
    }
    ensure!(count >= 3, "the pages have {count} such commands");
    Ok(())
}

/// In the place of `target`, of which a person may have installed what is there.
fn target() -> PathBuf {
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    target.join("pages")
}

fn run(line: &str) -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let words: Vec<&str> = line.split_whitespace().collect();
    match words.as_slice() {
        ["cargo", args @ ..] => {
            let mut cargo = command::cargo();
            cargo.arg("--quiet").args(args).current_dir(root()).env("CARGO_TARGET_DIR", target());
            // The profile as it stands is what packages are built with; here it is about the command.
            for (setting, value) in [("OPT_LEVEL", "0"), ("LTO", "off"), ("CODEGEN_UNITS", "16"), ("STRIP", "none")] {
                cargo.env(format!("CARGO_PROFILE_RELEASE_{setting}"), value);
            }
            command::run(&mut cargo).map(drop)
        }
        ["sudo", "install", options @ .., program, "/usr/local/sbin/"] => {
            let program = target().join(program.strip_prefix("target/").context("cargo builds into target")?);
            command::run(Command::new("install").args(options).arg(program).arg(scratch.path()))?;
            let said = command::run(Command::new(scratch.path().join("fw-user")).arg("--version"))?;
            ensure!(said.starts_with("fw-user "), "the installed program says {said}");
            Ok(())
        }
        ["ansible-playbook", args @ ..] => {
            skip::need("ansible-playbook", "ansible-core")?;
            let mut play = Command::new("ansible-playbook");
            play.args(args).current_dir(root()).env("HOME", scratch.path()).env("LC_ALL", "C.UTF-8");
            command::run(&mut play).map(|_| ())
        }
        _ => bail!("no test runs this command"),
    }
}
