//! `cargo xtask build-ebpf`: the BPF object from source, the same bytes on every machine.

use std::fs;

use anyhow::{Context as _, Result, bail};

use xtask::{
    ebpf::{self, Program, object},
    workspace,
};

/// Options of `build-ebpf`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Change nothing: build into target/, compare with the committed object byte for byte, and build the programs of the benchmarks
    #[arg(long)]
    check: bool,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let built = ebpf::build(Program::Filter)?;
    let committed = workspace::committed_object();
    let name = workspace::shown(&committed);
    if !options.check {
        fs::write(&committed, &built).with_context(|| format!("cannot write {name}"))?;
        println!("wrote {name}, {} bytes", built.len());
        return Ok(());
    }
    let rebuilt = workspace::target().join("ebpf/fw.bpf.o");
    fs::write(&rebuilt, &built).with_context(|| format!("cannot write {}", rebuilt.display()))?;
    let old = fs::read(&committed).with_context(|| format!("cannot read {name}"))?;
    for program in [Program::Bench, Program::Traffic] {
        ebpf::build(program)?;
    }
    if old == built {
        println!("{name} matches the source byte for byte ({} bytes)", built.len());
        return Ok(());
    }
    bail!(
        "{name} ({} bytes) is not what fw-ebpf and fw-common say ({}, {} bytes): {}.\n\
         Where the source is right, type `cargo xtask build-ebpf` and commit {name}.",
        old.len(),
        workspace::shown(&rebuilt),
        built.len(),
        object::difference(&old, &built)
    )
}
