//! More than one interface: each with its own policy and counters, all with the same flows.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _};

use anyhow::{Context, Result, ensure};
use fw_tests::{
    lab::{LAN4, LAN6, Lab, Mode, PI4, PI6, SECOND_PI4, SECOND_PI6, Transport, command},
    tests,
};
use serde_json::Value;

tests! { in tc mode:
    the_interface_is_free_the_moment_that_detach_returns;
}

const FAILED: i32 = 1;

tests! { in native mode:
    the_interface_is_free_the_moment_that_detach_returns;
    each_interface_has_its_own_policy;
    a_deleted_interface_leaves_nothing_that_hinders;
}

tests! { in generic mode:
    two_interfaces_are_attached_and_detached_at_once;
    a_reply_may_come_in_on_another_interface;
}

tests! {
    a_refusal_of_native_mode_is_told_in_the_drivers_words;
    many_interfaces_are_attached_all_or_none;
    status_shows_the_interfaces_that_are_named;
    an_interface_may_be_typed_by_another_name;
    an_interface_whose_name_is_not_utf8_is_no_hindrance;
}

fn attach(lab: &Lab, mode: Mode, interfaces: &[&str], allow: &str) -> Result<()> {
    let mode = mode.to_string();
    lab.fw(&[&["attach"], interfaces, &["--mode", &mode, "--allow", allow]].concat()).map(drop)
}

fn two_interfaces_are_attached_and_detached_at_once(mode: Mode) -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.add_second_lan()?;
    lab.pi.open_input()?;
    let server = lab.pi.serve_tcp(9123)?;
    let all = [PI4, PI6, SECOND_PI4, SECOND_PI6];
    for address in all {
        lab.lan.reaches(&server, Transport::Tcp, address, 9123).context("without the filter")?;
    }
    attach(&lab, mode, &["eth0", "eth1"], "22")?;
    for (interface, addresses) in [("eth0", [PI4, PI6]), ("eth1", [SECOND_PI4, SECOND_PI6])] {
        for address in addresses {
            lab.is_closed_on(interface, &server, Transport::Tcp, address, 9123)?;
        }
    }
    lab.fw(&["detach", "--all"])?;
    for address in all {
        lab.lan.reaches(&server, Transport::Tcp, address, 9123).context("after detach")?;
    }
    lab.nothing_is_left_behind()
}

fn status_shows_the_interfaces_that_are_named() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.add_second_lan()?;
    lab.fw(&["attach", "eth0", "--allow", "22"])?;
    let names = |args: &[&str], list: &str| -> Result<Vec<String>> {
        let status: Value = serde_json::from_str(&lab.fw(&[&["status", "--json"], args].concat())?)?;
        let all = status[list].as_array().context("a list")?;
        Ok(all.iter().filter_map(|one| one["name"].as_str()).map(str::to_owned).collect())
    };
    for (args, filtered, unfiltered) in [
        (&[][..], &["eth0"][..], &["eth1"][..]),
        (&["eth0"], &["eth0"], &[]),
        (&["eth1"], &[], &["eth1"]),
        (&["eth0,eth1"], &["eth0"], &["eth1"]),
    ] {
        ensure!(names(args, "interfaces")? == filtered && names(args, "unfiltered")? == unfiltered, "{args:?}");
    }
    lab.fw(&["status", "eth0", "--check"])?;
    lab.refuses(&["status", "eth7"], FAILED, &["eth7"])?;
    lab.refuses(&["status", "lo"], FAILED, &["lo"])
}

fn an_interface_may_be_typed_by_another_name() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.pi.run("ip link property add dev eth0 altname lan altname enp0s31f6-the-long-name-of-a-card")?;
    lab.fw(&["attach", "lan", "--allow", "22"])?;
    ensure!(lab.fw(&["status", "enp0s31f6-the-long-name-of-a-card"])?.contains("eth0"));
    for (command, port) in [("allow", "443/tcp"), ("deny", "443/tcp"), ("explain", "443/tcp")] {
        let said = lab.fw(&[command, port, "--interface", "lan"])?;
        ensure!(said.contains("eth0"), "{said}");
    }
    lab.fw(&["detach", "lan"])?;
    lab.pi.run("ip link property del dev eth0 altname lan altname enp0s31f6-the-long-name-of-a-card")?;
    lab.nothing_is_left_behind()
}

fn an_interface_whose_name_is_not_utf8_is_no_hindrance() -> Result<()> {
    let lab = Lab::without_containers()?;
    let ip = |before: &str, name: &[u8], behind: &str| {
        let mut ip = lab.pi.command("ip");
        ip.args(before.split_whitespace()).arg(OsStr::from_bytes(name)).args(behind.split_whitespace());
        command::run(&mut ip)
    };
    ip("link add", b"w\xffb", "type veth peer w1")?;
    ip("link property add dev eth0 altname", b"\xfe", "")?;
    lab.fw(&["attach", "eth0", "--allow", "22"])?;
    for command in ["doctor", "exposed", "stats", "apply"] {
        let output = lab.fw.command(&lab.pi, [command]).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(!said.contains("asking for the interfaces"), "{command}: {said}");
    }
    // Nobody closes it, and nobody says so.
    let status: Value = serde_json::from_str(&lab.fw(&["status", "--json"])?)?;
    ensure!(status["interfaces"].as_array().is_some_and(|all| all.len() == 1), "{status}");
    lab.fw(&["detach", "--all"])?;
    ip("link delete", b"w\xffb", "")?;
    ip("link property del dev eth0 altname", b"\xfe", "")?;
    lab.nothing_is_left_behind()
}

/// Of fewer queues than the other end sends on.
fn a_refusal_of_native_mode_is_told_in_the_drivers_words() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.pi.run("ip link add few numrxqueues 1 type veth peer name many numtxqueues 4")?;
    for name in ["few", "many"] {
        lab.pi.run(&format!("ip link set {name} up"))?;
    }
    lab.pi.run("ethtool --set-channels many tx 4")?;
    let words = "XDP expects number of rx queues not less than peer tx queues";
    let said = lab.fw(&["attach", "few", "--allow", "22"])?;
    for words in ["few  attached, tc mode", "because the driver refuses native mode: ", words] {
        ensure!(said.contains(words), "no {words:?} in {said}");
    }
    lab.fw(&["detach", "few"])?;
    let native = ["attach", "few", "--mode", "native", "--allow", "22"];
    lab.refuses(&native, FAILED, &["few cannot be filtered in native mode", words, "--mode generic"])?;
    lab.pi.run("ethtool --set-channels many tx 1")?;
    lab.fw(&native)?;
    lab.fw(&["detach", "few"])?;
    lab.nothing_is_left_behind()
}

/// A bridge has no driver, which is found out when it is its turn, while others are being attached.
fn many_interfaces_are_attached_all_or_none() -> Result<()> {
    const PAIRS: usize = 12;
    let lab = Lab::without_containers()?;
    let mut names: Vec<String> = (0..PAIRS).map(|number| format!("one{number}")).collect();
    for (number, name) in names.iter().enumerate() {
        lab.pi.run(&format!("ip link add {name} type veth peer name other{number}"))?;
        for end in [name, &format!("other{number}")] {
            lab.pi.run(&format!("ip link set {end} up"))?;
        }
    }
    let attach = |names: &[String]| {
        let names = names.iter().map(String::as_str);
        let line: Vec<&str> =
            ["attach"].into_iter().chain(names).chain(["--mode", "native", "--allow", "22"]).collect();
        lab.fw(&line)
    };
    let said = attach(&names)?;
    for name in &names {
        ensure!(said.contains(&format!("{name}  attached, native mode")), "no {name} in {said}");
    }
    lab.fw(&["detach", "--all"])?;
    lab.nothing_is_left_behind()?;
    lab.pi.run("ip link add br0 type bridge")?;
    names.insert(PAIRS / 2, "br0".to_owned());
    let refused = attach(&names);
    let told = refused.err().map(|error| error.to_string()).unwrap_or_default();
    ensure!(told.contains("br0 cannot be filtered in native mode"), "{told}");
    lab.nothing_is_left_behind()
}

fn each_interface_has_its_own_policy(mode: Mode) -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.add_second_lan()?;
    lab.pi.open_input()?;
    let server = lab.pi.serve_udp(9123)?;
    attach(&lab, mode, &["eth0"], "22")?;
    lab.lan.reaches(&server, Transport::Udp, SECOND_PI4, 9123).context("eth1 has no filter yet")?;
    attach(&lab, mode, &["eth1"], "22,9123/udp")?;
    lab.is_closed_on("eth0", &server, Transport::Udp, PI4, 9123)?;
    lab.lan.reaches(&server, Transport::Udp, SECOND_PI4, 9123)?;
    lab.fw(&["deny", "9123/udp", "--interface", "eth1"])?;
    lab.fw(&["allow", "9123/udp", "--interface", "eth0"])?;
    lab.lan.reaches(&server, Transport::Udp, PI6, 9123)?;
    lab.is_closed_on("eth1", &server, Transport::Udp, SECOND_PI6, 9123)?;
    assert_eq!(lab.stats("eth0")?.dropped_at("udp", 9123), 1);
    assert_eq!(lab.stats("eth1")?.dropped_at("udp", 9123), 1);
    // One that goes leaves the other at work.
    lab.fw(&["detach", "eth0"])?;
    lab.is_closed_on("eth1", &server, Transport::Udp, SECOND_PI4, 9123)?;
    Ok(())
}

/// The request leaves by eth0, and the LAN host sends its answer to eth1.
fn a_reply_may_come_in_on_another_interface(mode: Mode) -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.add_second_lan()?;
    lab.lan.run(&format!("ip route add {PI4}/32 via {SECOND_PI4} src {LAN4}"))?;
    lab.lan.run(&format!("ip -6 route add {PI6}/128 via {SECOND_PI6} src {LAN6}"))?;
    // The Pi must not take it for forged that way.
    for interface in ["all", "eth0", "eth1"] {
        lab.pi.sysctl(&format!("net/ipv4/conf/{interface}/rp_filter"), "0")?;
    }
    let (stream, datagrams) = (lab.lan.serve_tcp(5000)?, lab.lan.serve_udp(5000)?);
    let exchange = |lab: &Lab| -> Result<()> {
        for address in [LAN4, LAN6] {
            lab.pi.reaches(&stream, Transport::Tcp, address, 5000)?;
            lab.pi.reaches(&datagrams, Transport::Udp, address, 5000)?;
        }
        Ok(())
    };
    exchange(&lab).context("without the filter")?;
    attach(&lab, mode, &["eth0", "eth1"], "22")?;
    exchange(&lab).context("with the filter")?;
    assert_eq!(lab.stats("eth0")?.reason("reply").packets, 0, "the answers come in by eth1");
    assert!(
        lab.stats("eth1")?.reason("reply").packets >= 6,
        "SYN-ACK and more over TCP, one over UDP, in either family"
    );
    Ok(())
}

/// A USB adapter that is pulled takes the program along, and leaves the pins: they must neither confuse nor hinder.
fn a_deleted_interface_leaves_nothing_that_hinders(mode: Mode) -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.add_second_lan()?;
    attach(&lab, mode, &["eth0", "eth1"], "22")?;
    lab.pi.run("ip link delete eth1")?;
    let status = lab.fw(&["status"])?;
    assert!(status.contains("eth1  interface is gone"), "{status}");
    lab.stats("eth0")?;
    lab.add_second_lan()?;
    attach(&lab, mode, &["eth1"], "22")?;
    let server = lab.pi.serve_tcp(9123)?;
    lab.is_closed_on("eth1", &server, Transport::Tcp, SECOND_PI4, 9123)?;
    lab.pi.run("ip link delete eth1")?;
    lab.fw(&["detach", "eth1"])?;
    lab.fw(&["detach", "eth0"])?;
    lab.nothing_is_left_behind()
}

/// The kernel takes its time over a link that only a pin held: a packet that comes at once must find the filter gone, and so must
/// the next `attach`.
fn the_interface_is_free_the_moment_that_detach_returns(mode: Mode) -> Result<()> {
    let lab = Lab::without_containers()?;
    for _ in 0..10 {
        lab.attach(mode, "22")?;
        lab.fw(&["detach", "eth0"])?;
        assert!(!lab.pi.run("ip -details link show eth0")?.contains("xdp"));
    }
    Ok(())
}
