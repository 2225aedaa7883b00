//! Interfaces to measure on.

use std::{
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
};

use anyhow::Result;

use super::packets::{HOST4, HOST6};
use xtask::command;

/// Loopback, and an interface that has the host's addresses.
pub(super) fn prepare() -> Result<()> {
    ip("link set lo up")?;
    let host = interface()?;
    ip(&format!("addr add {HOST4}/24 dev {host}"))?;
    ip(&format!("addr add {HOST6}/64 dev {host} nodad"))
}

/// A new interface that can native XDP.
pub(super) fn interface() -> Result<String> {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let name = format!("bench{}", COUNT.fetch_add(1, Ordering::Relaxed));
    ip(&format!("link add {name} type veth peer name {name}-peer"))?;
    ip(&format!("link set {name} up"))?;
    ip(&format!("link set {name}-peer up"))?;
    Ok(name)
}

fn ip(line: &str) -> Result<()> {
    command::output(Command::new("ip").args(line.split(' '))).map(drop)
}
