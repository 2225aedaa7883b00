//! `cargo xtask test --vm` and `--kernel`: the tests that a kernel can break, in guests.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::builder::PossibleValuesParser;
use xtask::{architecture, debian, qemu, tally::Tally};

use crate::vm::{self, Run, kernels};

/// Options of `test`, as far as they are about other kernels.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Run only tests whose name contains one of these
    #[arg(long, value_name = "FILTER,...", value_delimiter = ',')]
    only: Vec<String>,
    /// Run in these kernels [default: all]
    #[arg(long, value_name = "KERNEL", num_args = 0.., value_parser = PossibleValuesParser::new(kernels::names()))]
    vm: Option<Vec<String>>,
    /// Run in your own kernel: an Image or a vmlinuz with everything built in
    #[arg(long, value_name = "FILE", conflicts_with = "vm", required_unless_present = "vm")]
    kernel: Option<PathBuf>,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    debian::provide(&[vm::TOOLS, &architecture::foreign_tools()?].concat())?;
    qemu::provide()?;
    let mut tally = Tally::default();
    let mut read = |line: &str| {
        if tally.read(line) {
            println!("{line}");
        }
    };
    let mut run = Run::new(&options.only, &mut read as &mut dyn FnMut(&str));
    match &options.kernel {
        Some(file) => run.own(file)?,
        None => run.debian(&kernels::named(options.vm.as_deref().unwrap_or_default()))?,
    }
    let troubles = run.troubles();
    for trouble in &troubles {
        println!("\n{trouble}");
    }
    Ok(tally.finish(troubles.is_empty()).conclude(!options.only.is_empty()))
}
