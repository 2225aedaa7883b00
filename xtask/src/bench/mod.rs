//! `cargo xtask bench`: what a packet costs, beside a program that does nothing and beside xdp-filter; what a command costs.

mod commands;
mod measure;
mod packets;
mod programs;
mod report;

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context as _, Result, bail};

use crate::{
    command, debian,
    ebpf::{self, Program},
    root, workspace,
};

/// Options of `bench`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    if !root::is_built() {
        root::build_fw_user()?;
        fs::write(floor(), ebpf::build(Program::Floor)?).context("cannot write the program that does nothing")?;
    }
    if !root::is_root() {
        if !root::again()?.success() {
            bail!("the benchmarks failed");
        }
        return Ok(());
    }
    debian::provide(&[debian::Tool { program: "xdp-filter", package: "xdp-tools" }, debian::IP])?;
    root::hide()?;
    network()?;

    let packets = packets::all()?;
    let programs = programs::load(&floor())?;
    let decisions = measure::run(&programs, &packets)?;
    let commands = commands::measure()?;
    report::Report::new(decisions, commands).print(options.json)
}

fn floor() -> PathBuf {
    workspace::target().join("ebpf/floor.bpf.o")
}

/// The interface that the filters are attached to.
const INTERFACE: &str = "bench0";

/// An interface that can native XDP, and the addresses that packets are sent to.
fn network() -> Result<()> {
    let run = |line: &str| command::output(Command::new("ip").args(line.split(' '))).map(drop);
    run("link set lo up")?;
    run(&format!("link add {INTERFACE} type veth peer name bench1"))?;
    run(&format!("link set {INTERFACE} up"))?;
    run("link set bench1 up")?;
    run(&format!("addr add {}/24 dev {INTERFACE}", packets::HOST4))?;
    run(&format!("addr add {}/64 dev {INTERFACE} nodad", packets::HOST6))
}
