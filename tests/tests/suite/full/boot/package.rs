//! The boot services of a Debian package, which survive an upgrade and go with the package.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use fw_tests::{
    deb,
    lab::wait,
    vm::{
        Machine, PATIENCE, Peer,
        peer::{CLOSED, LAN},
    },
};
use tempfile::TempDir;

use super::{CLOSING, check_boot, states};

/// The package under test, and the same under an older version.
pub(super) struct Packages {
    new: &'static Path,
    old: PathBuf,
    _scratch: TempDir,
}

impl Packages {
    pub(super) fn make() -> Result<Self> {
        let scratch = tempfile::tempdir()?;
        let new = deb::native()?;
        Ok(Self { new, old: deb::renamed(new, "0.0.1-1", scratch.path())?, _scratch: scratch })
    }

    /// Copy both to a guest, while no filter is in the way.
    fn copy(&self, machine: &mut Machine, peer: &Peer) -> Result<()> {
        for (package, path) in [(self.new, "/new.deb"), (&self.old, "/old.deb")] {
            machine.run(&peer.offer(std::fs::read(package)?, path)?)?;
        }
        Ok(())
    }
}

/// Every file of ours, without the program from the source tree: from here on there is one program, the package's.
pub(super) fn files(machine: &mut Machine) -> Result<String> {
    machine.run("rm -rf /usr/local/sbin/fw-user /etc/fw-user")?;
    left(machine)
}

fn left(machine: &mut Machine) -> Result<String> {
    machine.run("find /etc /usr/lib/systemd -name '*fw-user*'; ls -A /etc/systemd/system /etc/udev/rules.d")
}

fn write_file(machine: &mut Machine, interface: &str, text: &str) -> Result<()> {
    // A command is one line.
    let text = text.replace('\n', "\\n");
    machine.run(&format!("mkdir -p /etc/fw-user; printf '{text}' > /etc/fw-user/{interface}.toml")).map(drop)
}

/// Install the older version, and have eth0 and eth1 closed at every boot, and eth7, which is not there. eth1 has a mistake in its file from
/// the next boot on. The units are the package's: only what is about an interface is written.
pub(super) fn install(machine: &mut Machine, peer: &Peer, packages: &Packages) -> Result<()> {
    packages.copy(machine, peer)?;
    machine.run("dpkg --install /old.deb")?;
    ensure!(!machine.is_closed(&LAN)?, "installing alone closes ports");
    let (said, code) = machine.try_run("fw-user service install eth0")?;
    ensure!(code == 1 && said.contains("fw-user save"), "without a file: {code}, {said}");
    // One that an installation from source left, and that would hide the package's.
    machine.run("cp /usr/lib/systemd/system/fw-user@.service /etc/systemd/system/")?;
    for interface in ["eth0", "eth1", "eth7"] {
        write_file(machine, interface, CLOSING)?;
        let said = machine.run(&format!("fw-user service install {interface}"))?;
        ensure!(said.starts_with(&format!("{interface}  at every boot")) && !said.contains("as before"), "{said}");
    }
    let written = machine.run("cd /etc/udev/rules.d; find /etc/systemd . -name '*fw-user*' -type f | sort")?;
    ensure!(written == "./81-fw-user-eth0.rules\n./81-fw-user-eth1.rules\n./81-fw-user-eth7.rules\n", "{written}");
    let shown = machine.run("fw-user service show eth0")?;
    ensure!(
        shown.starts_with("eth0  enabled, inactive: fw-user@eth0.service\n  applies  /etc/fw-user/eth0.toml\n")
            && shown.ends_with("  unit     /usr/lib/systemd/system/fw-user@.service, starts /usr/sbin/fw-user\n"),
        "{shown}"
    );
    write_file(machine, "eth1", "alow = 1\n")
}

pub(super) fn check(machine: &mut Machine) -> Result<()> {
    check_boot(machine, &["eth0"], "fw-user@eth0")?;
    let states = states(machine, "fw-user@eth0 fw-user@eth1 fw-user@eth7")?;
    ensure!(states == "active failed inactive", "{states}");
    a_mistake_is_loud(machine)?;
    for _ in 0..2 {
        bind_again(machine)?;
    }
    the_service_stops_and_starts(machine)?;
    machine.run("fw-user service remove eth7")?;
    let left = left(machine)?;
    ensure!(left.contains("eth0") && !left.contains("eth7"), "removing leaves {left}");
    Ok(())
}

/// The failure is visible, the machine still comes up, and the other interface is closed.
fn a_mistake_is_loud(machine: &mut Machine) -> Result<()> {
    let system = machine.try_run("systemctl is-system-running")?.0;
    ensure!(system.trim() == "degraded", "the system is {system}");
    let failed = machine.run("systemctl --failed --no-legend --plain")?;
    ensure!(failed.starts_with("fw-user@eth1.service ") && failed.lines().count() == 1, "failed: {failed}");
    let code = machine.run("systemctl show --property=ExecMainStatus --value fw-user@eth1")?;
    ensure!(code.trim() == "2", "the exit code is {code}");
    let journal = machine.run("journalctl --boot --no-pager --unit fw-user@eth1")?;
    ensure!(journal.contains("/etc/fw-user/eth1.toml:1:1: "), "{journal}");
    ensure!(machine.console().contains("/etc/fw-user/eth1.toml:1:1: "), "{}", machine.console());
    let (said, code) = machine.try_run("fw-user service install eth1")?;
    ensure!(code == 2 && said.contains("/etc/fw-user/eth1.toml:1:1: "), "{code}, {said}");
    // Once it is mended, all is well.
    write_file(machine, "eth1", CLOSING)?;
    machine.run("systemctl restart fw-user@eth1")?;
    let link = machine.run("ip -details link show eth1")?;
    ensure!(link.contains("prog/xdp"), "{link}");
    machine.is_running()
}

/// The driver lets go of the network card, and takes it again.
fn bind_again(machine: &mut Machine) -> Result<()> {
    let before = machine.heard(CLOSED, LAN.name)?;
    let driver = "/sys/bus/virtio/drivers/virtio_net";
    let device = machine.run("basename $(readlink /sys/class/net/eth0/device)")?;
    machine.run(&format!("echo {} > {driver}/unbind", device.trim()))?;
    wait::within(PATIENCE, "the service to end with its interface", || {
        Ok((states(machine, "fw-user@eth0")? == "inactive").then_some(()))
    })?;
    machine.run(&format!("echo {} > {driver}/bind", device.trim()))?;
    // It has its address once datagrams come in at the open port.
    ensure!(machine.is_closed(&LAN)?, "the new interface has no filter");
    let slipped = machine.heard(CLOSED, LAN.name)? - before;
    ensure!(slipped == 0, "{slipped} datagrams came in at the new interface before its filter");
    Ok(())
}

fn the_service_stops_and_starts(machine: &mut Machine) -> Result<()> {
    machine.run("systemctl stop fw-user@eth0")?;
    ensure!(!machine.is_closed(&LAN)?, "stopping the service opens nothing");
    machine.run("systemctl start fw-user@eth0")?;
    ensure!(machine.is_closed(&LAN)?, "starting the service closes nothing");
    for file in ["/etc/fw-user/off", "/boot/fw-user.off", "/boot/firmware/fw-user.off"] {
        machine.run(&format!("install -D /dev/null {file}; systemctl restart fw-user@eth0"))?;
        ensure!(!machine.is_closed(&LAN)?, "{file} does not keep the filter off");
        machine.run(&format!("rm {file}"))?;
    }
    machine.run("systemctl start fw-user@eth0").map(drop)
}

/// The new version makes the interface as its file says, and meanwhile nothing comes in.
pub(super) fn upgrade(machine: &mut Machine) -> Result<()> {
    let before = machine.heard(CLOSED, LAN.name)?;
    write_file(machine, "eth0", "allow = [\"22\", \"443/tcp\"]\n")?;
    let said = machine.run("dpkg --install /new.deb 2>&1")?;
    ensure!(said.contains("over (0.0.1-1)") && said.contains("+ 443/tcp"), "{said}");
    machine.is_running()?;
    ensure!(states(machine, "fw-user@eth0")? == "active");

    // The mistake is reported, and nothing changes.
    write_file(machine, "eth0", "alow = 1\n")?;
    let said = machine.run("dpkg --install /new.deb 2>&1")?;
    ensure!(
        said.contains("the filter on eth0 was not changed; fix the problem, then run: fw-user apply eth0"),
        "{said}"
    );
    ensure!(machine.is_closed(&LAN)?, "the upgrade opens a closed port");
    let slipped = machine.heard(CLOSED, LAN.name)? - before;
    ensure!(slipped == 0, "{slipped} datagrams came in during the upgrade");
    machine.is_running()
}

/// What was there `before` the package is left when it is purged.
pub(super) fn remove(machine: &mut Machine, before: &str) -> Result<()> {
    machine.run("dpkg --remove fw-user")?;
    ensure!(!machine.is_closed(&LAN)?, "the filter stays without a program to take it off");
    machine.run("test -f /etc/fw-user/eth0.toml")?;
    machine.is_running()?;
    machine.run("dpkg --purge fw-user")?;
    let after = left(machine)?;
    ensure!(after == before, "purging leaves {after}, there was {before}");
    machine.is_running()
}
