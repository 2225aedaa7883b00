//! The commands. Each has a file or a folder: its arguments, what it does (`run`), and how it prints (`report`).

pub(crate) mod apply;
pub(crate) mod args;
pub(crate) mod attach;
pub(crate) mod ban;
pub(crate) mod boot;
pub(crate) mod check;
pub mod cli;
pub mod completions;
pub(crate) mod detach;
pub(crate) mod doctor;
pub(crate) mod drops;
pub(crate) mod enforce;
pub(crate) mod explain;
pub(crate) mod exposed;
pub(crate) mod guard;
pub(crate) mod locked;
#[cfg(feature = "metrics")]
pub(crate) mod metrics;
pub(crate) mod notes;
pub(crate) mod ports;
pub(crate) mod receiver;
pub(crate) mod run;
pub(crate) mod running;
pub(crate) mod save;
pub(crate) mod select;
pub(crate) mod service;
pub(crate) mod signals;
pub(crate) mod stats;
pub(crate) mod status;
pub(crate) mod trial;
pub(crate) mod unfiltered;
pub(crate) mod uninstall;
use crate::{
    cmd::{
        cli::{Cli, Command},
        ports::args::{AllowArgs, Change, LimitArgs},
        trial::confirm,
    },
    error::Result,
    kernel::{bpffs, clock, pins::Pins},
};

/// Carry out a command.
pub(crate) async fn run(cli: Cli) -> Result<()> {
    let pins = Pins::new(&bpffs::resolve(&cli.bpffs)?).with_state(&cli.state);
    // `doctor` changes nothing.
    if !matches!(cli.command, Command::Check(_) | Command::Completions(_) | Command::Doctor(_)) {
        locked::follow(&pins);
    }
    match cli.command {
        Command::Attach(args) => attach::run(&pins, &cli.config, &args).await,
        Command::Detach(args) => detach::run(&pins, &args),
        Command::Allow(AllowArgs { change, comment, lasting }) => {
            let end = lasting.map(clock::end_after).transpose()?;
            ports::run(&pins, &cli.config, &change, &Change::Allow { comment, end }).await
        }
        Command::Limit(LimitArgs { change, comment }) => {
            ports::run(&pins, &cli.config, &change, &Change::Limit { comment }).await
        }
        Command::Deny(args) => ports::run(&pins, &cli.config, &args, &Change::Deny).await,
        Command::Ban(args) => ban::ban(&pins, &args),
        Command::Unban(args) => ban::unban(&pins, &args),
        Command::Bans(args) => ban::bans(&pins, &args),
        Command::Apply(args) => apply::run(&pins, &cli.config, &args).await,
        Command::Check(args) => check::run(&cli.config, &args),
        Command::Save(args) => save::run(&pins, &cli.config, &args),
        Command::Monitor(args) => enforce::monitor(&pins, &args).await,
        Command::Enforce(args) => enforce::enforce(&pins, &args).await,
        Command::Confirm(args) => confirm::confirm(&pins, &args),
        Command::Rollback(args) => confirm::rollback(&pins, &args).await,
        Command::Status(args) => status::run(&pins, &cli.config, &args).await,
        Command::Doctor(args) => doctor::run(&pins, &cli.config, &args).await,
        Command::Exposed(args) => exposed::run(&pins, &cli.config, &args).await,
        Command::Stats(args) => stats::run(&pins, &args).await,
        Command::Drops(args) => drops::run(&pins, &args).await,
        Command::Explain(args) => explain::run(&pins, &args).await,
        Command::Enable(args) => boot::enable(&pins, &cli.config, &args),
        Command::Disable(args) => boot::disable(&pins, &cli.config, &args),
        Command::Run(args) => run::run(&pins, &cli.config, &args).await,
        #[cfg(feature = "metrics")]
        Command::Metrics(args) => metrics::run(&pins, &cli.config, &args).await,
        Command::Completions(args) => completions::run(&args),
        Command::Uninstall(args) => uninstall::run(&pins, &cli.config, &args),
        Command::Service(args) => service::run(&pins, &cli.config, &args),
    }
}
