//! `cargo xtask dist`: Debian packages, of statically linked programs that want nothing of the system but its kernel.

mod binary;
mod completions;
mod copyright;
mod format;
mod manual;
mod package;

use std::{env, process::Command};

use anyhow::{Context as _, Result, bail, ensure};

use xtask::{architecture, command, toolchain, workspace};

/// Options of `dist`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Build only for this architecture, or fail [default: every architecture with a compiler here]
    #[arg(long, value_name = "ARCH", value_parser = architecture::ALL.map(|known| known.debian))]
    arch: Vec<String>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let host = toolchain::host()?;
    let mut chosen = Vec::new();
    for architecture in &architecture::ALL {
        let is_named = options.arch.iter().any(|name| name == architecture.debian);
        if !is_named && !options.arch.is_empty() {
            continue;
        }
        match architecture.obstacle(&host) {
            None => chosen.push(architecture),
            Some(obstacle) if is_named => bail!("{}: {obstacle}", architecture.debian),
            Some(obstacle) => eprintln!("{}  skipped: {obstacle}", architecture.debian),
        }
    }
    ensure!(!chosen.is_empty(), "no architecture can be built here");

    let cargo_deb = package::CARGO_DEB.provide()?;
    let epoch = source_date_epoch()?;
    for architecture in chosen {
        eprintln!("{}  building", architecture.debian);
        package::prepare(architecture, &host, epoch)?;
        binary::build(architecture, &host)?;
        let file = package::make(&cargo_deb, architecture, &host, epoch)?;
        println!("{}  {}", architecture.debian, workspace::shown(&file));
    }
    Ok(())
}

/// The time stamp of the packages: that of the last commit, in seconds since 1970, so that builds of the same source are identical.
fn source_date_epoch() -> Result<i64> {
    let said = if let Ok(set) = env::var("SOURCE_DATE_EPOCH") {
        set
    } else {
        let mut git = Command::new("git");
        // A checkout made by another user is as good.
        git.args(["-c", "safe.directory=*", "log", "-1", "--format=%ct"]).current_dir(workspace::root());
        command::output(&mut git).context("cannot read the time of the last commit; set SOURCE_DATE_EPOCH")?
    };
    said.trim().parse().with_context(|| format!("{said:?} is not a number of seconds since 1970"))
}
