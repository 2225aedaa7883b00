//! `cargo xtask bench`: what a packet costs, beside other filters and beside a program that does nothing; what a flood leaves; what commands
//! cost; what grows; what large lists cost.

mod chart;
mod commands;
mod decisions;
mod filters;
mod flood;
mod growth;
mod honest;
mod lists;
mod measure;
mod network;
mod packets;
mod page;
mod programs;
mod report;
mod stand;

use std::fs;

use anyhow::{Context as _, Result, bail};

use self::report::{Report, Section};
use xtask::{
    debian,
    ebpf::{self, Program},
    product::FwUser,
    root,
};

/// Options of `bench`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// What to measure [default: everything]
    parts: Vec<Part>,

    /// Print one JSON object
    #[arg(long)]
    json: bool,

    /// Write results and charts to docs/bench.md and docs/bench/
    #[arg(long, conflicts_with = "parts")]
    write: bool,
}

/// The parts that can be measured separately.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Part {
    /// Cost of a verdict, by the packet's path
    Decisions,
    /// Drop rate of a flood, and its effect on allowed traffic
    Flood,
    /// Cost of the filter for allowed traffic
    Honest,
    /// Time that commands take
    Commands,
    /// Growth with the policy, the flow table and the number of interfaces
    Growth,
    /// Cost of 100,000 bans, and of as many networks in rules as fit
    Lists,
}

impl Part {
    /// Whether it starts `fw-user`. Building that takes minutes.
    const fn starts_product(self) -> bool {
        !matches!(self, Self::Decisions)
    }

    fn measure(self) -> Result<Section> {
        match self {
            Self::Decisions => decisions::measure(),
            Self::Flood => flood::measure(),
            Self::Honest => honest::measure(),
            Self::Commands => commands::measure(),
            Self::Growth => growth::measure(),
            Self::Lists => lists::measure(),
        }
    }
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let parts = if options.parts.is_empty() { <Part as clap::ValueEnum>::value_variants() } else { &options.parts };
    if !root::is_built() {
        if parts.iter().any(|part| part.starts_product()) {
            FwUser::Release.build()?;
        }
        fs::write(programs::object_path(), ebpf::build(Program::Bench)?).context("cannot write the gauges")?;
        fs::write(filters::object_path(), ebpf::build(Program::Traffic)?).context("cannot write the traffic")?;
    }
    if !root::is_root() {
        if !root::again()?.success() {
            bail!("the benchmarks failed");
        }
        return Ok(());
    }
    debian::provide(&[debian::XDP_FILTER, debian::IPTABLES, debian::IPERF3, debian::IP, debian::NFT, debian::ETHTOOL])?;
    root::hide()?;
    network::prepare()?;

    let mut sections = Vec::new();
    for part in parts {
        sections.push(part.measure()?);
    }
    let report = Report::new(sections)?;
    if options.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{}", page::terminal(&report));
    }
    if options.write {
        page::write(&report)?;
    }
    if !report.goals_met() {
        bail!("a goal is missed");
    }
    Ok(())
}
