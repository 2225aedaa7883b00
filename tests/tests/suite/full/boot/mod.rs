//! A real systemd boots a real kernel while a peer sends without pause, and nothing reaches a closed port before the filter is there:
//! neither through the interfaces that are there from the start, nor through one that is plugged in later.
//!
//! An emulated boot takes half a minute: one machine boots three times, and each boot is looked at in every respect. In between it is
//! switched off.

mod all;
mod off;
mod package;

use std::{thread, time::Instant};

use anyhow::{Context, Result, ensure};
use fw_tests::{
    deb, tests,
    vm::{
        Disk, Machine, Peer,
        peer::{self, LAN},
    },
};
use serde_json::Value;

use self::package::Packages;

tests! {
    a_closed_port_is_closed_from_boot_to_boot_and_on_an_adapter_that_is_plugged_in;
}

/// Of a file that closes everything but port 22.
const CLOSING: &str = "allow = [\"22\"]\n";

fn a_closed_port_is_closed_from_boot_to_boot_and_on_an_adapter_that_is_plugged_in() -> Result<()> {
    let start = Instant::now();
    let done = |what: &str| println!("{:4.0} s  {what}", start.elapsed().as_secs_f64());
    // They take minutes on a fresh machine, and the third boot is the first to need them. Those for other architectures are for the tests of
    // packages, which would wait for them later.
    let packages = thread::spawn(|| {
        let made = Packages::make();
        thread::spawn(deb::packages);
        made
    });
    let peer = Peer::new()?;
    let disk = Disk::new(off::install)?;
    done("disk");

    let mut machine = Machine::boot(&disk, &peer, "fw-user=off")?;
    done("first boot");
    let checked = off::check(&mut machine).and_then(|()| all::attach(&mut machine));
    machine.with_journal(checked).context("the boot with fw-user=off")?;
    machine.switch_off()?;
    done("fw-user=off keeps every service from attaching; attach --all --boot is typed");

    let mut machine = Machine::boot(&disk, &peer, "")?;
    done("second boot");
    let checked = all::check(&mut machine);
    machine.with_journal(checked).context("the boot after attach --all --boot")?;
    done("every outside interface is closed");
    let checked = all::plug_in(&mut machine).and_then(|()| all::disable(&mut machine));
    machine.with_journal(checked).context("an adapter is plugged in")?;
    done("so is an adapter");
    let before = package::files(&mut machine)?;
    let packages = packages.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
    done("the package is made");
    package::install(&mut machine, &peer, &packages)?;
    machine.switch_off()?;
    done("the package is installed");

    let mut machine = Machine::boot(&disk, &peer, "")?;
    done("third boot");
    let checked = package::check(&mut machine);
    machine.with_journal(checked).context("the boot with the services of a package")?;
    done("the services of the package work");
    let upgraded = package::upgrade(&mut machine);
    machine.with_journal(upgraded).context("the upgrade")?;
    let removed = package::remove(&mut machine, &before);
    machine.with_journal(removed).context("removing the package")?;
    done("the package is upgraded and removed");
    Ok(())
}

/// These interfaces, and no others, had a filter before the network started, no interface had an address then, and nothing got in. A
/// unit had started the filters.
fn check_boot(machine: &mut Machine, closed: &[&str], unit: &str) -> Result<()> {
    nothing_came_in(machine)?;
    let before = machine.run("cat /run/before-network")?;
    let interfaces: Vec<Value> = serde_json::from_str(&before).with_context(|| before.clone())?;
    let of_network = interfaces.iter().filter(|one| one["ifname"] != "lo");
    let filtered: Vec<&str> =
        of_network.clone().filter(|one| one.get("xdp").is_some()).filter_map(|one| one["ifname"].as_str()).collect();
    ensure!(filtered == closed, "{filtered:?} had a filter just before the network started: {before}");
    for one in of_network {
        ensure!(
            one["addr_info"].as_array().is_some_and(Vec::is_empty),
            "{one} had an address before the network started"
        );
    }
    let jobs = machine.run("systemctl list-jobs --no-legend")?;
    ensure!(jobs.is_empty(), "the boot is not over: {jobs}");
    let mut seconds = |unit: &str, property: &str| -> Result<f64> {
        let said = machine.run(&format!("systemctl show --property={property} --value {unit}"))?;
        Ok(said.trim().parse::<f64>()? / 1e6)
    };
    println!(
        "seconds from the start of the kernel: {unit} starts {:.1}, {} closed {:.1}, the network may start {:.1}, booted {:.1}",
        seconds(unit, "ExecMainStartTimestampMonotonic")?,
        closed.join(" and "),
        seconds(unit, "ExecMainExitTimestampMonotonic")?,
        seconds("network-pre.target", "ActiveEnterTimestampMonotonic")?,
        seconds("multi-user.target", "ActiveEnterTimestampMonotonic")?
    );
    Ok(())
}

/// Through the cable that is there from the start, since the machine was switched on.
fn nothing_came_in(machine: &mut Machine) -> Result<()> {
    ensure!(machine.is_closed(&LAN)?, "datagrams come in at a closed port");
    let early = machine.heard(peer::CLOSED, LAN.name)?;
    ensure!(early == 0, "{early} datagrams came in before the filter");
    Ok(())
}

/// The states of units, in systemd's words.
fn states(machine: &mut Machine, units: &str) -> Result<String> {
    let (said, _) = machine.try_run(&format!("systemctl is-active {units}"))?;
    Ok(said.split_whitespace().collect::<Vec<_>>().join(" "))
}
