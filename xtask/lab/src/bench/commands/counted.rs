//! Counters as a long scan leaves them.

use std::path::Path;

use anyhow::{Context as _, Result};
use aya::{
    maps::{Array, Map, MapData},
    util::nr_cpus,
};
use fw_common::{
    Reason,
    abi::{COUNTED_PROTOCOLS, PAGE, PAGES, map},
};
use fw_user::testing::{bpffs, pins::Pins};

/// A port's counters, passed and dropped, and a reason's, packets and bytes.
const COUNTERS: usize = 2;

/// As if somebody had scanned every port so many times, on every CPU.
pub(super) fn count_every_port(interface: &str, times: u64) -> Result<()> {
    let pin = Pins::new(Path::new(bpffs::DEFAULT)).map(interface, map::PORT_COUNTERS);
    let data = MapData::from_pin(&pin).with_context(|| format!("cannot open {}", pin.display()))?;
    let mut pages: Array<_, [u64; PAGE * COUNTERS]> = Map::Array(data).try_into()?;
    let pin = Pins::new(Path::new(bpffs::DEFAULT)).map(interface, map::COUNTERS);
    let data = MapData::from_pin(&pin).with_context(|| format!("cannot open {}", pin.display()))?;
    let mut reasons: Array<_, [u64; Reason::SLOTS * COUNTERS]> = Map::Array(data).try_into()?;
    let cpus = nr_cpus().map_err(|(_, error)| error).context("cannot count the CPUs")?;
    let cpus = u32::try_from(cpus)?;
    for cpu in 0..cpus {
        // Where a CPU has seen no packet, nobody looks at its ports.
        reasons.set(cpu, [times; Reason::SLOTS * COUNTERS], 0)?;
    }
    for page in 0..cpus * COUNTED_PROTOCOLS * PAGES {
        pages.set(page, [times; PAGE * COUNTERS], 0)?;
    }
    Ok(())
}
