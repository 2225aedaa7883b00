//! What is typed and loaded: the guard, the sets, the lists, and what is refused.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use fw_common::abi::ABI_VERSION;
use fw_tests::{
    lab::{
        Lab, command,
        faults::{Fault, Step},
        skip,
    },
    tests,
};
use serde_json::{Value, json};

tests! {
    what_this_machine_needs_is_not_banned_by_accident;
    a_list_replaces_its_set_whole;
    a_list_with_a_broken_line_changes_nothing;
    bad_input_is_refused_with_what_to_write;
    bans_are_listed_with_their_sets_and_ends;
    everybody_who_looks_is_told_how_many_there_are;
    two_loaders_at_once_leave_one_list_whole;
    the_kernel_holds_what_is_banned_and_nothing_of_a_loader_that_was_killed;
}

fn banned(lab: &Lab) -> Result<Vec<(String, String)>> {
    let said: Value = serde_json::from_str(&lab.fw(&["bans", "--json"])?)?;
    let bans = said["bans"].as_array().context("a list")?;
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Ok(bans.iter().map(|ban| (word(&ban["network"]), word(&ban["set"]))).collect())
}

/// Load a list from standard input.
fn load(lab: &Lab, list: &str, options: &[&str]) -> Result<String> {
    let args = [&["ban", "--load", "-"], options].concat();
    command::run_with_input(&mut lab.fw.command(&lab.pi, args), list.as_bytes())
}

fn what_this_machine_needs_is_not_banned_by_accident() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.fw(&["attach", "eth0", "--allow", "22"])?;
    lab.pi.run("ip route add 198.51.100.0/24 dev eth0")?;
    lab.pi.run("ip -6 route add 2001:db8:9::/64 via 2001:db8:1::77")?;
    for (network, what) in [
        ("192.0.2.10", "covers the gateway 192.0.2.10"),
        ("2001:db8:1::77", "covers the gateway 2001:db8:1::77"),
        ("192.0.2.1", "covers this machine's address 192.0.2.1"),
        ("127.0.0.0/8", "covers this machine's address 127.0.0.1"),
        ("198.51.100.0/24", "covers this machine's network 198.51.100.0/24"),
        ("198.0.0.0/8", "covers this machine's network 198.51.100.0/24"),
    ] {
        lab.refuses(&["ban", "203.0.113.7", network], 1, &[what, "nothing was changed", "--skip-own", "--force"])?;
    }
    ensure!(banned(&lab)?.is_empty());
    let said = lab.fw(&["ban", "203.0.113.7", "192.0.0.0/16", "--skip-own"])?;
    let expected = "203.0.113.7  banned for ever (set manual)\n1 network left out:\n  192.0.0.0/16 covers the gateway 192.0.2.10\n";
    ensure!(said == expected, "{said}");
    ensure!(banned(&lab)? == [("203.0.113.7/32".to_owned(), "manual".to_owned())]);
    // A neighbour that nothing depends on is no concern of the guard.
    lab.fw(&["ban", "192.0.2.66"])?;
    lab.fw(&["ban", "192.0.2.10", "--force"])?;
    // As sshd says it of the session that the command is typed in.
    let mut ban = lab.fw.command(&lab.pi, ["ban", "203.0.113.0/24"]);
    let output = ban.env("SSH_CONNECTION", "203.0.113.9 40000 192.0.2.1 22").output()?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.code() == Some(1) && complaint.contains("covers the peer of your session 203.0.113.9"),
        "{complaint}"
    );
    Ok(())
}

fn a_list_replaces_its_set_whole() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.fw(&["attach", "eth0", "--allow", "22"])?;
    lab.fw(&["ban", "203.0.113.7"])?;
    let said = load(&lab, "; DROP\n198.51.100.0/24 ; SBL1\n2001:db8:66::/48 ; SBL2\n", &["--set", "drop"])?;
    ensure!(said == "drop  2 networks banned\n", "{said}");
    let file = lab.fw.config().join("list");
    fs::write(&file, "add bad 198.51.100.0/24\nadd bad 198.51.100.128/25 timeout 60\n")?;
    let said = lab.fw(&["ban", "--load", file.to_str().context("UTF-8")?, "--set", "drop", "--for", "1d"])?;
    ensure!(said == "drop  2 networks banned\n", "{said}");
    let expected = [("198.51.100.0/24", "drop"), ("198.51.100.128/25", "drop"), ("203.0.113.7/32", "manual")];
    ensure!(banned(&lab)? == expected.map(|(network, set)| (network.to_owned(), set.to_owned())));
    let said = load(&lab, "192.0.2.0/24\n0.0.0.0/1\n198.51.100.7\n", &["--set", "drop", "--skip-own"])?;
    ensure!(
        said.starts_with("drop  1 network banned\n2 networks left out:\n  192.0.2.0/24 covers the gateway"),
        "{said}"
    );
    // A download that failed is empty.
    let before = banned(&lab)?;
    for empty in ["", "\n"] {
        let refused = load(&lab, empty, &["--set", "drop"]).expect_err("an empty list").to_string();
        ensure!(refused.contains("the list is empty") && refused.contains("fw-user unban --set drop"), "{refused}");
    }
    ensure!(banned(&lab)? == before);
    ensure!(load(&lab, "# nobody\n", &["--set", "drop"])? == "drop  0 networks banned\n");
    ensure!(banned(&lab)? == [("203.0.113.7/32".to_owned(), "manual".to_owned())]);
    Ok(())
}

fn a_list_with_a_broken_line_changes_nothing() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.fw(&["attach", "eth0", "--allow", "22"])?;
    load(&lab, "198.51.100.7\n", &["--set", "drop"])?;
    let before = fs::read_to_string(lab.fw.ledger())?;
    let file = lab.fw.config().join("list");
    let path = file.to_str().context("UTF-8")?;
    for (list, place) in [
        ("203.0.113.1\n203.0.113.300 ; SBL3\n", ":2:1: `203.0.113.300` is not an address"),
        ("203.0.113.1\n  0.0.0.0/0\n", ":2:3: `0.0.0.0/0` covers every address"),
        ("table inet t {\n set s {\n  elements = { 203.0.113.1,\n", "the file is truncated inside `elements`"),
        ("<html>Not found</html>\n", ":1:1: "),
    ] {
        fs::write(&file, list)?;
        lab.refuses(&["ban", "--load", path, "--set", "drop"], 2, &[path, place])?;
    }
    fs::remove_file(&file)?;
    lab.refuses(&["ban", "--load", path, "--set", "drop"], 1, &["reading", path])?;
    ensure!(fs::read_to_string(lab.fw.ledger())? == before);
    Ok(())
}

fn bad_input_is_refused_with_what_to_write() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.fw(&["attach", "eth0", "--allow", "22"])?;
    for (args, code, words) in [
        (&["ban"][..], 2, "ADDRESS"),
        (&["ban", "0.0.0.0/0"], 2, "covers every address"),
        (&["ban", "::/0", "--force"], 2, "covers every address"),
        (&["ban", "example.com"], 2, "not an address or a network"),
        (&["ban", "203.0.113.7", "--for", "0s"], 2, "from 1s to"),
        (&["ban", "203.0.113.7", "--for", "11y"], 2, "from 1s to"),
        (&["ban", "203.0.113.7", "--for", "60"], 2, "with its unit"),
        (&["ban", "203.0.113.7", "--set", "a b"], 2, "not a valid set name"),
        (&["ban", "--load", "-"], 2, "--set"),
        (&["unban"], 2, "ADDRESS"),
        (&["unban", "203.0.113.7"], 1, "203.0.113.7 is not banned"),
        (&["unban", "--set", "drop"], 1, "there is no set `drop`; there are no bans"),
        (&["bans", "--set", "drop"], 1, "there is no set `drop`; there are no bans"),
    ] {
        lab.refuses(args, code, &[words])?;
    }
    lab.fw(&["ban", "203.0.113.0/24", "--for", "10y"])?;
    lab.fw(&["ban", "198.51.100.7", "--set", "fail2ban"])?;
    lab.refuses(&["unban", "--set", "drop"], 1, &["the sets are fail2ban, manual"])?;
    lab.refuses(&["unban", "203.0.113.7"], 1, &["no ban of its own; it is covered by 203.0.113.0/24 (set manual)"])?;
    let elsewhere = "198.51.100.7 has no ban of its own in set manual; it is covered by 198.51.100.7 (set fail2ban)";
    lab.refuses(&["unban", "198.51.100.7", "--set", "manual"], 1, &[elsewhere])?;
    lab.refuses(&["unban", "192.0.2.7", "--set", "manual"], 1, &["192.0.2.7 is not banned in set manual"])?;
    // All of them, or none.
    lab.refuses(&["unban", "198.51.100.7", "203.0.113.7"], 1, &["203.0.113.7 has no ban of its own"])?;
    ensure!(banned(&lab)?.len() == 2);
    Ok(())
}

fn bans_are_listed_with_their_sets_and_ends() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.fw(&["ban", "203.0.113.0/24", "2001:db8:66::7", "--set", "drop"])?;
    lab.fw(&["ban", "198.51.100.7", "--for", "1h"])?;
    let said = lab.fw(&["bans"])?;
    let rows: Vec<Vec<&str>> = said.lines().map(|line| line.split_whitespace().collect()).collect();
    ensure!(rows[0] == ["network", "set", "since", "until", "dropped"], "{said}");
    ensure!(rows[1][..2] == ["203.0.113.0/24", "drop"] && rows[1][3..] == ["for", "ever", "-"], "{said}");
    ensure!(rows[2][..2] == ["2001:db8:66::7", "drop"], "{said}");
    ensure!(rows[3][..2] == ["198.51.100.7", "manual"] && rows[3][3].ends_with('Z'), "{said}");
    let said: Value = serde_json::from_str(&lab.fw(&["bans", "--set", "drop", "--json"])?)?;
    let bans = said["bans"].as_array().context("a list")?;
    ensure!(bans.len() == 2 && bans[0]["until"] == json!(null) && bans[0]["since"].is_string(), "{said}");
    ensure!(bans[0]["dropped"] == json!(null), "nothing is attached: {said}");
    Ok(())
}

fn everybody_who_looks_is_told_how_many_there_are() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.fw(&["attach", "eth0", "--allow", "22"])?;
    ensure!(!lab.fw(&["status"])?.contains("bans"));
    // One of them is in two sets.
    lab.fw(&["ban", "203.0.113.7", "2001:db8:66::/48"])?;
    lab.fw(&["ban", "203.0.113.7", "--set", "other"])?;
    ensure!(lab.fw(&["status"])?.contains("\nbans  2 networks\n"));
    ensure!(lab.fw(&["status", "--json"])?.contains("\"bans\":2}"));
    let file = lab.fw.config().join("fw.prom");
    let export = ["metrics", "--textfile", file.to_str().context("UTF-8")?];
    lab.fw(&export)?;
    ensure!(fs::read_to_string(&file)?.contains("\nfw_bans 2\n"));
    let doctor = |lab: &Lab| Ok::<_, anyhow::Error>(lab.fw.command(&lab.pi, ["doctor", "--json"]).output()?);
    ensure!(String::from_utf8(doctor(&lab)?.stdout)?.contains("\"found\":\"2 networks\""));
    fs::write(lab.fw.ledger(), "fw-user bans 1\n")?;
    let found = String::from_utf8(doctor(&lab)?.stdout)?;
    ensure!(found.contains("the file is truncated here") && found.contains(".damaged"), "{found}");
    lab.fw(&export)?;
    ensure!(!fs::read_to_string(&file)?.contains("fw_bans 2"));
    ensure!(lab.fw(&["status", "--json"])?.contains("\"bans\":null}"));
    Ok(())
}

/// A list of 200 networks.
fn list(lab: &Lab, name: &str, third: u8) -> Result<PathBuf> {
    let path = lab.fw.config().join(name);
    let networks: Vec<String> = (0..200).map(|last| format!("203.0.{third}.{last}")).collect();
    fs::write(&path, networks.join("\n"))?;
    Ok(path)
}

/// Each list is in force whole, or the other one is.
fn two_loaders_at_once_leave_one_list_whole() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.fw(&["attach", "eth0", "--allow", "22"])?;
    let loading = [list(&lab, "one", 1)?, list(&lab, "two", 2)?].map(|path| {
        let mut load = lab.fw.command(&lab.pi, ["ban", "--set", "list", "--load"]);
        load.arg(path).stdout(Stdio::null()).spawn()
    });
    for command in loading {
        ensure!(command?.wait()?.success(), "one of them failed");
    }
    let banned = banned(&lab)?;
    ensure!(banned.len() == 200, "{}", banned.len());
    ensure!(banned.iter().all(|(network, _)| network.starts_with(&banned[0].0[..8])), "{banned:?}");
    Ok(())
}

fn the_kernel_holds_what_is_banned_and_nothing_of_a_loader_that_was_killed() -> Result<()> {
    skip::need("strace", "strace")?;
    skip::need("bpftool", "bpftool")?;
    let lab = Lab::without_containers()?;
    lab.fw(&["attach", "eth0", "--allow", "22"])?;
    let lists = [list(&lab, "one", 1)?, list(&lab, "two", 2)?, list(&lab, "three", 3)?];
    let load = |list: usize| {
        Ok::<_, anyhow::Error>(["ban", "--set", "list", "--load", lists[list].to_str().context("UTF-8")?])
    };
    // A list is one range of addresses, which takes one page.
    let pages = || -> Result<usize> {
        let map = lab.version_folder(ABI_VERSION).join("shared/BANS4");
        let dump = command::run(Command::new("bpftool").args(["-j", "map", "dump", "pinned"]).arg(map))?;
        Ok(serde_json::from_str::<Vec<Value>>(&dump)?.len())
    };
    lab.fw(&load(0)?)?;
    let steps: Vec<Step> = lab.steps(&load(1)?)?;
    // Among the last ones the new list is in force, and the old one is removed.
    let some = steps.iter().step_by(steps.len() / 5).chain(steps.iter().rev().take(8));
    let (mut killed, mut noticed) = (0, 0);
    for step in some {
        let output = lab.fw_with_fault(&load(0)?, step, Fault::Kill)?;
        killed += usize::from(!output.status.success());
        let is_noticed = lab.fw(&["status"])?.contains("`fw-user bans` puts it in force");
        noticed += usize::from(is_noticed);
        let banned = banned(&lab)?;
        ensure!(!lab.fw(&["status"])?.contains("interrupted"), "killed at {step}, then the bans were listed");
        for list in [1, 2] {
            let sender = format!("203.0.{list}.7");
            let is_listed = banned.iter().any(|(network, _)| network.starts_with(&sender));
            let said = lab.fw(&["explain", "22/tcp", "--from", &sender])?;
            ensure!(said.contains("banned") == is_listed, "killed at {step}: {is_listed}, {said}");
        }
        for another in [2, 1] {
            lab.fw(&load(another)?)?;
            ensure!(pages()? == 1, "killed at {step}, then list {another} was loaded");
        }
    }
    ensure!(killed > 5, "only {killed} were killed");
    ensure!(noticed > 0, "nowhere did the kernel have other bans than the ledger");
    Ok(())
}
