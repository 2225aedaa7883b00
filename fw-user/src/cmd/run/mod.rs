//! `fw-user run`: applies the files, now and whenever they change or an interface appears, until interrupted. The filters need no process, so nothing
//! opens when this one ends.

pub(crate) mod args;
pub(crate) mod files;
pub(crate) mod filter;
pub(crate) mod keeper;
pub(crate) mod links;
pub(crate) mod readiness;
pub(crate) mod supervisor;

use std::{path::Path, time::Duration};

use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};

#[cfg(feature = "metrics")]
use crate::cmd::metrics::{self, server::Server};
use crate::{
    cmd::{
        apply::wishes::Wishes,
        guard::Guard,
        run::{
            args::{OnExit, RunArgs},
            files::Files,
            keeper::Keeper,
            links::Links,
            supervisor::tell,
        },
        signals::{Stop, every},
    },
    config::folder,
    error::Result,
    host::privilege,
    kernel::{object, pins::Pins},
    report::lockout::Fix,
};

/// How often the files are read. Contents are compared, because file watches miss some replacements (the symbolic link of a `ConfigMap`, a file
/// mounted into a container, a network file system), and short files are read quickly.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How often the filters are checked: the kernel reports no detached link.
const WATCH_EVERY: Duration = Duration::from_secs(2);
/// The time between two attempts after a failure that is not a mistake in a file.
const RETRY_EVERY: Duration = Duration::from_secs(10);

pub(crate) async fn run(pins: &Pins, place: &Path, args: &RunArgs) -> Result<()> {
    let (mut files, texts) = Files::read(place)?;
    let wishes = Wishes::new(place, folder::parse(texts), &[])?;
    privilege::check()?;
    object::kernel_version()?;
    // From here on no event is missed.
    let mut links = Links::listen()?;
    let mut hangup = signal(SignalKind::hangup())?;
    let mut stop = Stop::listen()?;
    let guard = Guard { force: args.force, as_json: false, fix: Fix::File };
    let mut keeper = Keeper::new(pins, place, guard);
    #[cfg(feature = "metrics")]
    serve(pins, place, &keeper, args.listen)?;
    keeper.start(wishes)?;
    tell(&[NotifyState::Ready, NotifyState::Status(&keeper.status())]);
    // Verifying takes the processors from an interface that appears together with another one.
    let mut is_quiet = true;

    let (mut look, mut watch, mut retry) = (every(LOOK_EVERY), every(WATCH_EVERY), every(RETRY_EVERY));
    // Twice as often as systemd requires.
    let patience = sd_notify::watchdog_enabled();
    let mut alive = every(patience.map_or(RETRY_EVERY, |patience| patience / 2));
    loop {
        tokio::select! {
            () = stop.wait() => break,
            Some(()) = hangup.recv() => {
                supervisor::reloading();
                keeper.take(files.read_now());
                tell(&[NotifyState::Ready]);
            }
            _ = look.tick() => {
                if std::mem::replace(&mut is_quiet, true) {
                    keeper.get_ready();
                }
                let Some(found) = files.look() else { continue };
                keeper.take(found);
            }
            _ = watch.tick() => if !keeper.watch() {
                continue;
            },
            changed = links.changed() => {
                changed?;
                is_quiet = false;
                keeper.follow();
            }
            _ = retry.tick() => {
                keeper.retry();
                // Where it never is quiet.
                keeper.get_ready();
            }
            _ = alive.tick(), if patience.is_some() => {
                tell(&[NotifyState::Watchdog]);
                continue;
            }
        }
        tell(&[NotifyState::Status(&keeper.status())]);
    }
    tell(&[NotifyState::Stopping]);
    match args.on_exit {
        OnExit::Stay => Ok(()),
        OnExit::Detach => keeper.detach(),
    }
}

/// Answer scrapers at the address, if there is one. The address is taken before anything is changed.
#[cfg(feature = "metrics")]
fn serve(pins: &Pins, place: &Path, keeper: &Keeper<'_>, listen: args::Listen) -> Result<()> {
    let args::Listen::At(address) = listen else { return Ok(()) };
    let server = Server::bind(address)?;
    metrics::announce(&server)?;
    server.serve_apart(metrics::source(pins, place, Some(keeper.applies())))
}
