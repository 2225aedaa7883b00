//! Policies as large as they can be, within bounds that have nothing to do with how busy the machine is: processor time, which the kernel
//! counts, and memory.

use std::{fs, process::Command};

use anyhow::{Result, ensure};
use fw_tests::{
    lab::{Lab, Mode, Refusal, command, fw},
    tests,
};

tests! {
    tens_of_thousands_of_networks_are_compared_and_changed_at_once;
    more_lists_of_networks_than_have_a_number_are_refused;
    lists_of_networks_that_overlap_are_refused_in_little_memory;
}

const USAGE: i32 = 2;
/// The most CPU time of a command, in seconds. A debug build needs less than six; what is quadratic in the networks takes minutes to hours.
const PROCESSOR: u32 = 60;
/// The most memory of a command, including the program itself. With one list of networks per port it took 1.2 GB.
const MEMORY: u32 = 600 << 20;

/// The program, which is killed where it takes more than that.
fn bounded(mut command: Command) -> Command {
    command.arg(format!("--cpu={PROCESSOR}")).arg(format!("--as={MEMORY}")).arg("--").arg(fw::binary());
    command
}

/// As many networks as a policy may have, as entries of an allow list.
fn networks(count: u32, ports: impl Fn(u32) -> String) -> String {
    let entry = |n: u32| format!("    \"{}@10.{}.{}.{}/31\",\n", ports(n), n >> 15, n >> 7 & 255, n << 1 & 255);
    format!("allow = [\n    \"22\",\n{}]\n", (0..count).map(entry).collect::<String>())
}

fn tens_of_thousands_of_networks_are_compared_and_changed_at_once() -> Result<()> {
    const COUNT: u32 = 65_535;
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
    // As many in all three buffers.
    fw(&["deny", "443/tcp@10.0.5.0/31", "--confirm", "600"])?;
    fw(&["deny", "443/tcp@10.0.9.0/31"])?;
    fw(&["rollback"])?;
    fw(&["deny", "443/tcp@10.0.7.0/31", "--save"])?;
    ensure!(fw(&["apply"])?.contains("nothing to do"));
    // Another list altogether, whose entries are written and removed one by one.
    lab.write_file("eth0", "allow = [\"22\"]\n")?;
    fw(&["save"])?;
    ensure!(lab.read_file("eth0")?.matches("443/tcp@").count() == COUNT as usize - 1);
    fw(&["attach", "eth0", "--allow", "22,80"])?;
    fw(&["save"])?;
    ensure!(lab.read_file("eth0")?.lines().count() < 10, "{}", lab.read_file("eth0")?);
    Ok(())
}

/// Each port has a list of its own, so that there are more lists than the class of a port has numbers.
fn more_lists_of_networks_than_have_a_number_are_refused() -> Result<()> {
    let lab = Lab::without_containers()?;
    let lists =
        |count| networks(count, |n| if n < 63_000 { format!("{}/tcp", n + 1) } else { format!("{}/udp", n - 62_999) });
    let check = |count| {
        lab.write_file("eth0", &lists(count))?;
        let mut check = bounded(lab.pi.command("prlimit"));
        lab.fw.finish(&mut check, &["check"]);
        Ok::<_, anyhow::Error>(check)
    };
    // 22/tcp and 22/udp are open to everyone and need no lists.
    ensure!(command::run(&mut check(63_489)?)?.contains("no mistakes"));
    let refusal = Refusal::of(&check(63_490)?.output()?)?;
    let told = "eth0.toml:1:9: the ports of the policy have 63488 different lists of networks; 63487 is the most";
    ensure!(refusal.code == USAGE && refusal.message.contains(told), "{refusal:?}");
    ensure!(refusal.message.contains("give more ports the same networks"), "{refusal:?}");
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
