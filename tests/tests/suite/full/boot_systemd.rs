//! A real systemd boots a real kernel while a peer sends without pause, and nothing reaches a closed port before the filter is there.

use anyhow::{Context, Result, ensure};
use fw_tests::{
    lab::wait,
    tests,
    vm::{Disk, Machine, PATIENCE, Peer, peer},
};

tests! {
    a_closed_port_is_closed_from_boot_to_boot;
    the_way_back_with_nothing_but_the_boot_medium;
}

const FILE: &str = r#"printf 'allow = ["22"]\n' > /etc/fw-user/"#;

/// Have eth0 and eth1 closed at every boot, and eth7, which is not there.
fn install(machine: &mut Machine) -> Result<()> {
    let (said, code) = machine.try_run("fw-user service install eth0")?;
    ensure!(code == 1 && said.contains("fw-user save"), "without a file: {code}, {said}");
    ensure!(
        !machine.run("ls /etc/systemd/system /etc/udev/rules.d")?.contains("fw-user"),
        "a refusal left something behind"
    );
    machine.run("mkdir /etc/fw-user")?;
    for interface in ["eth0", "eth1", "eth7"] {
        machine.run(&format!("{FILE}{interface}.toml"))?;
        let said = machine.run(&format!("fw-user service install {interface}"))?;
        ensure!(said.starts_with(&format!("{interface}  at every boot")) && !said.contains("as before"), "{said}");
    }
    let again = machine.run("fw-user service install eth0")?;
    ensure!(again.contains("eth0.toml (as before)\n"), "{again}");
    let shown = machine.run("fw-user service show eth0")?;
    ensure!(
        shown.starts_with("eth0  enabled, inactive: fw-user@eth0.service\n  applies  /etc/fw-user/eth0.toml\n"),
        "{shown}"
    );
    ensure!(shown.contains("\nExecStart=/usr/local/sbin/fw-user apply --force %I"), "{shown}");
    Ok(())
}

/// The filter was there before the network, and nothing got past it.
fn check_boot(machine: &mut Machine) -> Result<()> {
    ensure!(machine.is_closed()?, "datagrams come in at a closed port");
    let early = machine.heard(peer::CLOSED)?;
    ensure!(early == 0, "{early} datagrams came in before the filter");
    let before = machine.run("cat /run/before-network")?;
    ensure!(before.contains("prog/xdp") && !before.contains("inet "), "just before the network starts: {before}");
    for (interface, state) in [("eth0", "active"), ("eth1", "active"), ("eth7", "inactive")] {
        let (said, _) = machine.try_run(&format!("systemctl is-active fw-user@{interface}"))?;
        ensure!(said.trim() == state, "{interface}: {said}");
    }
    let jobs = machine.run("systemctl list-jobs --no-legend")?;
    ensure!(jobs.is_empty(), "the boot is not over: {jobs}");
    machine.is_running()?;
    let mut seconds = |unit: &str, property: &str| -> Result<f64> {
        let said = machine.run(&format!("systemctl show --property={property} --value {unit}"))?;
        Ok(said.trim().parse::<f64>()? / 1e6)
    };
    println!(
        "seconds from the start of the kernel: fw-user starts {:.1}, eth0 is closed {:.1}, the network may start {:.1}, booted {:.1}",
        seconds("fw-user@eth0", "ExecMainStartTimestampMonotonic")?,
        seconds("fw-user@eth0", "ExecMainExitTimestampMonotonic")?,
        seconds("network-pre.target", "ActiveEnterTimestampMonotonic")?,
        seconds("multi-user.target", "ActiveEnterTimestampMonotonic")?
    );
    Ok(())
}

fn a_closed_port_is_closed_from_boot_to_boot() -> Result<()> {
    let peer = Peer::new()?;
    let disk = Disk::new()?;
    let mut machine = Machine::boot(&disk, &peer, "")?;
    ensure!(!machine.is_closed()?, "without the service nothing comes in at the port that it is to close");
    install(&mut machine)?;
    for boot in ["the first", "the second"] {
        machine.reboot()?;
        let checked = check_boot(&mut machine);
        machine.with_journal(checked).with_context(|| format!("{boot} boot with the service"))?;
    }
    for _ in 0..3 {
        let plugged = pull_and_plug(&mut machine);
        machine.with_journal(plugged).context("after the interface was gone")?;
    }

    machine.run("systemctl stop fw-user@eth0")?;
    ensure!(!machine.is_closed()?, "stopping the service opens nothing");
    machine.run("systemctl start fw-user@eth0")?;
    ensure!(machine.is_closed()?, "starting the service closes nothing");

    for file in ["/etc/fw-user/off", "/boot/fw-user.off", "/boot/firmware/fw-user.off"] {
        machine.run(&format!("install -D /dev/null {file}; systemctl restart fw-user@eth0"))?;
        ensure!(!machine.is_closed()?, "{file} does not keep the filter off");
        machine.run(&format!("rm {file}"))?;
    }

    a_mistake_is_loud(&mut machine)?;
    for interface in ["eth0", "eth1", "eth7"] {
        machine.run(&format!("fw-user service remove {interface}"))?;
    }
    let left = machine.run("find /etc/systemd /etc/udev -name '*fw-user*'")?;
    ensure!(left.is_empty(), "removing leaves {left}");
    let (said, code) = machine.try_run("fw-user service remove eth0")?;
    ensure!(code == 1 && said.contains("no service is installed for eth0"), "{code}, {said}");
    Ok(())
}

/// The driver lets go of the network card, and takes it again.
fn pull_and_plug(machine: &mut Machine) -> Result<()> {
    let before = machine.heard(peer::CLOSED)?;
    let driver = "/sys/bus/virtio/drivers/virtio_net";
    let device = machine.run("basename $(readlink /sys/class/net/eth0/device)")?;
    machine.run(&format!("echo {} > {driver}/unbind", device.trim()))?;
    wait::within(PATIENCE, "the service to end with its interface", || {
        Ok((machine.try_run("systemctl is-active fw-user@eth0")?.0.trim() == "inactive").then_some(()))
    })?;
    machine.run(&format!("echo {} > {driver}/bind", device.trim()))?;
    wait::within(PATIENCE, "the new interface to have its address", || {
        Ok(machine.try_run("ip address show eth0")?.0.contains("inet ").then_some(()))
    })?;
    ensure!(machine.is_closed()?, "the new interface has no filter");
    let slipped = machine.heard(peer::CLOSED)? - before;
    ensure!(slipped == 0, "{slipped} datagrams came in at the new interface before its filter");
    Ok(())
}

/// Whoever looks learns of it; the machine comes up all the same.
fn a_mistake_is_loud(machine: &mut Machine) -> Result<()> {
    machine.run("echo 'alow = 1' > /etc/fw-user/eth0.toml")?;
    machine.reboot()?;
    let system = machine.try_run("systemctl is-system-running")?.0;
    ensure!(system.trim() == "degraded", "the system is {system}");
    let failed = machine.run("systemctl --failed --no-legend --plain")?;
    ensure!(failed.starts_with("fw-user@eth0.service ") && failed.lines().count() == 1, "failed: {failed}");
    let code = machine.run("systemctl show --property=ExecMainStatus --value fw-user@eth0")?;
    ensure!(code.trim() == "2", "the exit code is {code}");
    let journal = machine.run("journalctl --boot --no-pager --unit fw-user@eth0")?;
    ensure!(journal.contains("/etc/fw-user/eth0.toml:1:1: "), "{journal}");
    ensure!(machine.console().contains("/etc/fw-user/eth0.toml:1:1: "), "{}", machine.console());
    ensure!(!machine.is_closed()?, "without a file that can be read nothing is closed");
    let (said, code) = machine.try_run("fw-user service install eth0")?;
    ensure!(code == 2 && said.contains("/etc/fw-user/eth0.toml:1:1: "), "{code}, {said}");
    Ok(())
}

/// A word on the kernel's command line, which stands on a partition that every computer can read.
fn the_way_back_with_nothing_but_the_boot_medium() -> Result<()> {
    let peer = Peer::new()?;
    let disk = Disk::new()?;
    let mut machine = Machine::boot(&disk, &peer, "fw-user=off")?;
    install(&mut machine)?;
    machine.reboot()?;
    ensure!(!machine.is_closed()?, "fw-user=off does not keep the filter off");
    let state = machine.try_run("systemctl is-active fw-user@eth0 fw-user@eth1")?.0;
    ensure!(state == "inactive\ninactive\n", "{state}");
    machine.run("systemctl start fw-user@eth0")?;
    ensure!(!machine.is_closed()?, "a start by hand attaches in spite of fw-user=off");
    machine.is_running()?;
    // By hand it works.
    machine.run("fw-user apply eth0")?;
    ensure!(machine.is_closed()?, "fw-user apply closes nothing");
    Ok(())
}
