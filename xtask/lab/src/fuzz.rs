//! `cargo xtask fuzz`: random bytes, guided by what they reach, for everything that reads what others wrote.
//!
//! The fuzzers are in tests/fuzz, what they do with an input in tests/src/fuzz, where the tests replay the committed corpus.

use std::process::Command;

use anyhow::{Context as _, Result};
use fw_tests::fuzz::{TARGETS, Target};

use xtask::{command, crates::Crate, workspace};

/// Options of `fuzz`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Fuzzer to run [default: each in turn]
    #[arg(value_parser = clap::builder::PossibleValuesParser::new(TARGETS.map(|target| target.name)))]
    target: Option<String>,
    /// Seconds for each fuzzer
    #[arg(long, default_value_t = 60)]
    seconds: u64,
}

const CARGO_FUZZ: Crate = Crate { name: "cargo-fuzz", version: "0.13.2", takes: "about a minute" };

pub(crate) fn run(options: &Options) -> Result<()> {
    let cargo_fuzz = CARGO_FUZZ.provide()?;
    let chosen = TARGETS.into_iter().filter(|target| options.target.as_deref().is_none_or(|name| name == target.name));
    for target in chosen {
        println!("fuzz: {}, for {} s", target.name, options.seconds);
        command::run(&mut fuzzer(&cargo_fuzz, target, options.seconds)?)?;
    }
    Ok(())
}

/// New findings go to target/fuzz; the committed corpus is the start.
fn fuzzer(cargo_fuzz: &std::path::Path, target: Target, seconds: u64) -> Result<Command> {
    let home = workspace::target().join("fuzz");
    let found = home.join("corpus").join(target.name);
    std::fs::create_dir_all(&found).with_context(|| format!("cannot create {}", found.display()))?;
    let mut fuzz = Command::new(cargo_fuzz);
    fuzz.current_dir(workspace::root().join("tests"))
        .args(["run", "--target-dir"])
        .arg(&home)
        .arg(target.name)
        .args([&found, &target.folder()])
        .args(["--", &format!("-max_total_time={seconds}"), "-max_len=4096", "-timeout=10"])
        // Stable it is; what counts branches and guards memory are the only unstable flags.
        .env("RUSTC_BOOTSTRAP", "1");
    Ok(fuzz)
}
