//! What the live screen costs while everything that it shows changes.

use std::{
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use aya::maps::{HashMap, Map, MapData};
use fw_common::{
    abi::{DEFAULT_FLOWS, map},
    flow::{FlowEntry, FlowKey4},
};
use fw_tests::lab::terminal::OnTerminal;
use fw_user::bpf::{
    pins::{DEFAULT_BPFFS, Pins},
    plain::Plain,
};
use nix::sys::{
    resource::{UsageWho, getrusage},
    signal::Signal,
    time::TimeValLike as _,
};

use super::count_every_port;
use crate::root::FwUser;

const TIME: Duration = Duration::from_mins(1);

/// CPU time of a screen that is drawn each second, start and all.
pub(super) fn milliseconds_a_second() -> Result<f64> {
    fill_the_flow_table()?;
    let before = used_by_children()?;
    let begun = Instant::now();
    let mut screen = OnTerminal::start(Command::new(FwUser::Release.path()).arg("stats").env("LC_ALL", "C"))?;
    screen.read_until(|text| text.contains("reasons"))?;
    // Every port of every CPU, anew for each time that it is drawn.
    for times in 2.. {
        if begun.elapsed() > TIME {
            break;
        }
        count_every_port(times)?;
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

fn fill_the_flow_table() -> Result<()> {
    let pin = Pins::new(DEFAULT_BPFFS.as_ref()).shared_map(map::FLOWS4);
    let mut flows: HashMap<_, Plain<FlowKey4>, Plain<FlowEntry>> =
        Map::LruHashMap(MapData::from_pin(pin)?).try_into()?;
    for remote in 0..DEFAULT_FLOWS {
        let key = FlowKey4 { remote, local: 1, ports: 1, class: 17 };
        flows.insert(Plain(key), Plain(FlowEntry { last_seen: 1 }), 0)?;
    }
    Ok(())
}
