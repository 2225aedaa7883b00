//! Policies as large as they can be, within bounds that have nothing to do with how busy the machine is: processor time, which the kernel
//! counts, and memory.

use std::{fs, process::Command};

use anyhow::{Result, ensure};
use fw_tests::{
    lab::{Lab, Mode, Refusal, command, fw},
    tests,
};

tests! {
    thousands_of_networks_are_compared_and_changed_at_once;
    lists_of_networks_that_overlap_are_refused_in_little_memory;
}

const USAGE: i32 = 2;
/// The most CPU time of a command, in seconds. A debug build needs less than one; with one copy of the policy per rule it took minutes.
const PROCESSOR: u32 = 10;
/// The most memory of a command, including the program itself. With one list of networks per port it took 1.2 GB.
const MEMORY: u32 = 600 << 20;

/// The program, which is killed where it takes more than that.
fn bounded(mut command: Command) -> Command {
    command.arg(format!("--cpu={PROCESSOR}")).arg(format!("--as={MEMORY}")).arg("--").arg(fw::binary());
    command
}

/// As many networks as a policy may have, as entries of an allow list.
fn networks(count: u32, ports: impl Fn(u32) -> String) -> String {
    let entry = |n: u32| format!("    \"{}@10.{}.{}.0/24\",\n", ports(n), n >> 8, n & 255);
    format!("allow = [\n    \"22\",\n{}]\n", (0..count).map(entry).collect::<String>())
}

fn thousands_of_networks_are_compared_and_changed_at_once() -> Result<()> {
    const COUNT: u32 = 8000;
    let lab = Lab::without_containers()?;
    lab.attach(Mode::Native, "22")?;
    lab.write_file("eth0", &networks(COUNT, |_| "443/tcp".to_owned()))?;
    let fw = |args: &[&str]| {
        let mut command = bounded(lab.pi.command("prlimit"));
        lab.fw.finish(&mut command, args);
        command::run(&mut command)
    };
    let opened = |said: &str| said.lines().filter(|line| line.starts_with("  + ")).count();
    ensure!(opened(&fw(&["apply", "--dry-run"])?) == COUNT as usize);
    fw(&["apply"])?;
    ensure!(fw(&["apply", "--dry-run"])?.contains("nothing to do"));
    fw(&["allow", "8080/tcp", "--save"])?;
    fw(&["deny", "443/tcp@10.0.7.0/24", "--save"])?;
    ensure!(fw(&["apply"])?.contains("nothing to do"));
    // Another list altogether, which is written entry by entry.
    fw(&["attach", "eth0", "--allow", "22,80"])?;
    fw(&["save"])?;
    ensure!(lab.read_file("eth0")?.lines().count() < 10, "{}", lab.read_file("eth0")?);
    Ok(())
}

fn lists_of_networks_that_overlap_are_refused_in_little_memory() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("eth0.toml");
    fs::write(&file, networks(8192, |n| format!("{}-40000/tcp", n + 1)))?;
    let mut check = bounded(Command::new("prlimit"));
    let refusal = Refusal::of(&check.arg("check").arg(&file).output()?)?;
    ensure!(refusal.code == USAGE && refusal.message.contains("networks in total"), "{refusal:?}");
    Ok(())
}
