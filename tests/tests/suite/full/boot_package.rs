//! The package where a real systemd runs: its units close the ports at boot, an upgrade has them go on, removing it leaves no unit.

use anyhow::{Context, Result, ensure};
use fw_tests::{
    deb, tests,
    vm::{Disk, Machine, Peer, peer},
};

tests! {
    the_boot_service_of_a_package_survives_an_upgrade_and_goes_with_it;
}

fn the_boot_service_of_a_package_survives_an_upgrade_and_goes_with_it() -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let new = deb::only_native()?;
    let old = deb::renamed(&new, "0.0.1-1", scratch.path())?;
    let peer = Peer::new()?;
    let disk = Disk::with(&[&old, &new])?;
    let mut machine = Machine::boot(&disk, &peer, "")?;
    let name = |package: &std::path::Path| package.file_name().unwrap_or_default().to_string_lossy().into_owned();
    // There is one program, the package's.
    machine.run("rm /usr/local/sbin/fw-user")?;
    let before =
        machine.run("find /etc /usr/lib/systemd -name '*fw-user*'; ls -A /etc/systemd/system /etc/udev/rules.d")?;

    machine.run(&format!("dpkg --install /{}", name(&old)))?;
    ensure!(!machine.is_closed()?, "installing alone closes ports");
    install_service(&mut machine)?;
    machine.reboot()?;
    let checked = check_boot(&mut machine);
    machine.with_journal(checked).context("at the first boot")?;

    let upgraded = upgrade(&mut machine, &name(&new));
    machine.with_journal(upgraded).context("the upgrade")?;

    machine.run("dpkg --remove fw-user")?;
    ensure!(!machine.is_closed()?, "the filter stays without a program to take it off");
    machine.run("test -f /etc/fw-user/eth0.toml")?;
    machine.is_running()?;
    machine.run("dpkg --purge fw-user")?;
    let after =
        machine.run("find /etc /usr/lib/systemd -name '*fw-user*'; ls -A /etc/systemd/system /etc/udev/rules.d")?;
    ensure!(after == before, "purging leaves {after}, there was {before}");
    machine.is_running()
}

/// The units are the package's: only what is about eth0 is written.
fn install_service(machine: &mut Machine) -> Result<()> {
    machine.run("mkdir /etc/fw-user; echo 'allow = [\"22\"]' > /etc/fw-user/eth0.toml")?;
    // One that an installation from source left, and that would hide the package's.
    machine.run("cp /usr/lib/systemd/system/fw-user@.service /etc/systemd/system/; fw-user service install eth0")?;
    let written = machine.run("find /etc/systemd /etc/udev -name '*fw-user*' -type f")?;
    ensure!(written == "/etc/udev/rules.d/81-fw-user-eth0.rules\n", "{written}");
    let shown = machine.run("fw-user service show eth0")?;
    ensure!(shown.contains("  unit     /usr/lib/systemd/system/fw-user@.service\n"), "{shown}");
    Ok(())
}

fn check_boot(machine: &mut Machine) -> Result<()> {
    ensure!(machine.is_closed()?, "datagrams come in at a closed port");
    let early = machine.heard(peer::CLOSED)?;
    ensure!(early == 0, "{early} datagrams came in before the filter");
    machine.is_running()
}

/// The new version makes the interface as its file says, and meanwhile nothing comes in.
fn upgrade(machine: &mut Machine, package: &str) -> Result<()> {
    machine.run("echo 'allow = [\"22\", \"443/tcp\"]' > /etc/fw-user/eth0.toml")?;
    let said = machine.run(&format!("dpkg --install /{package} 2>&1"))?;
    ensure!(said.contains("over (0.0.1-1)") && said.contains("+ 443/tcp"), "{said}");
    check_boot(machine)?;
    let state = machine.run("systemctl is-active fw-user@eth0")?;
    ensure!(state == "active\n", "{state}");

    // What would be wrong is said, and nothing else changes.
    machine.run("echo 'alow = 1' > /etc/fw-user/eth0.toml")?;
    let said = machine.run(&format!("dpkg --install /{package} 2>&1"))?;
    ensure!(
        said.contains("the filter on eth0 was not changed; fix the problem, then run: fw-user apply eth0"),
        "{said}"
    );
    check_boot(machine)
}
