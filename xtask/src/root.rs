//! Actions that need root.

use std::{
    env,
    process::{Command, ExitStatus},
};

use anyhow::{Context as _, Result};
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
    sys::statfs::{BPF_FS_MAGIC, statfs},
    unistd::Uid,
};

use crate::{command, toolchain};

const BPFFS: &str = "/sys/fs/bpf";
const BUILT: &str = "FW_XTASK_BUILT";

/// Whether this process is root's.
#[must_use]
pub fn is_root() -> bool {
    Uid::effective().is_root()
}

/// Whether this is the second start, as root, after everything was built as the person who typed the command.
#[must_use]
pub fn is_built() -> bool {
    env::var_os(BUILT).is_some()
}

/// Start this very command line again as root.
pub fn again() -> Result<ExitStatus> {
    let this = env::current_exe().context("cannot find this program's own file")?;
    let mut sudo = Command::new("sudo");
    sudo.args(["--preserve-env", "--"]).arg(this).args(env::args_os().skip(1)).env(BUILT, "1");
    eprintln!("network namespaces and BPF need root: {}", command::line(&sudo));
    sudo.status().context("cannot start sudo; type the command as root")
}

/// Leave for a network and a BPF file system of our own. Nothing that is done there is seen outside, and everything is gone when the
/// last process in it ends, however it ends.
pub fn hide() -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).context("cannot make namespaces")?;
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).context("cannot make the mounts private")?;
    let mode = Some("mode=700");
    mount(Some("bpf"), BPFFS, Some("bpf"), MsFlags::empty(), mode).context("cannot mount a BPF file system")
}

/// Have cargo start each test binary as root, which network namespaces and BPF need.
pub fn run_tests(cargo: &mut Command) -> Result<()> {
    if !is_root() {
        eprintln!("the tests need root for network namespaces and BPF: starting each test binary with `sudo -E`");
        let name = toolchain::host()?.to_uppercase().replace('-', "_");
        cargo.env(format!("CARGO_TARGET_{name}_RUNNER"), "sudo -E");
    }
    Ok(())
}

/// Mount a BPF file system where it belongs, if there is none.
pub fn mount_bpffs() -> Result<()> {
    let is_there = || statfs(BPFFS).is_ok_and(|found| found.filesystem_type() == BPF_FS_MAGIC);
    if is_there() {
        return Ok(());
    }
    let mut command = Command::new(if is_root() { "mount" } else { "sudo" });
    if !is_root() {
        command.arg("mount");
    }
    command.args(["-t", "bpf", "-o", "mode=700", "bpf", BPFFS]);
    eprintln!("mounting a BPF file system: {}", command::line(&command));
    command::run(&mut command)
}
