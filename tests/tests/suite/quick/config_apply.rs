//! `apply`: interfaces become what their files say, nothing is written twice, and all of them change or none.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    os::unix::fs::symlink,
    path::Path,
};

use anyhow::{Context, Result, ensure};
use fw_tests::{
    lab::{Lab, Mode, PI4, Refusal, Transport, at_tc},
    tests,
};
use serde_json::{Value, json};

const FAILED: i32 = 1;
const CHANGED: i32 = 5;
const USAGE: i32 = 2;

tests! {
    what_is_as_the_file_says_is_not_written_again;
    each_difference_is_printed;
    another_mode_in_the_file_is_applied_in_place;
    programs_of_another_version_are_replaced;
    a_dry_run_prints_the_same_and_changes_nothing;
    all_interfaces_change_or_none;
    a_file_may_be_for_several_interfaces;
    an_interface_that_is_not_there_does_not_hold_up_the_others;
    what_cannot_change_in_place_is_refused_with_the_way_to_it;
    mistakes_in_other_files_do_not_keep_a_named_interface_open;
    a_file_that_would_cut_the_own_session_is_refused;
}

tests! { in native mode:
    an_applied_file_that_nobody_confirms_is_taken_back;
}

tests! { in generic mode:
    a_file_closes_and_opens_ports;
}

fn another_mode_in_the_file_is_applied_in_place() -> Result<()> {
    at_tc(|_| {
        let lab = Lab::without_containers()?;
        lab.attach(Mode::Native, "22")?;
        lab.write_file("eth0", "allow = [\"22\"]\nmode = \"tc\"")?;
        let said = lab.fw(&["apply"])?;
        ensure!(said.starts_with("eth0  change, ") && said.contains("  mode native -> tc\n"), "{said}");
        ensure!(lab.fw(&["status"])?.contains("eth0  active, tc mode"), "{said}");
        let said = lab.fw(&["apply"])?;
        ensure!(said.contains("nothing to do"), "{said}");
        Ok(())
    })
}

fn a_file_closes_and_opens_ports(mode: Mode) -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.pi.open_input()?;
    let server = lab.pi.serve_tcp(8080)?;
    lab.lan.reaches(&server, Transport::Tcp, PI4, 8080)?;
    lab.write_file("eth0", &format!("allow = [\"22\"]\nmode = \"{mode}\""))?;
    let said = lab.fw(&["apply"])?;
    assert!(said.starts_with("eth0  attach, according to ") && said.contains("\n  + 22\n"), "{said}");
    lab.is_closed(&server, Transport::Tcp, PI4, 8080)?;
    let status: Value = serde_json::from_str(&lab.fw(&["status", "--json"])?)?;
    assert_eq!(status["interfaces"][0]["mode"], json!(mode.to_string()));
    lab.write_file("eth0", "allow = [\"22\", \"8080/tcp\"]")?;
    let said = lab.fw(&["apply", "eth0"])?;
    assert!(said.starts_with("eth0  change, according to ") && said.ends_with("\n  + 8080/tcp\n"), "{said}");
    lab.lan.reaches(&server, Transport::Tcp, PI4, 8080)?;
    Ok(())
}

/// The kernel's 64 bits, and the programs, stay what they were.
fn what_is_as_the_file_says_is_not_written_again() -> Result<()> {
    let lab = Lab::without_containers()?;
    // Other words for the same policy.
    let file = r#"
        allow = ["22", "http/tcp", "6000-6010/udp", "443@192.0.2.0/24", "443@[2001:db8:1::]/64"]
        allow-proto = ["gre", "50"]
        forward = "pass"
        monitor = true
        flows = 4096
    "#;
    lab.write_file("eth0", file)?;
    lab.fw(&["apply"])?;
    let before = (lab.active("eth0")?, lab.traces()?);
    for args in [&["apply"][..], &["apply", "eth0"], &["apply", "--confirm", "5"]] {
        let said = lab.fw(args)?;
        assert!(said.ends_with("nothing to do\n") && said.lines().count() == 1, "{said}");
        assert_eq!((lab.active("eth0")?, lab.traces()?), before, "{args:?}");
    }
    // The measure is a good one: a change moves it.
    lab.fw(&["allow", "8080"])?;
    assert_ne!(lab.active("eth0")?, before.0);
    Ok(())
}

fn each_difference_is_printed() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.fw(&[
        "attach",
        "eth0",
        "--allow",
        "22,443/tcp,6000-6010/udp",
        "--allow-proto",
        "gre",
        "--monitor",
        "--no-replies",
    ])?;
    let file = r#"
        allow = ["22", "8080", "6000-6005/udp", "443/tcp@192.0.2.0/24"]
        allow-proto = ["esp"]
        forward = "pass"
    "#;
    lab.write_file("eth0", file)?;
    let said = lab.fw(&["apply"])?;
    let lines: Vec<&str> = said.lines().skip(1).map(str::trim).collect();
    let expected = [
        "+ 443/tcp@192.0.2.0/24",
        "+ 8080",
        "- 443/tcp",
        "- 6006-6010/udp",
        "+ esp",
        "- gre",
        "forward drop -> pass",
        "replies off -> on",
        "monitor -> enforce: everything that is not allowed is dropped",
    ];
    assert_eq!(lines, expected, "{said}");
    assert!(lab.fw(&["apply"])?.ends_with("nothing to do\n"));
    lab.write_file("eth0", &file.replace("\"pass\"", r#"["2001:db8:5::/64", "10.8.0.0/24"]"#))?;
    let said = lab.fw(&["apply"])?;
    assert!(said.ends_with("  forward pass -> 10.8.0.0/24,2001:db8:5::/64\n"), "{said}");
    assert!(lab.fw(&["apply"])?.ends_with("nothing to do\n"));
    lab.write_file("eth0", file)?;
    lab.fw(&["apply"])?;
    lab.write_file("eth0", "allow = [\"22\"]\nmonitor = true")?;
    let outcome: Value = serde_json::from_str(&lab.fw(&["apply", "--json"])?)?;
    let expected = json!({
        "dry_run": false,
        "interfaces": [{
            "name": "eth0",
            "file": lab.file("eth0"),
            "action": "change",
            "opened": [],
            "closed": ["443/tcp@192.0.2.0/24", "6000-6005/udp", "8080"],
            "opened_proto": [],
            "closed_proto": ["esp"],
            "settings": [
                { "what": "forward", "from": "pass", "to": "drop" },
                { "what": "monitor", "from": "off", "to": "on" },
            ],
            "cut": [],
        }],
        "missing": [],
        "notes": [],
        "unfiltered": [],
    });
    assert_eq!(outcome, expected);
    Ok(())
}

fn programs_of_another_version_are_replaced() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.write_file("eth0", "allow = [\"22\"]")?;
    lab.fw(&["apply"])?;
    let programs = lab.pi.run("ip -details link show eth0")?;
    lab.set_version("eth0", "0.0.7")?;
    let said = lab.fw(&["apply"])?;
    assert!(said.ends_with(concat!("\n  version 0.0.7 -> ", env!("CARGO_PKG_VERSION"), "\n")), "{said}");
    assert_ne!(lab.pi.run("ip -details link show eth0")?, programs);
    assert!(lab.fw(&["apply"])?.ends_with("nothing to do\n"));
    Ok(())
}

fn a_dry_run_prints_the_same_and_changes_nothing() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.add_second_lan()?;
    lab.fw(&["attach", "eth0", "--allow", "22"])?;
    lab.write_file("eth0", "allow = [\"80\"]\nmonitor = true")?;
    lab.write_file("eth1", "allow = [\"22\", \"53\"]")?;
    let before = (lab.active("eth0")?, lab.traces()?);
    let dry = lab.fw(&["apply", "--dry-run"])?;
    assert_eq!((lab.active("eth0")?, lab.traces()?), before);
    let said = lab.fw(&["apply"])?;
    assert_eq!(dry, format!("{said}dry run: nothing was changed\n"));
    assert!(said.contains("- 22\n") && said.contains("eth1  attach"), "{said}");
    Ok(())
}

fn all_interfaces_change_or_none() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.add_second_lan()?;
    lab.pi.run("ip tuntap add tun0 mode tun")?;
    let native_tun = "allow = [\"80\"]\nmode = \"native\"";
    lab.fw(&["attach", "eth0", "--allow", "22"])?;
    lab.write_file("eth0", "allow = [\"80\"]")?;
    lab.write_file("eth1", "allow = [\"80/tcp\", \"http\"]")?;
    // A mistake in one file, an interface that cannot have a filter, and a failure of the kernel's at the last of them.
    lab.refuses(&["apply"], USAGE, &["eth1.toml:1:20: `http` is in the list already"])?;
    lab.write_file("eth1", "allow = [\"80\"]")?;
    lab.write_file("tun0", native_tun)?;
    lab.refuses(&["apply"], FAILED, &["tun0", "TC mode alone"])?;
    lab.write_file("tun0", "interfaces = [\"eth2\"]\nallow = [\"80\"]\nmode = \"native\"")?;
    lab.pi.run("ip link add eth2 type bridge")?;
    let before = lab.fw(&["status", "--json"])?;
    let refusal = lab.fw_fails(&["apply"])?;
    assert!(refusal.code == FAILED && refusal.message.contains("the driver has no native XDP"), "{refusal:?}");
    assert_eq!(lab.fw(&["status", "--json"])?, before, "eth0 and eth1 had changed by then, and are as they were");
    lab.write_file("tun0", "interfaces = [\"eth2\"]\nallow = [\"80\"]")?;
    let said = lab.fw(&["apply"])?;
    for name in ["eth0  change", "eth1  attach", "eth2  attach"] {
        assert!(said.contains(name), "{said}");
    }
    Ok(())
}

fn a_file_may_be_for_several_interfaces() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.add_second_lan()?;
    lab.write_file("lan", "interfaces = [\"eth0\", \"eth1\"]\nallow = [\"22\"]")?;
    let said = lab.fw(&["apply", "eth1"])?;
    assert!(said.contains("eth1  attach") && !said.contains("eth0  attach"), "{said}");
    assert!(said.contains("eth0  NOT FILTERED") && said.contains("fw-user attach eth0 --allow 22"), "{said}");
    let said = lab.fw(&["apply"])?;
    assert!(said.contains("eth0  attach") && said.contains("eth1  matches "), "{said}");
    Ok(())
}

fn an_interface_that_is_not_there_does_not_hold_up_the_others() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.write_file("eth0", "allow = [\"22\"]")?;
    lab.write_file("usb0", "allow = [\"22\"]")?;
    lab.refuses(&["apply", "usb0"], FAILED, &["no interface `usb0`"])?;
    lab.refuses(&["apply", "usb0", "eth0"], FAILED, &["no interface `usb0`"])?;
    let output = lab.fw.command(&lab.pi, ["apply"]).output()?;
    assert_eq!(output.status.code(), Some(CHANGED));
    let (said, complaint) = (String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?);
    assert!(said.starts_with("eth0  attach") && !said.contains("usb0"), "{said}");
    assert!(complaint.contains("missing: usb0") && complaint.contains("changed eth0"), "{complaint}");
    lab.active("eth0")?;
    // Now there is nothing to change.
    assert_eq!(lab.fw.command(&lab.pi, ["apply"]).output()?.status.code(), Some(FAILED));
    Ok(())
}

fn what_cannot_change_in_place_is_refused_with_the_way_to_it() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.fw(&["attach", "eth0", "--allow", "22", "--flows", "4096", "--mode", "generic"])?;
    for (line, words) in [
        ("mode = \"native\"", &["eth0", "generic mode", "fw-user detach eth0"][..]),
        ("flows = 2048", &["eth0", "flows", "4096", "2048", "fw-user detach --all"]),
        ("replies = false", &["eth0", "replies", "fw-user detach eth0"]),
    ] {
        // Also where nothing else differs.
        for allow in ["22", "23"] {
            lab.write_file("eth0", &format!("allow = [\"{allow}\"]\n{line}"))?;
            lab.refuses(&["apply"], FAILED, words)?;
            lab.refuses(&["apply", "--dry-run"], FAILED, words)?;
        }
    }
    lab.fw(&["detach", "eth0"])?;
    lab.fw(&["apply"])?;
    Ok(())
}

/// Unreadable replacements of a file.
type Spoilt = (&'static str, fn(&Path) -> Result<()>);

fn mistakes_in_other_files_do_not_keep_a_named_interface_open() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.refuses(&["apply"], FAILED, &["no file", "fw-user save"])?;
    lab.write_file("eth0", "allow = [\"22\"]")?;
    lab.write_file("eth1", "allow = [22]")?;
    lab.refuses(&["apply"], USAGE, &["eth1.toml:1:10: ", "in quotes: \"22\""])?;
    lab.refuses(&["apply", "eth2"], USAGE, &["eth1.toml:1:10: "])?;
    lab.fw(&["apply", "eth0"])?;
    lab.write_file("eth1", "interfaces = [\"eth0\"]\nallow = [\"22\"]")?;
    lab.refuses(&["apply", "eth0"], USAGE, &["eth1.toml:1:15: eth0 already has a file"])?;
    lab.write_file("eth1", "allow = [\"22\"]")?;
    lab.refuses(&["apply", "eth2"], FAILED, &["no file", "eth2", "fw-user save eth2"])?;
    // Nor does what cannot be read at all.
    let path = lab.file("eth1");
    let spoilt: [Spoilt; 3] = [
        ("a link to nothing", |path| Ok(symlink("/nowhere", path)?)),
        ("a folder", |path| Ok(fs::create_dir(path)?)),
        ("a pipe", |path| Ok(nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU)?)),
    ];
    for (what, spoil) in spoilt {
        let work = || -> Result<()> {
            if path.is_dir() {
                fs::remove_dir(&path)?;
            } else {
                fs::remove_file(&path)?;
            }
            spoil(&path)?;
            lab.fw(&["apply", "eth0"])?;
            for args in [&["apply"][..], &["apply", "eth1"], &["check"]] {
                lab.refuses(args, USAGE, &["eth1.toml:1:1: this cannot be read"])?;
            }
            Ok(())
        };
        work().context(what)?;
    }
    Ok(())
}

fn an_applied_file_that_nobody_confirms_is_taken_back(mode: Mode) -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.attach(mode, "22")?;
    let before = lab.fw(&["status", "--json"])?;
    lab.write_file("eth0", "allow = [\"80\"]\nmonitor = true")?;
    let said = lab.fw(&["apply", "--confirm", "600"])?;
    assert!(said.contains("- 22\n") && said.contains("unless you run `fw-user confirm`"), "{said}");
    lab.refuses(&["apply"], FAILED, &["still waits to be confirmed"])?;
    lab.fw(&["rollback"])?;
    assert_eq!(lab.fw(&["status", "--json"])?, before);
    lab.fw(&["apply", "--confirm", "600"])?;
    lab.fw(&["confirm"])?;
    let said = lab.fw(&["apply"])?;
    ensure!(said.ends_with("nothing to do\n"), "{said}");
    Ok(())
}

fn a_file_that_would_cut_the_own_session_is_refused() -> Result<()> {
    let lab = Lab::without_containers()?;
    let listener = lab.pi.enter(|| TcpListener::bind((PI4, 22)))?;
    let session = lab.lan.enter(|| TcpStream::connect((PI4, 22)))?;
    let (_accepted, peer) = listener.accept()?;
    lab.write_file("eth0", "allow = [\"80\"]")?;
    let apply = |args: &[&str]| {
        let mut command = lab.fw.command(&lab.pi, args);
        command.env("SSH_CONNECTION", format!("{} {} {PI4} 22", peer.ip(), peer.port())).output()
    };
    let before = lab.traces()?;
    for args in [&["apply"][..], &["apply", "--dry-run"]] {
        let refusal = Refusal::of(&apply(args)?)?;
        let words = ["could lock you out", "eth0", "add 22/tcp to the allow list in the file of eth0", "--force"];
        for word in words {
            ensure!(refusal.code == FAILED && refusal.message.contains(word), "{args:?} without {word:?}: {refusal:?}");
        }
        assert_eq!(lab.traces()?, before, "{args:?}");
    }
    let output = apply(&["apply", "--force", "--json"])?;
    let outcome: Value = serde_json::from_slice(&output.stdout)?;
    assert_eq!(outcome["interfaces"][0]["cut"][0]["port"], json!(22), "{outcome}");
    drop(session);
    Ok(())
}
