//! A real systemd boots a real kernel while a peer sends without pause, and nothing reaches a closed port before the filter is there:
//! neither with the boot service of an installation from source, nor with a package's, which survives an upgrade and goes with the package.
//!
//! An emulated boot takes half a minute: one machine boots three times, and each boot is looked at in every respect.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use fw_tests::{
    deb,
    lab::wait,
    tests,
    vm::{Disk, Machine, PATIENCE, Peer, Tree, peer},
};
use fw_user::testing::files::{self, File};

tests! {
    a_closed_port_is_closed_from_boot_to_boot_by_the_service_of_a_source_tree_and_of_a_package;
}

/// Of a file that closes everything but port 22.
const CLOSING: &str = "allow = [\"22\"]\n";

fn a_closed_port_is_closed_from_boot_to_boot_by_the_service_of_a_source_tree_and_of_a_package() -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let new = deb::native()?;
    let old = deb::renamed(new, "0.0.1-1", scratch.path())?;
    let peer = Peer::new()?;
    let disk = Disk::new(|tree| {
        tree.write("new.deb", &std::fs::read(new)?, 0o644)?;
        tree.write("old.deb", &std::fs::read(&old)?, 0o644)?;
        installed(tree)
    })?;

    let mut machine = Machine::boot(&disk, &peer, "fw-user=off")?;
    let checked = the_way_back_with_nothing_but_the_boot_medium(&mut machine);
    machine.with_journal(checked).context("the boot with fw-user=off")?;
    install(&mut machine)?;
    machine.switch_off()?;

    let mut machine = Machine::boot(&disk, &peer, "")?;
    let checked = check_boot(&mut machine, &[("eth0", "active"), ("eth1", "active"), ("eth7", "inactive")])
        .and_then(|()| machine.is_running());
    machine.with_journal(checked).context("the boot with the service of a source tree")?;
    for _ in 0..3 {
        let plugged = pull_and_plug(&mut machine);
        machine.with_journal(plugged).context("after the interface was gone")?;
    }
    the_service_stops_and_starts(&mut machine)?;
    remove(&mut machine)?;

    // From here on there is one program, the package's.
    machine.run("rm -r /usr/local/sbin/fw-user /etc/fw-user")?;
    let before = machine.run(LEFT)?;
    install_package(&mut machine)?;
    machine.reboot()?;
    let checked = check_boot(&mut machine, &[("eth0", "active"), ("eth1", "failed")])
        .and_then(|()| a_mistake_is_loud(&mut machine));
    machine.with_journal(checked).context("the boot with the service of a package")?;
    let upgraded = upgrade(&mut machine);
    machine.with_journal(upgraded).context("the upgrade")?;
    machine.run("dpkg --remove fw-user")?;
    ensure!(!machine.is_closed()?, "the filter stays without a program to take it off");
    machine.run("test -f /etc/fw-user/eth0.toml")?;
    machine.is_running()?;
    machine.run("dpkg --purge fw-user")?;
    let after = machine.run(LEFT)?;
    ensure!(after == before, "purging leaves {after}, there was {before}");
    machine.is_running()
}

/// The files of the service.
const LEFT: &str = "find /etc /usr/lib/systemd -name '*fw-user*'; ls -A /etc/systemd/system /etc/udev/rules.d";

/// The files that `fw-user service install eth0` and `... eth1` write, so that no extra boot is needed. The guest checks that they are the same.
fn installed(tree: &Tree<'_>) -> Result<()> {
    let units = [files::template("/usr/local/sbin/fw-user"), files::settle()];
    let rules = ["eth0", "eth1"].map(|interface| files::rules(interface, &format!("fw-user@{interface}.service")));
    for File { path, text } in units.iter().chain(&rules) {
        tree.write(path.strip_prefix("/")?.to_str().context("a path in UTF-8")?, text.as_bytes(), 0o644)?;
    }
    tree.want("sysinit.target", files::SETTLE, &in_units(files::SETTLE)?)?;
    for interface in ["eth0", "eth1"] {
        tree.write(&format!("etc/fw-user/{interface}.toml"), CLOSING.as_bytes(), 0o644)?;
        let device = format!("sys-subsystem-net-devices-{interface}.device");
        tree.want(&device, &format!("fw-user@{interface}.service"), &in_units(files::TEMPLATE)?)?;
    }
    Ok(())
}

fn in_units(name: &str) -> Result<String> {
    Ok(Path::new(files::UNITS).join(name).to_str().context("a path in UTF-8")?.to_owned())
}

/// A word on the kernel's command line, which stands on a partition that every computer can read.
fn the_way_back_with_nothing_but_the_boot_medium(machine: &mut Machine) -> Result<()> {
    ensure!(!machine.is_closed()?, "fw-user=off does not keep the filter off");
    for interface in ["eth0", "eth1"] {
        let again = machine.run(&format!("fw-user service install {interface}"))?;
        ensure!(again.contains(&format!("{interface}.toml (as before)\n")), "it was installed otherwise: {again}");
    }
    let state = machine.try_run("systemctl is-active fw-user@eth0 fw-user@eth1")?.0;
    ensure!(state == "inactive\ninactive\n", "{state}");
    machine.run("systemctl start fw-user@eth0")?;
    ensure!(!machine.is_closed()?, "a start by hand attaches in spite of fw-user=off");
    machine.is_running()?;
    // By hand it works.
    machine.run("fw-user apply eth0")?;
    ensure!(machine.is_closed()?, "fw-user apply closes nothing");
    machine.run("fw-user service remove eth0; fw-user service remove eth1; fw-user detach eth0; rm -r /etc/fw-user")?;
    let left = machine.run("find /etc -name '*fw-user*'")?;
    ensure!(left.is_empty(), "removing leaves {left}");
    ensure!(!machine.is_closed()?, "without the service nothing comes in at the port that it is to close");
    Ok(())
}

fn write_file(machine: &mut Machine, interface: &str, text: &str) -> Result<()> {
    // A command is one line.
    let text = text.replace('\n', "\\n");
    machine.run(&format!("mkdir -p /etc/fw-user; printf '{text}' > /etc/fw-user/{interface}.toml")).map(drop)
}

/// Have eth0 and eth1 closed at every boot, and eth7, which is not there.
fn install(machine: &mut Machine) -> Result<()> {
    let (said, code) = machine.try_run("fw-user service install eth0")?;
    ensure!(code == 1 && said.contains("fw-user save"), "without a file: {code}, {said}");
    ensure!(
        !machine.run("ls /etc/systemd/system /etc/udev/rules.d")?.contains("fw-user"),
        "a refusal left something behind"
    );
    for interface in ["eth0", "eth1", "eth7"] {
        write_file(machine, interface, CLOSING)?;
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
    ensure!(shown.ends_with("fw-user@.service, starts /usr/local/sbin/fw-user\n"), "{shown}");
    Ok(())
}

/// The filter was there before the network, and nothing got past it. The services are in these states.
fn check_boot(machine: &mut Machine, states: &[(&str, &str)]) -> Result<()> {
    nothing_came_in(machine)?;
    let before = machine.run("cat /run/before-network")?;
    ensure!(before.contains("prog/xdp") && !before.contains("inet "), "just before the network starts: {before}");
    for (interface, state) in states {
        let (said, _) = machine.try_run(&format!("systemctl is-active fw-user@{interface}"))?;
        ensure!(said.trim() == *state, "{interface}: {said}");
    }
    let jobs = machine.run("systemctl list-jobs --no-legend")?;
    ensure!(jobs.is_empty(), "the boot is not over: {jobs}");
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

/// Since the machine was switched on.
fn nothing_came_in(machine: &mut Machine) -> Result<()> {
    ensure!(machine.is_closed()?, "datagrams come in at a closed port");
    let early = machine.heard(peer::CLOSED)?;
    ensure!(early == 0, "{early} datagrams came in before the filter");
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

fn the_service_stops_and_starts(machine: &mut Machine) -> Result<()> {
    machine.run("systemctl stop fw-user@eth0")?;
    ensure!(!machine.is_closed()?, "stopping the service opens nothing");
    machine.run("systemctl start fw-user@eth0")?;
    ensure!(machine.is_closed()?, "starting the service closes nothing");
    for file in ["/etc/fw-user/off", "/boot/fw-user.off", "/boot/firmware/fw-user.off"] {
        machine.run(&format!("install -D /dev/null {file}; systemctl restart fw-user@eth0"))?;
        ensure!(!machine.is_closed()?, "{file} does not keep the filter off");
        machine.run(&format!("rm {file}"))?;
    }
    Ok(())
}

fn remove(machine: &mut Machine) -> Result<()> {
    for interface in ["eth0", "eth1", "eth7"] {
        machine.run(&format!("fw-user service remove {interface}"))?;
    }
    let left = machine.run("find /etc/systemd /etc/udev -name '*fw-user*'")?;
    ensure!(left.is_empty(), "removing leaves {left}");
    let (said, code) = machine.try_run("fw-user service remove eth0")?;
    ensure!(code == 1 && said.contains("no service is installed for eth0"), "{code}, {said}");
    Ok(())
}

/// The older version, of which eth1 has a mistake in its file from the next boot on. The units are the package's: only what is about an
/// interface is written.
fn install_package(machine: &mut Machine) -> Result<()> {
    machine.run("dpkg --install /old.deb")?;
    ensure!(!machine.is_closed()?, "installing alone closes ports");
    // One that an installation from source left, and that would hide the package's.
    machine.run("cp /usr/lib/systemd/system/fw-user@.service /etc/systemd/system/")?;
    for interface in ["eth0", "eth1"] {
        write_file(machine, interface, CLOSING)?;
        machine.run(&format!("fw-user service install {interface}"))?;
    }
    let written = machine.run("find /etc/systemd /etc/udev -name '*fw-user*' -type f | sort")?;
    ensure!(
        written == "/etc/udev/rules.d/81-fw-user-eth0.rules\n/etc/udev/rules.d/81-fw-user-eth1.rules\n",
        "{written}"
    );
    let shown = machine.run("fw-user service show eth0")?;
    ensure!(
        shown.contains("  unit     /usr/lib/systemd/system/fw-user@.service, starts /usr/sbin/fw-user\n"),
        "{shown}"
    );
    write_file(machine, "eth1", "alow = 1\n")
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
    let link = machine.run("ip -details link show eth1")?;
    ensure!(!link.contains("prog/xdp"), "without a file that can be read nothing is closed: {link}");
    let (said, code) = machine.try_run("fw-user service install eth1")?;
    ensure!(code == 2 && said.contains("/etc/fw-user/eth1.toml:1:1: "), "{code}, {said}");
    // Once it is mended, all is well.
    write_file(machine, "eth1", CLOSING)?;
    machine.run("systemctl restart fw-user@eth1")?;
    let link = machine.run("ip -details link show eth1")?;
    ensure!(link.contains("prog/xdp"), "{link}");
    machine.is_running()
}

/// The new version makes the interface as its file says, and meanwhile nothing comes in.
fn upgrade(machine: &mut Machine) -> Result<()> {
    write_file(machine, "eth0", "allow = [\"22\", \"443/tcp\"]\n")?;
    let said = machine.run("dpkg --install /new.deb 2>&1")?;
    ensure!(said.contains("over (0.0.1-1)") && said.contains("+ 443/tcp"), "{said}");
    nothing_came_in(machine)?;
    machine.is_running()?;
    let state = machine.run("systemctl is-active fw-user@eth0")?;
    ensure!(state == "active\n", "{state}");

    // The mistake is reported, and nothing changes.
    write_file(machine, "eth0", "alow = 1\n")?;
    let said = machine.run("dpkg --install /new.deb 2>&1")?;
    ensure!(
        said.contains("the filter on eth0 was not changed; fix the problem, then run: fw-user apply eth0"),
        "{said}"
    );
    nothing_came_in(machine)?;
    machine.is_running()
}
