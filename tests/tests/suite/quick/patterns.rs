//! Patterns in files: they are for outside interfaces alone, a file that names an interface goes before them, and what `except` leaves out is
//! open on purpose.

use anyhow::{Context, Result, ensure};
use fw_tests::{
    lab::{Lab, PI4, SECOND_PI4, Transport, stats::Status},
    tests,
};
use serde_json::{Value, json};

const FAILED: i32 = 1;
const NOT_FILTERED: i32 = 6;

tests! {
    a_pattern_is_for_outside_interfaces_and_a_name_goes_before_it;
    what_matches_nothing_is_told_and_is_no_failure;
    what_except_leaves_out_is_open_on_purpose;
    one_interface_is_applied_by_name_or_number;
    each_interface_is_closed_whatever_keeps_another_open;
    a_change_is_saved_to_the_file_of_the_pattern;
}

/// The Pi with a second LAN, a tun, and a bridge with a container's cable.
fn crowded() -> Result<Lab> {
    let lab = Lab::without_containers()?;
    lab.add_second_lan()?;
    lab.pi.open_input()?;
    lab.add_inside_bridge()?;
    Ok(lab)
}

fn add_tun(lab: &Lab) -> Result<()> {
    lab.pi.run("ip tuntap add dev wg0 mode tun")?;
    lab.pi.set_address("wg0", &["10.9.0.1/24"])
}

fn attached(lab: &Lab) -> Result<Vec<String>> {
    let status: Status = serde_json::from_str(&lab.fw(&["status", "--json"])?)?;
    Ok(status.interfaces.into_iter().map(|one| one.name).collect())
}

fn a_pattern_is_for_outside_interfaces_and_a_name_goes_before_it() -> Result<()> {
    let lab = crowded()?;
    let server = lab.pi.serve_tcp(9123)?;
    lab.write_file("all", "interfaces = [\"*\"]\nallow = [\"22\"]\n")?;
    lab.write_file("eth1", "allow = [\"22\", \"9123/tcp\"]\n")?;
    let said = lab.fw(&["apply"])?;
    let all = lab.file("all").display().to_string();
    ensure!(said.contains(&format!("eth0  attach, according to {all}\n")), "{said}");
    ensure!(!said.contains("br0") && !said.contains("veth"), "{said}");
    assert_eq!(attached(&lab)?, ["eth0", "eth1"]);
    lab.is_closed_on("eth0", &server, Transport::Tcp, PI4, 9123)?;
    lab.lan.reaches(&server, Transport::Tcp, SECOND_PI4, 9123)?;
    let again: Value = serde_json::from_str(&lab.fw(&["apply", "--json"])?)?;
    let actions: Vec<&Value> =
        again["interfaces"].as_array().context("interfaces")?.iter().map(|one| &one["action"]).collect();
    assert_eq!(actions, [&json!("none"), &json!("none")]);
    // An interface that changes its class is found at the next check.
    lab.pi.run("ip route add default via 172.17.0.9 dev br0 metric 500")?;
    let said = lab.fw(&["apply"])?;
    ensure!(said.contains("br0  attach, according to"), "{said}");
    Ok(())
}

fn what_matches_nothing_is_told_and_is_no_failure() -> Result<()> {
    let lab = crowded()?;
    lab.write_file(
        "all",
        "interfaces = [\"et*\", \"br*\", \"usb?\"]\nexcept = [\"wg0\", \"br0\"]\nallow = [\"22\"]\n",
    )?;
    let said = lab.fw(&["apply"])?;
    let all = lab.file("all").display().to_string();
    for words in ["no outside interface matches `usb?`", "`except` names `wg0`, but no interface matches that"] {
        ensure!(said.contains(&format!("  note    {all}: {words}\n")), "no {words:?} in {said}");
    }
    // It is called so, and is inside.
    ensure!(said.contains("no outside interface matches `br*`") && !said.contains("names `br0`"), "{said}");
    let said: Value = serde_json::from_str(&lab.fw(&["apply", "--json"])?)?;
    assert_eq!(said["notes"].as_array().context("notes")?.len(), 3, "{said}");
    lab.fw(&["detach", "--all"])?;
    lab.write_file("all", "interfaces = [\"usb*\"]\nallow = [\"22\"]\n")?;
    lab.fw(&["apply"])?;
    lab.nothing_is_left_behind()
}

fn what_except_leaves_out_is_open_on_purpose() -> Result<()> {
    let lab = crowded()?;
    add_tun(&lab)?;
    let all = lab.file("all").display().to_string();
    lab.write_file("all", "interfaces = [\"*\"]\nallow = [\"22\"]\nexcept = [\"wg*\", \"eth1\"]\n")?;
    let said = lab.fw(&["apply"])?;
    ensure!(!said.contains("NOT FILTERED") && !said.contains("fix"), "{said}");
    assert_eq!(attached(&lab)?, ["eth0"]);
    let said = lab.fw(&["status", "--check"])?;
    for words in ["wg0  left out by `except` in", "eth1  left out by `except` in"] {
        ensure!(said.contains(&format!("{words} {all} (")), "no {words:?} in {said}");
    }
    let status: Value = serde_json::from_str(&lab.fw(&["status", "--json"])?)?;
    assert_eq!(status["unfiltered"][0]["except"], json!(all), "{status}");
    let said = lab.fw(&["exposed"])?;
    ensure!(said.contains(&format!("wg0   no filter: left out by `except` in {all}\n")), "{said}");
    ensure!(!said.contains("fw is not on"), "{said}");
    let doctor = lab.fw(&["doctor"])?;
    ensure!(doctor.lines().any(|line| line.starts_with("ok") && line.contains("eth1 open")), "{doctor}");
    // A file with a mistake leaves nothing out.
    lab.write_file("all", "interfaces = [\"*\"]\nallow = [\"22\"]\nexcept = [\"wg*\", \"eth1\"]\nmonitr = 1\n")?;
    let check = lab.fw.command(&lab.pi, ["status", "--check"]).output()?;
    assert_eq!(check.status.code(), Some(NOT_FILTERED), "{check:?}");
    // Nor does one whose patterns do not match it.
    lab.write_file("all", "interfaces = [\"et*\"]\nallow = [\"22\"]\nexcept = [\"wg*\", \"eth1\"]\n")?;
    let refusal = lab.fw.command(&lab.pi, ["status", "--check"]).output()?;
    let said = String::from_utf8_lossy(&refusal.stderr);
    ensure!(said.contains("not filtered: wg0;"), "{said}");
    Ok(())
}

fn one_interface_is_applied_by_name_or_number() -> Result<()> {
    let lab = crowded()?;
    lab.write_file("all", "interfaces = [\"*\"]\nallow = [\"22\"]\nexcept = [\"eth1\"]\n")?;
    let inside = ["match outside interfaces only", "br0 is inside", "a file that names br0"];
    lab.refuses(&["apply", "br0"], FAILED, &inside)?;
    lab.refuses(&["apply", "eth1"], FAILED, &["eth1 is left out by `except` in"])?;
    lab.refuses(&["apply", "--index", "4711"], FAILED, &["no interface has the number 4711"])?;
    for name in ["br0", "eth1"] {
        let said = lab.fw(&["apply", "--each", name])?;
        ensure!(said.starts_with("nothing to do: "), "{said}");
    }
    lab.fw(&["apply", "--each", "--index", "4711"])?;
    lab.nothing_is_left_behind()?;
    let shown: Value = serde_json::from_str(&lab.pi.run("ip -json link show eth0")?)?;
    let said = lab.fw(&["apply", "--each", "--index", &shown[0]["ifindex"].to_string()])?;
    ensure!(said.contains("eth0  attach"), "{said}");
    // When it is gone, so are its pins.
    lab.pi.run("ip link delete eth0")?;
    let said = lab.fw(&["apply", "--each", "--index", &shown[0]["ifindex"].to_string()])?;
    ensure!(said == "eth0  is gone; its pins are removed\n", "{said}");
    ensure!(!lab.fw.pins()?.iter().any(|pin| pin.ends_with("if-eth0")), "{:?}", lab.fw.pins()?);
    Ok(())
}

/// As the boot service does it: nobody is there to mend the one that fails.
fn each_interface_is_closed_whatever_keeps_another_open() -> Result<()> {
    const CHANGED: i32 = 5;
    const USAGE: i32 = 2;
    let lab = crowded()?;
    lab.write_file("all", "interfaces = [\"*\"]\nallow = [\"22\"]\n")?;
    lab.write_file("eth1", "alow = [\"22\"]\n")?;
    let output = lab.fw.command(&lab.pi, ["apply", "--each"]).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(CHANGED) && said.contains("eth1.toml:1:1: "), "{output:?}");
    assert_eq!(attached(&lab)?, ["eth0"]);
    // The pattern's rules may not be what the owner wants for eth1.
    let output = lab.fw.command(&lab.pi, ["apply", "--each", "eth1"]).output()?;
    ensure!(output.status.code() == Some(USAGE), "{output:?}");
    lab.write_file("eth1", "allow = [\"22\"]\n")?;
    lab.fw(&["apply", "--each"])?;
    assert_eq!(attached(&lab)?, ["eth0", "eth1"]);
    Ok(())
}

fn a_change_is_saved_to_the_file_of_the_pattern() -> Result<()> {
    let lab = crowded()?;
    lab.write_file("all", "# mine\ninterfaces = [\"*\"]\nallow = [\"22\"]\n")?;
    lab.fw(&["apply"])?;
    lab.fw(&["allow", "8080/tcp", "--save"])?;
    let text = lab.read_file("all")?;
    ensure!(text.starts_with("# mine\ninterfaces = [\"*\"]\n") && text.contains("\"8080/tcp\""), "{text}");
    lab.refuses(&["allow", "81", "--interface", "eth0", "--save"], FAILED, &["all.toml", "it is also for eth1"])?;
    lab.fw(&["allow", "443"])?;
    let said = lab.fw(&["save"])?;
    ensure!(lab.read_file("all")?.contains("\"443\""), "{said}");
    lab.fw(&["deny", "443", "--interface", "eth1"])?;
    lab.refuses(&["save"], FAILED, &["it is for eth0 and eth1, which differ now", "a file of its own"])?;
    // Inside, it is no pattern's.
    lab.fw(&["attach", "br0", "--allow", "53"])?;
    lab.fw(&["save", "br0"])?;
    ensure!(lab.read_file("br0")?.contains("\"53\""), "br0 has no file of its own");
    Ok(())
}
