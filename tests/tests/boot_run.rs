//! The units that are copied by hand, from `contrib/systemd`, where a real systemd runs them: what keeps them in bounds keeps nothing from
//! working, and what they tell systemd is what it takes them at.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use fw_tests::{
    lab::wait,
    tests,
    vm::{Disk, Machine, PATIENCE, Peer, peer},
};

tests! {
    the_units_to_copy_do_what_the_manual_says_of_them;
}

const UNITS: [&str; 4] =
    ["fw-user-run.service", "fw-user-metrics.service", "fw-user-textfile.service", "fw-user-textfile.timer"];
const RUN: &str = "fw-user-run";

fn contrib(unit: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../contrib/systemd").join(unit)
}

fn the_units_to_copy_do_what_the_manual_says_of_them() -> Result<()> {
    let peer = Peer::new()?;
    let units = UNITS.map(contrib);
    let disk = Disk::with(&units.each_ref().map(PathBuf::as_path))?;
    let mut machine = Machine::boot(&disk, &peer, "")?;
    machine.run("mv /fw-user-* /etc/systemd/system/ && systemctl daemon-reload && mkdir /etc/fw-user")?;
    machine.run("echo 'allow = [\"22\"]' > /etc/fw-user/eth0.toml")?;
    ensure!(!machine.is_closed()?, "the port is closed without them");

    let kept = keeps_the_files_in_force(&mut machine);
    machine.with_journal(kept).context(RUN)?;
    machine.reboot()?;
    let booted = closes_before_the_network(&mut machine);
    machine.with_journal(booted).context("after a reboot")?;
    let told = tells_prometheus(&mut machine);
    machine.with_journal(told).context("metrics")?;
    machine.is_running()
}

/// What systemd knows of the unit.
fn property(machine: &mut Machine, name: &str) -> Result<String> {
    Ok(machine.run(&format!("systemctl show --property={name} --value {RUN}"))?.trim().to_owned())
}

fn keeps_the_files_in_force(machine: &mut Machine) -> Result<()> {
    // It returns when the unit says that it is ready: the files are in force then.
    machine.run(&format!("systemctl enable --now {RUN}"))?;
    ensure!(machine.is_closed()?, "it is ready, and the port is open");
    ensure!(property(machine, "StatusText")? == "as the files say: eth0", "{}", property(machine, "StatusText")?);
    machine.run(&format!("echo 'allow = [\"22\", \"{}/udp\"]' > /etc/fw-user/eth0.toml", peer::CLOSED))?;
    wait::within(PATIENCE, "the change to be applied", || Ok((!machine.is_closed()?).then_some(())))?;
    machine.run("echo 'alow = 1' > /etc/fw-user/eth0.toml")?;
    wait::within(PATIENCE, "the mistake to be told", || {
        Ok(property(machine, "StatusText")?.starts_with("what is in force stays: one mistake").then_some(()))
    })?;
    machine.run("echo 'allow = [\"22\"]' > /etc/fw-user/eth0.toml")?;
    // Which returns when it is ready again.
    machine.run(&format!("systemctl reload {RUN}"))?;
    ensure!(machine.is_closed()?, "it was reloaded, and the port is open");
    // Neither its end nor its death opens anything, and the latter is made good for.
    machine.run(&format!("systemctl stop {RUN}"))?;
    ensure!(machine.is_closed()?, "stopping it opens the port");
    machine.run(&format!("systemctl start {RUN} && systemctl kill --signal=KILL {RUN}"))?;
    wait::within(PATIENCE, "another one", || {
        let restarts = property(machine, "NRestarts")?;
        Ok((restarts == "1" && property(machine, "ActiveState")? == "active").then_some(()))
    })?;
    ensure!(machine.is_closed()?, "its death opens the port");
    Ok(())
}

fn closes_before_the_network(machine: &mut Machine) -> Result<()> {
    ensure!(machine.is_closed()?, "datagrams come in at a closed port");
    let early = machine.heard(peer::CLOSED)?;
    ensure!(early == 0, "{early} datagrams came in before the filter");
    let before = machine.run("cat /run/before-network")?;
    ensure!(before.contains("prog/xdp") && !before.contains("inet "), "just before the network starts: {before}");
    machine.is_running()
}

fn tells_prometheus(machine: &mut Machine) -> Result<()> {
    const ASK: &str = "printf 'GET /metrics HTTP/1.0\\r\\n\\r\\n' | socat - TCP:127.0.0.1:9843";
    const UP: &str = "fw_up{interface=\"eth0\"} 1\n";
    let served = machine.run(ASK)?;
    ensure!(served.contains(UP) && served.contains("fw_config_last_apply_successful 1\n"), "{served}");
    machine.run("mkdir -p /var/lib/prometheus/node-exporter && systemctl enable --now fw-user-textfile.timer")?;
    let file = "/var/lib/prometheus/node-exporter/fw.prom";
    wait::within(PATIENCE, "the timer's file", || {
        Ok(machine.try_run(&format!("cat {file}"))?.0.contains(UP).then_some(()))
    })?;
    // The one beside it, for those who do without `run`, has the same address.
    machine.run(&format!("systemctl stop {RUN} && systemctl start fw-user-metrics"))?;
    let served =
        wait::within(PATIENCE, "its answer", || Ok(Some(machine.try_run(ASK)?.0).filter(|it| it.contains(UP))))?;
    ensure!(!served.contains("fw_config_last_apply_successful"), "it applies nothing: {served}");
    Ok(())
}
