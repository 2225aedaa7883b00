//! Every outside interface is closed, or named as open with the command that closes it.

use anyhow::{Result, ensure};
use fw_tests::{
    lab::{Lab, PI4, SECOND_PI4, Transport, command, fw::FwUser, stats::Status},
    tests,
};

const FAILED: i32 = 1;
const USAGE: i32 = 2;
const NOT_FILTERED: i32 = 6;

tests! {
    all_closes_every_outside_interface_and_no_other;
    what_is_left_open_is_named_with_the_command_that_closes_it;
    all_with_names_and_patterns_are_refused;
    all_attaches_everywhere_or_nowhere;
    an_interface_that_vanishes_in_between_is_no_half_attachment;
    two_interfaces_in_one_network_are_proposed_together;
    a_filter_that_is_gone_is_the_first_line;
    explain_takes_the_interface_of_the_route;
}

fn status(lab: &Lab) -> Result<Status> {
    Ok(serde_json::from_str(&lab.fw(&["status", "--json"])?)?)
}

/// The Pi with a second LAN, a bridge with a container's cable, and a tun.
fn crowded() -> Result<Lab> {
    let lab = Lab::without_containers()?;
    lab.add_second_lan()?;
    lab.pi.open_input()?;
    lab.add_inside_bridge()?;
    lab.pi.run("ip tuntap add dev tun0 mode tun")?;
    lab.pi.set_address("tun0", &["10.9.0.1/24"])?;
    Ok(lab)
}

fn all_closes_every_outside_interface_and_no_other() -> Result<()> {
    let lab = crowded()?;
    let server = lab.pi.serve_tcp(9123)?;
    let open = lab.pi.serve_tcp(9124)?;
    for address in [PI4, SECOND_PI4] {
        lab.lan.reaches(&server, Transport::Tcp, address, 9123)?;
    }
    let said = lab.fw(&["attach", "--all", "--except", "tun0", "--allow", "22,9124"])?;
    // The policy is printed once.
    assert_eq!(said.matches("  open    22, 9124\n").count(), 1, "{said}");
    ensure!(
        said.contains("on eth0, eth1, including") && !said.contains("br0") && !said.contains("NOT FILTERED"),
        "{said}"
    );
    for (interface, address) in [("eth0", PI4), ("eth1", SECOND_PI4)] {
        lab.is_closed_on(interface, &server, Transport::Tcp, address, 9123)?;
        lab.lan.reaches(&open, Transport::Tcp, address, 9124)?;
    }
    let names: Vec<String> = status(&lab)?.interfaces.into_iter().map(|one| one.name).collect();
    assert_eq!(names, ["eth0", "eth1"]);
    let said = lab.fw(&["attach", "--all", "--except", "nothing0", "--allow", "22"])?;
    ensure!(said.contains("--except nothing0: no outside interface matches that"), "{said}");
    ensure!(said.contains("tun0  attached"), "{said}");
    Ok(())
}

fn what_is_left_open_is_named_with_the_command_that_closes_it() -> Result<()> {
    let lab = crowded()?;
    lab.pi.run("ip link del tun0")?;
    let server = lab.pi.serve_tcp(9123)?;
    let named = "eth1  NOT FILTERED (198.51.100.1, 2001:db8:2::1";
    let close = "fw-user attach eth1 --allow 22";
    let said = lab.fw(&["attach", "eth0", "--allow", "22"])?;
    for words in [named, "open there: 9123/tcp", close] {
        ensure!(said.contains(words), "no {words:?} in {said}");
    }
    lab.lan.reaches(&server, Transport::Tcp, SECOND_PI4, 9123)?;
    for args in [&["status"][..], &["allow", "99"], &["deny", "99"], &["exposed"]] {
        let said = lab.fw(args)?;
        let fix = if args == ["exposed"] { "fw-user attach eth1 --allow" } else { "fw-user attach eth1 --allow 22" };
        ensure!(said.contains(fix) && said.contains("9123/tcp"), "{args:?}: {said}");
    }
    let doctor = lab.fw(&["doctor"])?;
    ensure!(doctor.contains("eth1 open") && doctor.contains(close) && !doctor.contains("br0"), "{doctor}");
    let status = status(&lab)?;
    let [open] = status.unfiltered.as_slice() else { panic!("{status:?}") };
    assert_eq!(
        (open.name.as_str(), open.class.as_str(), &open.open),
        ("eth1", "outside", &vec!["9123/tcp".to_owned()])
    );
    ensure!(open.addresses.contains(&SECOND_PI4.to_string()), "{open:?}");
    let check = lab.fw.command(&lab.pi, ["status", "--check"]).output()?;
    assert_eq!(check.status.code(), Some(NOT_FILTERED), "{check:?}");
    lab.fw(&["attach", "eth1", "--allow", "22"])?;
    lab.is_closed_on("eth1", &server, Transport::Tcp, SECOND_PI4, 9123)?;
    let said = lab.fw(&["status", "--check"])?;
    ensure!(!said.contains("NOT FILTERED"), "{said}");
    Ok(())
}

fn all_with_names_and_patterns_are_refused() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.refuses(&["attach", "--all", "eth0", "--allow", "22"], USAGE, &["leave out --all, or leave out eth0"])?;
    lab.refuses(
        &["attach", "--all", "--except", "eth[0-9]", "--allow", "22"],
        USAGE,
        &["--except `eth[0-9]` is not a pattern"],
    )?;
    lab.refuses(
        &["attach", "*", "--allow", "22"],
        USAGE,
        &["`*` is a pattern, not an interface", "fw-user attach --all"],
    )?;
    lab.refuses(&["attach", "--all", "--except", "eth0", "--allow", "22"], FAILED, &["no outside interface is here"])?;
    lab.nothing_is_left_behind()
}

/// While the command waits for its turn: with --all it is left out, by name it is a mistake.
fn an_interface_that_vanishes_in_between_is_no_half_attachment() -> Result<()> {
    let lab = Lab::without_containers()?;
    for (args, succeeds) in [
        (&["attach", "eth0", "eth1", "--allow", "22"][..], false),
        (&["attach", "--all", "--allow", "22"], true),
        (&["apply"], false),
    ] {
        lab.add_second_lan()?;
        lab.write_file("lan", "interfaces = [\"eth0\", \"eth1\"]\nallow = [\"22\"]\n")?;
        let lock = lab.fw.lock()?;
        let mut waiting = lab.fw_at_lock(args)?;
        lab.pi.run("ip link delete eth1")?;
        drop(lock);
        let status = waiting.process.await_end()?;
        let said = waiting.said()?;
        ensure!(status.success() == succeeds && said.contains("eth1") != succeeds, "{args:?}: {status}, {said}");
        let names: Vec<String> = self::status(&lab)?.interfaces.into_iter().map(|one| one.name).collect();
        // Without names `apply` applies what is there, and says what is missing.
        let attached: &[&str] = if args == ["attach", "eth0", "eth1", "--allow", "22"] { &[] } else { &["eth0"] };
        assert_eq!(names, attached, "{args:?}: {said}");
        lab.fw(&["detach", "--all"])?;
    }
    Ok(())
}

/// Another program on the second interface: the first one is as it was.
fn all_attaches_everywhere_or_nowhere() -> Result<()> {
    const TAKEN: i32 = 3;
    let lab = crowded()?;
    let server = lab.pi.serve_tcp(9123)?;
    let other = FwUser::new()?;
    command::run(&mut other.command(&lab.pi, ["attach", "eth1", "--allow", "22"]))?;
    lab.refuses(&["attach", "--all", "--allow", "22"], TAKEN, &["eth1"])?;
    lab.lan.reaches(&server, Transport::Tcp, PI4, 9123)?;
    command::run(&mut other.command(&lab.pi, ["detach", "--all"])).map(drop)
}

fn two_interfaces_in_one_network_are_proposed_together() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.add_second_lan()?;
    lab.pi.set_address("eth1", &["192.0.2.2/24"])?;
    let said = lab.fw(&["attach", "eth0", "--allow", "22"])?;
    for words in ["eth0 and eth1 are in one network (192.0.2.0/24)", "fw-user attach eth0 eth1 --allow 22"] {
        ensure!(said.contains(words), "no {words:?} in {said}");
    }
    Ok(())
}

fn a_filter_that_is_gone_is_the_first_line() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.pi.open_input()?;
    let server = lab.pi.serve_tcp(9123)?;
    lab.fw(&["attach", "eth0", "--allow", "22"])?;
    lab.fw(&["status", "--check"])?;
    let pins = lab.fw.pins()?;
    let link = pins.iter().find(|pin| pin.ends_with("ingress-link")).expect("the link is pinned");
    std::fs::remove_file(link)?;
    lab.lan.reaches(&server, Transport::Tcp, PI4, 9123)?;
    let said = lab.fw(&["status"])?;
    ensure!(said.starts_with("NOT FILTERED: every port is open on eth0\n"), "{said}");
    let check = lab.fw.command(&lab.pi, ["status", "--check"]).output()?;
    assert_eq!(check.status.code(), Some(NOT_FILTERED), "{check:?}");
    Ok(())
}

fn explain_takes_the_interface_of_the_route() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.add_second_lan()?;
    lab.fw(&["attach", "--all", "--allow", "22"])?;
    for (args, interface) in [
        (&["explain", "9123/tcp"][..], "eth0"),
        (&["explain", "9123/tcp", "--from", "198.51.100.10"], "eth1"),
        (&["explain", "9123/tcp", "--from", "192.0.2.10"], "eth0"),
    ] {
        let said = lab.fw(args)?;
        ensure!(said.contains(interface), "{args:?}: {said}");
    }
    Ok(())
}
