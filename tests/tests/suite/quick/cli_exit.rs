//! Exit codes: 1 says that nothing was changed, 5 that something was, and not all of it, or that nobody was told.

use std::{fs, fs::File, process::Stdio};

use anyhow::{Context, Result, ensure};
use fw_tests::{lab::Lab, tests};
use serde_json::Value;

const FAILED: i32 = 1;
const CHANGED: i32 = 5;

tests! {
    a_change_that_cannot_be_reported_is_made_and_ends_with_5;
    a_second_interface_that_fails_leaves_the_first_as_it_was_or_ends_with_5;
    what_is_taken_off_in_part_ends_with_5;
    a_standard_error_that_is_full_changes_no_exit_code;
}

/// Run a command whose output no device has room for. Returns its exit code and what it complained of.
fn unreported(lab: &Lab, args: &[&str]) -> Result<(Option<i32>, String)> {
    let full = File::options().write(true).open("/dev/full")?;
    let output = lab.fw.command(&lab.pi, args).stdout(full).stderr(Stdio::piped()).spawn()?.wait_with_output()?;
    Ok((output.status.code(), String::from_utf8(output.stderr)?))
}

/// The first interface in `status`.
fn in_force(lab: &Lab) -> Result<String> {
    let status: Value = serde_json::from_str(&lab.fw(&["status", "--json"])?)?;
    let interface = &status["interfaces"][0];
    let Some(allow) = interface["allow"].as_array() else { return Ok("nothing".to_owned()) };
    let rules: Vec<&str> = allow.iter().filter_map(Value::as_str).collect();
    let note = if interface["monitor"] == true { ", nothing dropped" } else { "" };
    Ok(rules.join(" ") + note)
}

fn a_change_that_cannot_be_reported_is_made_and_ends_with_5() -> Result<()> {
    let lab = Lab::without_containers()?;
    let file = "allow = [\"22/tcp\", \"82/tcp\"]\n";
    // The command, words of the error, and the rules in force afterwards.
    let steps: &[(&[&str], &str, &str)] = &[
        (&["attach", "eth0", "--allow", "22/tcp"], "attached to eth0", "22/tcp"),
        (&["attach", "eth0", "--allow", "22-23/tcp", "--json"], "attached to eth0", "22-23/tcp"),
        (&["allow", "80/tcp"], "changed eth0", "22-23/tcp 80/tcp"),
        (&["allow", "90/tcp", "--save"], "changed eth0, ", "22-23/tcp 80/tcp 90/tcp"),
        (&["deny", "80/tcp", "--json"], "changed eth0", "22-23/tcp 90/tcp"),
        (&["save"], "eth0.toml", "22-23/tcp 90/tcp"),
        (&["monitor"], "changed eth0", "22-23/tcp 90/tcp, nothing dropped"),
        (&["enforce", "--confirm", "600"], "changed eth0", "22-23/tcp 90/tcp"),
        (&["confirm"], "confirmed eth0", "22-23/tcp 90/tcp"),
        (&["allow", "99/tcp", "--confirm", "600"], "changed eth0", "22-23/tcp 90/tcp 99/tcp"),
        (&["rollback"], "reverted the change of eth0", "22-23/tcp 90/tcp"),
        (&["apply"], "changed eth0", "22/tcp 82/tcp"),
        (&["detach", "eth0"], "detached eth0", "nothing"),
    ];
    for (args, words, after) in steps {
        if args[0] == "apply" {
            lab.write_file("eth0", file)?;
        }
        let (code, complaint) = unreported(&lab, args)?;
        ensure!(code == Some(CHANGED), "{args:?} ended with {code:?}: {complaint}");
        for word in ["No space left", *words, "`fw-user status`"] {
            ensure!(complaint.contains(word), "{args:?} does not mention {word}: {complaint}");
        }
        ensure!(in_force(&lab)? == *after, "{args:?}: {}", in_force(&lab)?);
        if args.contains(&"--save") {
            ensure!(lab.read_file("eth0")?.contains("\"90/tcp\""), "the file was not written");
            // Commands that fail early or only read have changed nothing.
            for args in [
                &["allow", "90/tcp"][..],
                &["enforce"],
                &["save"],
                &["status"],
                &["stats"],
                &["check"],
                &["apply", "--dry-run"],
            ] {
                let (code, complaint) = unreported(&lab, args)?;
                ensure!(code == Some(FAILED), "{args:?} ended with {code:?}: {complaint}");
            }
        }
    }
    Ok(())
}

fn a_second_interface_that_fails_leaves_the_first_as_it_was_or_ends_with_5() -> Result<()> {
    let lab = Lab::without_containers()?;
    // A bridge has no native XDP, which only attaching finds out.
    lab.pi.run("ip link add eth1 type bridge")?;
    lab.pi.run("ip link set eth1 up")?;
    let args = ["attach", "eth0", "eth1", "--mode", "native", "--allow", "22/tcp"];
    lab.refuses(&args, FAILED, &["eth1"])?;
    lab.nothing_is_left_behind()?;
    // A filter that gets new maps cannot get the old ones back.
    lab.fw(&["attach", "eth0", "--mode", "native", "--allow", "22/tcp,80/tcp"])?;
    let pin = lab.fw.pins()?.into_iter().find(|pin| pin.ends_with("if-eth0/COUNTERS")).context("a pin of counters")?;
    fs::remove_file(pin)?;
    let refusal = lab.fw_fails(&args)?;
    ensure!(refusal.code == CHANGED, "{refusal:?}");
    ensure!(refusal.message.contains("eth1") && refusal.message.contains("attached to eth0"), "{refusal:?}");
    assert_eq!(in_force(&lab)?, "22/tcp");
    Ok(())
}

fn what_is_taken_off_in_part_ends_with_5() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.add_second_lan()?;
    lab.fw(&["attach", "eth0", "eth1", "--allow", "22"])?;
    // Not ours, and in the way of a clean end.
    let strange = lab.fw.bpffs().join("fw-user/v5/if-eth0/theirs");
    fs::create_dir(&strange)?;
    let output = lab.fw.command(&lab.pi, ["detach", "--all"]).output()?;
    let complaint = String::from_utf8(output.stderr)?;
    ensure!(output.status.code() == Some(CHANGED), "{}: {complaint}", output.status);
    ensure!(complaint.contains("theirs") && complaint.contains("detached eth0, eth1"), "{complaint}");
    fs::remove_dir(&strange)?;
    lab.fw(&["detach", "--all"])?;
    lab.nothing_is_left_behind()
}

fn a_standard_error_that_is_full_changes_no_exit_code() -> Result<()> {
    let lab = Lab::without_containers()?;
    for (args, code) in [(&["detach", "eth0"][..], FAILED), (&["attach", "eth0", "--allow", "70000"], 2)] {
        let full = File::options().write(true).open("/dev/full")?;
        let status = lab.fw.command(&lab.pi, args).stderr(full).stdout(Stdio::null()).status()?;
        ensure!(status.code() == Some(code), "{args:?} ended with {status}");
    }
    Ok(())
}
