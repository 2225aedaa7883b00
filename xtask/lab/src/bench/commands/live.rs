//! The cost of the live screen while everything on it changes.

use std::{
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use fw_common::abi::DEFAULT_FLOWS;
use fw_tests::lab::terminal::OnTerminal;
use fw_user::testing::{bpffs, pins::Pins};
use nix::sys::{
    resource::{UsageWho, getrusage},
    signal::Signal,
    time::TimeValLike as _,
};

use super::counted::count_every_port;
use crate::bench::programs;
use xtask::product::FwUser;

const TIME: Duration = Duration::from_mins(1);

/// CPU time of a screen that is drawn each second, start and all.
pub(super) fn milliseconds_a_second(interface: &str) -> Result<f64> {
    programs::fill(&Pins::new(bpffs::DEFAULT.as_ref()), DEFAULT_FLOWS)?;
    let before = used_by_children()?;
    let begun = Instant::now();
    let mut screen = OnTerminal::start(Command::new(FwUser::Release.path()).arg("stats").env("LC_ALL", "C"))?;
    screen.read_until(|text| text.contains("reasons"))?;
    // Every port of every CPU, anew for each time that it is drawn.
    for times in 2.. {
        if begun.elapsed() > TIME {
            break;
        }
        count_every_port(interface, times)?;
        thread::sleep(Duration::from_millis(500));
        // Else the terminal would be full at some time, and the screen would wait.
        screen.read_what_is_there()?;
    }
    screen.program.signal(Signal::SIGTERM)?;
    let status = screen.program.await_end()?;
    ensure!(status.success(), "the live screen ended with {status}");
    Ok(used_by_children()?.saturating_sub(before).as_secs_f64() * 1e3 / begun.elapsed().as_secs_f64())
}

/// CPU time of the children that have ended.
fn used_by_children() -> Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let microseconds = (usage.user_time() + usage.system_time()).num_microseconds();
    Ok(Duration::from_micros(microseconds.try_into()?))
}
