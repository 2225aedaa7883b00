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
    root::{self, FwUser},
    workspace,
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
        FwUser::Release.build()?;
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

/// An interface for each program that is measured, and one for the commands.
const FLOOR: &str = "floor0";
const FW: &str = "fw0";
const XDP_FILTER: &str = "filter0";
const COMMANDS: &str = "bench0";

/// Interfaces that can native XDP, and the addresses that packets are sent to.
fn network() -> Result<()> {
    let run = |line: &str| command::output(Command::new("ip").args(line.split(' '))).map(drop);
    run("link set lo up")?;
    for interface in [FLOOR, FW, XDP_FILTER, COMMANDS] {
        run(&format!("link add {interface} type veth peer name {interface}-peer"))?;
        run(&format!("link set {interface} up"))?;
        run(&format!("link set {interface}-peer up"))?;
    }
    run(&format!("addr add {}/24 dev {FW}", packets::HOST4))?;
    run(&format!("addr add {}/64 dev {FW} nodad", packets::HOST6))
}
