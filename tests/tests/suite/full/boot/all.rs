//! Every outside interface, by the one command of the README: those that are there at boot, and an adapter that is plugged in later. What
//! leads to containers is left alone.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use fw_tests::{
    lab::wait,
    vm::{
        Machine, PATIENCE,
        peer::{CLOSED, LATER, OPEN},
    },
};
use serde_json::Value;

use super::{check_boot, states};

/// All that is typed.
pub(super) fn attach(machine: &mut Machine) -> Result<()> {
    let said = machine.run("fw-user attach --all --allow 22 --force --boot")?;
    for words in [
        "  boot    yes, by fw-user-all.service: /etc/fw-user/all.toml, same rules as now\n",
        "  later   an outside interface that appears later gets the same filter",
    ] {
        ensure!(said.contains(words), "no {words:?} in {said}");
    }
    filtered(machine, &["eth0", "eth1"])
}

/// These interfaces have a filter that a reboot keeps, and no outside one is without.
fn filtered(machine: &mut Machine, expected: &[&str]) -> Result<()> {
    let status: Value = serde_json::from_str(&machine.run("fw-user status --check --json")?)?;
    let interfaces = status["interfaces"].as_array().context("interfaces")?;
    let names: Vec<&str> = interfaces.iter().filter_map(|one| one["name"].as_str()).collect();
    let is_kept = |one: &Value| one["state"] == "active" && one["boot"]["state"] == "kept";
    ensure!(names == expected && interfaces.iter().all(is_kept), "not {expected:?} alone: {status}");
    ensure!(status["unfiltered"].as_array().is_some_and(Vec::is_empty), "{status}");
    Ok(())
}

pub(super) fn check(machine: &mut Machine) -> Result<()> {
    check_boot(machine, &["eth0", "eth1"], "fw-user-all")?;
    machine.is_running()?;
    ensure!(states(machine, "fw-user-all")? == "active");
    filtered(machine, &["eth0", "eth1"])?;
    containers_are_unhurt(machine)
}

/// The bridge appears at boot, after the filters, and a container's cable later.
fn containers_are_unhurt(machine: &mut Machine) -> Result<()> {
    machine.run(
        "ip netns add box && ip link add veth0 type veth peer name eth0 netns box && ip link set veth0 master docker0 up && \
         ip -netns box address add 172.17.0.2/16 dev eth0 && ip -netns box link set eth0 up && udevadm settle",
    )?;
    for name in ["docker0", "veth0"] {
        ensure!(!is_applied(machine, name)?, "the udev rule takes {name} for one that leads outside");
    }
    wait::within(PATIENCE, "the container to reach a closed port of its host", || {
        machine.run("echo box | ip netns exec box socat -u - UDP4-SENDTO:172.17.0.1:9123")?;
        Ok((machine.heard(CLOSED, "box")? > 0).then_some(()))
    })?;
    filtered(machine, &["eth0", "eth1"])
}

/// Whether the udev rule has started the unit for an interface that appeared.
fn is_applied(machine: &mut Machine, name: &str) -> Result<bool> {
    let number = machine.run(&format!("cat /sys/class/net/{name}/ifindex"))?;
    let unit = format!("fw-user-later@{}.service", number.trim());
    Ok(!machine.run(&format!("journalctl --sync; journalctl --boot --quiet --no-pager --unit {unit}"))?.is_empty())
}

/// An adapter, twice. Nothing comes in before its filter.
pub(super) fn plug_in(machine: &mut Machine) -> Result<()> {
    for _ in 0..2 {
        let start = Instant::now();
        machine.plug_in()?;
        let is_closed = machine.is_closed(&LATER)?;
        let (open, slipped) = (machine.heard(OPEN, LATER.name)?, machine.heard(CLOSED, LATER.name)?);
        println!(
            "the adapter, {:.1} s after it was plugged in: {open} datagrams at the open port, {slipped} at the closed one",
            start.elapsed().as_secs_f64()
        );
        ensure!(is_closed && slipped == 0, "{slipped} datagrams came in at the adapter");
        ensure!(is_applied(machine, "eth2")?, "something else than the udev rule has closed the adapter");
        filtered(machine, &["eth0", "eth1", "eth2"])?;
        pull_out(machine)?;
        machine.is_running()?;
    }
    Ok(())
}

/// With the adapter go the pins of its filter.
fn pull_out(machine: &mut Machine) -> Result<()> {
    machine.pull_out()?;
    wait::within(PATIENCE, "the pins of the adapter to go", || {
        Ok(machine.run("find /sys/fs/bpf -name if-eth2")?.is_empty().then_some(()))
    })
}

/// Without the service an adapter is open.
pub(super) fn disable(machine: &mut Machine) -> Result<()> {
    let said = machine.run("fw-user disable --all")?;
    ensure!(said.starts_with("every outside interface  not attached at boot; the filter stays until"), "{said}");
    let left = machine.run("find /etc/systemd /etc/udev -name '*fw-user*'")?;
    ensure!(left.is_empty(), "disabling leaves {left}");
    machine.plug_in()?;
    ensure!(!machine.is_closed(&LATER)?, "without the service something else closes the adapter");
    pull_out(machine)?;
    machine.run("fw-user detach --all").map(drop)
}
