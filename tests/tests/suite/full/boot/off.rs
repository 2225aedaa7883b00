//! The way back with nothing but the boot medium: a word on the kernel's command line, which stands on a partition that every computer
//! can read.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use fw_tests::vm::{Machine, Tree, peer::LAN};
use fw_user::testing::files::{self, File};

use super::{CLOSING, states};

/// Of what has the boot service of eth0, and the one for every interface.
const PROGRAM: &str = "/usr/local/sbin/fw-user";

/// Write the files of `fw-user service install eth0` and `... install --all`, so that no extra boot is needed. The guest checks that they
/// are the same.
pub(super) fn install(tree: &Tree<'_>) -> Result<()> {
    let of_one = [files::template(PROGRAM), files::settle(), files::rules("eth0", "fw-user@eth0.service")];
    for File { path, text } in of_one.iter().chain(&files::all(PROGRAM)) {
        tree.write(path.strip_prefix("/")?.to_str().context("a path in UTF-8")?, text.as_bytes(), 0o644)?;
    }
    for (target, unit, file) in [
        ("sysinit.target", files::SETTLE, files::SETTLE),
        ("sysinit.target", files::ALL, files::ALL),
        ("sys-subsystem-net-devices-eth0.device", "fw-user@eth0.service", files::TEMPLATE),
    ] {
        tree.want(target, unit, Path::new(files::UNITS).join(file).to_str().context("a path in UTF-8")?)?;
    }
    tree.write("etc/fw-user/eth0.toml", CLOSING.as_bytes(), 0o644)?;
    tree.write("etc/fw-user/all.toml", format!("interfaces = [\"*\"]\n{CLOSING}").as_bytes(), 0o644)
}

pub(super) fn check(machine: &mut Machine) -> Result<()> {
    ensure!(!machine.is_closed(&LAN)?, "fw-user=off does not keep the filter off");
    for what in ["eth0", "--all"] {
        let again = machine.run(&format!("fw-user service install {what}"))?;
        ensure!(again.contains(".toml (as before)\n"), "it was installed otherwise: {again}");
    }
    let units = "fw-user@eth0 fw-user-all";
    ensure!(states(machine, units)? == "inactive inactive", "{}", states(machine, units)?);
    machine.run(&format!("systemctl start {units}"))?;
    ensure!(!machine.is_closed(&LAN)?, "a start by hand attaches in spite of fw-user=off");
    machine.is_running()?;
    // By hand it works.
    machine.run("fw-user apply")?;
    ensure!(machine.is_closed(&LAN)?, "fw-user apply closes nothing");
    machine.run("fw-user uninstall --yes")?;
    let left = machine.run("find /etc -name '*fw-user*'")?;
    ensure!(left.is_empty(), "uninstalling leaves {left}");
    ensure!(!machine.is_closed(&LAN)?, "without the service nothing comes in at the port that it is to close");
    Ok(())
}
