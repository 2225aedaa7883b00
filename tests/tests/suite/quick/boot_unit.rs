//! The boot service's unit: what it may do is little, and enough.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use fw_tests::{
    lab::{Lab, Mode, PI4, Transport, command, fw::binary},
    tests,
};
use fw_user::testing::files::{self, File};

tests! {
    systemd_calls_the_unit_well_hardened;
    systemd_understands_every_line_of_the_units;
}

tests! { in native mode:
    the_capabilities_of_the_unit_suffice;
    each_capability_of_the_unit_is_needed;
}

tests! { in tc mode:
    the_capabilities_of_the_unit_suffice;
    each_capability_of_the_unit_is_needed;
}

/// The units, in a folder, for programs that are here.
fn written() -> Result<tempfile::TempDir> {
    let folder = tempfile::tempdir()?;
    let units = files::all("/bin/true").into_iter().filter(|file| file.path.starts_with(files::UNITS));
    for File { path, text } in [files::template("/bin/true"), files::settle()].into_iter().chain(units) {
        let text = text.replace("udevadm ", "/bin/true ");
        std::fs::write(folder.path().join(path.file_name().context("a unit has a name")?), text)?;
    }
    Ok(folder)
}

/// The threshold is ten times the exposure level, of which 10.0 is the worst.
fn systemd_calls_the_unit_well_hardened() -> Result<()> {
    let folder = written()?;
    let mut analyze = Command::new("systemd-analyze");
    analyze.args(["security", "--no-pager", "--offline=true", "--threshold=20"]);
    analyze.args([files::TEMPLATE, files::ALL, files::LATER].map(|unit| folder.path().join(unit)));
    command::run(&mut analyze).map(drop)
}

fn systemd_understands_every_line_of_the_units() -> Result<()> {
    let folder = written()?;
    let mut analyze = Command::new("systemd-analyze");
    analyze.arg("verify").args(
        [files::TEMPLATE, files::SETTLE, files::ALL, files::LATER]
            .map(|unit| folder.path().join(unit.replace('@', "@7"))),
    );
    let output = analyze.output()?;
    let complaints = String::from_utf8_lossy(&output.stderr);
    // Warnings about this system's own units do not matter.
    let ours: Vec<&str> = complaints.lines().filter(|line| line.contains("fw-user")).collect();
    ensure!(output.status.success() && ours.is_empty(), "{ours:?}");
    Ok(())
}

/// As `setpriv` writes them: `bpf`.
fn capabilities() -> Result<Vec<String>> {
    let unit = files::template("/bin/true").text;
    let line = unit.lines().find_map(|line| line.strip_prefix("CapabilityBoundingSet="));
    let words = line.context("the unit bounds the capabilities")?.split(' ');
    words.map(|word| Ok(word.strip_prefix("CAP_").context("a capability")?.to_lowercase())).collect()
}

/// The command as root with these capabilities only.
fn confined<'a>(lab: &Lab, capabilities: impl IntoIterator<Item = &'a String>, args: &[&str]) -> Command {
    let mut set = "-all".to_owned();
    for capability in capabilities {
        set.push_str(",+");
        set.push_str(capability);
    }
    let mut command = lab.pi.command("setpriv");
    command.arg(format!("--bounding-set={set}")).arg("--").arg(binary());
    lab.fw.finish(&mut command, args);
    command
}

fn the_capabilities_of_the_unit_suffice(mode: Mode) -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.pi.open_input()?;
    let server = lab.pi.serve_tcp(9123)?;
    let all = capabilities()?;
    lab.lan.reaches(&server, Transport::Tcp, PI4, 9123)?;
    let mode = mode.to_string();
    let attach = ["attach", "eth0", "--mode", &mode, "--allow", "22"];
    command::run(&mut confined(&lab, &all, &attach))?;
    lab.is_closed(&server, Transport::Tcp, PI4, 9123)?;
    // In place, too.
    command::run(&mut confined(&lab, &all, &attach))?;
    lab.is_closed(&server, Transport::Tcp, PI4, 9123)?;
    command::run(&mut confined(&lab, &all, &["detach", "eth0"]))?;
    lab.lan.reaches(&server, Transport::Tcp, PI4, 9123)?;
    lab.nothing_is_left_behind()
}

fn each_capability_of_the_unit_is_needed(mode: Mode) -> Result<()> {
    let lab = Lab::without_containers()?;
    let all = capabilities()?;
    let mode = mode.to_string();
    for missing in &all {
        let others = all.iter().filter(|capability| *capability != missing);
        let output = confined(&lab, others, &["attach", "eth0", "--mode", &mode, "--allow", "22"]).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.code() == Some(4), "without {missing}: {:?}, {said}", output.status);
        ensure!(said.contains(&format!("this needs CAP_{};", missing.to_uppercase())), "without {missing}: {said}");
    }
    lab.nothing_is_left_behind()
}
