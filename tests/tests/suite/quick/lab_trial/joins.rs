//! Changes that join a change on trial: they stay or revert with it.

use anyhow::{Context, Result, ensure};
use fw_common::policy::Policy;
use fw_tests::{
    lab::{LAN4, Lab, Mode, PI4, SECOND_PI4, Server, Transport, stats::Status, wait},
    tests,
};
use fw_user::testing::{
    pins::Pins,
    policy_map::{PolicyMap, Terms},
};

use super::{
    LONG, LONGEST, MIDDLE, await_traces, await_watchers_end, kill_watchers, on_terminal, on_trial, seconds, status,
    watchers,
};

tests! { in tc mode:
    a_rollback_undoes_a_change_and_all_that_joined_it;
}

tests! { in native mode:
    a_rollback_undoes_a_change_and_all_that_joined_it;
    what_joins_the_first_attach_goes_with_the_filter;
}

tests! { in generic mode:
    the_deadline_undoes_a_change_and_all_that_joined_it;
}

tests! {
    confirm_keeps_a_change_and_all_that_joined_it;
    the_deadline_counts_also_when_every_process_was_killed;
    a_new_deadline_is_for_both;
    what_joins_enforce_goes_back_to_monitoring;
    each_interface_joins_what_waits_there;
    a_file_takes_nothing_that_may_revert;
    bans_hold_whatever_becomes_of_a_change;
    another_terminal_that_counts_down_hears_of_the_end;
    what_has_reverted_takes_nothing_in;
}

/// Ports of the Pi that only the filter closes.
struct Ports {
    lab: Lab,
    servers: Vec<(u16, Server)>,
}

impl Ports {
    fn start() -> Result<Self> {
        let lab = Lab::without_containers()?;
        lab.pi.open_input()?;
        let servers = [81, 82, 83, 84].map(|port| Ok((port, lab.pi.serve_tcp(port)?)));
        Ok(Self { servers: servers.into_iter().collect::<Result<_>>()?, lab })
    }

    /// The same with a filter that has 81 and 82 open.
    fn filtered(mode: Mode) -> Result<Self> {
        let ports = Self::start()?;
        ports.lab.attach(mode, "22,81,82")?;
        ports.are_open(&[81, 82])?;
        Ok(ports)
    }

    /// These can be reached, and no other.
    fn are_open(&self, open: &[u16]) -> Result<()> {
        self.servers.iter().try_for_each(|(port, server)| {
            if open.contains(port) {
                self.lab.lan.reaches(server, Transport::Tcp, PI4, *port)
            } else {
                self.lab.is_closed(server, Transport::Tcp, PI4, *port)
            }
            .with_context(|| format!("port {port} when {open:?} are open"))
        })
    }

    /// All can be reached: there is no filter, or it drops nothing.
    fn are_all_open(&self) -> Result<()> {
        self.servers.iter().try_for_each(|(port, server)| self.lab.lan.reaches(server, Transport::Tcp, PI4, *port))
    }
}

/// A command joins a change, and says so.
fn joins(lab: &Lab, command: &[&str]) -> Result<()> {
    let said = lab.fw(command)?;
    let (before, after) = said.split_once("eth0  joins the change that reverts in ").with_context(|| said.clone())?;
    ensure!(before.starts_with("eth0  open: "), "{said}");
    let (left, told) = after.split_once(" s ").with_context(|| said.clone())?;
    ensure!(left.parse::<u64>()? <= 600 && told.starts_with("unless you run `fw-user confirm`\n"), "{said}");
    Ok(())
}

fn confirm_within(status: &Status, name: &str) -> Option<u64> {
    status.interfaces.iter().find(|interface| interface.name == name)?.confirm_within
}

/// More changes than there are buffers, so that each of them is written to once at least.
fn a_rollback_undoes_a_change_and_all_that_joined_it(mode: Mode) -> Result<()> {
    let ports = Ports::filtered(mode)?;
    let lab = &ports.lab;
    let before = status(lab)?.interfaces[0].policy.allow.clone();
    for _ in 0..2 {
        lab.fw(&["allow", "83", "--confirm", LONG])?;
        ports.are_open(&[81, 82, 83])?;
        for (command, open) in [
            (["deny", "81"], &[82, 83][..]),
            (["allow", "84@192.0.2.0/24"], &[82, 83, 84]),
            (["deny", "83"], &[82, 84]),
            (["deny", "84@192.0.2.0/24"], &[82]),
            (["allow", "81@192.0.2.11"], &[82]),
            (["allow", "84"], &[82, 84]),
        ] {
            joins(lab, &command)?;
            ports.are_open(open)?;
        }
        ensure!(watchers(lab)?.len() == 1, "what joins needs no watcher of its own");
        lab.fw(&["rollback"])?;
        ports.are_open(&[81, 82])?;
        assert_eq!(status(lab)?.interfaces[0].policy.allow, before);
        await_watchers_end(lab)?;
    }
    Ok(())
}

fn confirm_keeps_a_change_and_all_that_joined_it() -> Result<()> {
    let ports = Ports::filtered(Mode::Native)?;
    let lab = &ports.lab;
    lab.fw(&["deny", "81", "--confirm", LONG])?;
    joins(lab, &["allow", "83"])?;
    let said = lab.fw(&["allow", "84", "--json"])?;
    let json: serde_json::Value = serde_json::from_str(&said)?;
    ensure!(json["interfaces"][0]["confirm_within"].as_u64().is_some_and(|left| left <= 600), "{said}");
    let said = lab.fw(&["allow", "84"])?;
    ensure!(said.contains("(as before)") && !said.contains("joins"), "what changes nothing joins nothing: {said}");
    let said = lab.fw(&["confirm"])?;
    ensure!(said == "eth0  confirmed; the change stays\n", "{said}");
    await_watchers_end(lab)?;
    ports.are_open(&[82, 83, 84])?;
    // Changes for good go on from there.
    let said = lab.fw(&["deny", "84"])?;
    ensure!(!said.contains("confirm"), "{said}");
    lab.fw(&["allow", "81"])?;
    ports.are_open(&[81, 82, 83])?;
    lab.refuses(&["rollback"], 1, &["no change waits"])
}

fn the_deadline_undoes_a_change_and_all_that_joined_it(mode: Mode) -> Result<()> {
    let ports = Ports::filtered(mode)?;
    let before = ports.lab.traces()?;
    on_trial(&ports.lab, &["allow", "83"], |_, _| {
        joins(&ports.lab, &["deny", "81"])?;
        ports.are_open(&[82, 83])
    })?;
    await_traces(&ports.lab, &before)?;
    ports.are_open(&[81, 82])?;
    await_watchers_end(&ports.lab)
}

fn the_deadline_counts_also_when_every_process_was_killed() -> Result<()> {
    let ports = Ports::filtered(Mode::Native)?;
    let lab = &ports.lab;
    on_trial(lab, &["allow", "83"], |_, _| {
        joins(lab, &["deny", "81"])?;
        kill_watchers(lab)?;
        ports.are_open(&[82, 83])
    })?;
    wait::within(LONGEST, "the deadline", || Ok((!lab.fw(&["status"])?.contains("83")).then_some(())))?;
    ports.are_open(&[81, 82])?;
    // The next change starts from there, and is for good.
    let said = lab.fw(&["allow", "84"])?;
    ensure!(said == "eth0  open: 22, 81, 82, 84\n", "{said}");
    ports.are_open(&[81, 82, 84])
}

fn what_joins_the_first_attach_goes_with_the_filter(mode: Mode) -> Result<()> {
    let ports = Ports::start()?;
    let lab = &ports.lab;
    let attach = ["attach", "eth0", "--mode", &mode.to_string(), "--allow", "22,81"];
    on_trial(lab, &attach, |_, _| {
        joins(lab, &["allow", "82"])?;
        joins(lab, &["deny", "81"])?;
        joins(lab, &["allow", "83"])?;
        ports.are_open(&[82, 83])
    })?;
    await_watchers_end(lab)?;
    ports.are_all_open()?;
    lab.nothing_is_left_behind()?;

    // Nobody takes the filter off, and yet it drops nothing.
    on_trial(lab, &attach, |_, _| {
        joins(lab, &["deny", "81"])?;
        kill_watchers(lab)?;
        ports.are_open(&[])
    })?;
    wait::within(LONGEST, "the deadline", || Ok(status(lab)?.interfaces[0].monitor.then_some(())))?;
    ports.are_all_open()?;
    let refusal = lab.fw_fails(&["allow", "84"])?;
    ensure!(refusal.code == 1 && refusal.message.contains("not attached"), "{}", refusal.message);
    lab.nothing_is_left_behind()?;

    lab.fw(&[&attach[..], &["--confirm", LONG]].concat())?;
    joins(lab, &["allow", "82"])?;
    lab.fw(&["rollback"])?;
    ports.are_all_open()?;
    lab.nothing_is_left_behind()?;
    await_watchers_end(lab)?;

    lab.fw(&[&attach[..], &["--confirm", LONG]].concat())?;
    joins(lab, &["allow", "82"])?;
    lab.fw(&["confirm"])?;
    await_watchers_end(lab)?;
    ports.are_open(&[81, 82])
}

/// With a deadline of its own, a change that joins makes that one count.
fn a_new_deadline_is_for_both() -> Result<()> {
    let ports = Ports::filtered(Mode::Native)?;
    let lab = &ports.lab;
    let before = lab.traces()?;
    // An earlier one.
    lab.fw(&["allow", "83", "--confirm", LONG])?;
    let said = lab.fw(&["deny", "81", "--confirm", MIDDLE])?;
    ensure!(
        said.contains("eth0  joins the change that waits to be confirmed; the new deadline is for both\n"),
        "{said}"
    );
    ensure!(said.contains("eth0  reverts in "), "{said}");
    ports.are_open(&[82, 83])?;
    await_traces(lab, &before)?;
    ports.are_open(&[81, 82])?;
    await_watchers_end(lab)?;

    // A later one. The process that waits for the first ends, and undoes nothing.
    on_trial(lab, &["allow", "83"], |_, _| {
        let first = watchers(lab)?;
        lab.fw(&["deny", "81", "--confirm", LONG])?;
        wait::within(LONGEST, "the first watcher to end", || {
            let left = watchers(lab)?;
            Ok((left.len() == 1 && left != first).then_some(()))
        })?;
        ensure!(confirm_within(&status(lab)?, "eth0").is_some_and(|left| left > 500));
        ports.are_open(&[82, 83])
    })?;
    lab.fw(&["rollback"])?;
    ports.are_open(&[81, 82])?;
    await_watchers_end(lab)
}

fn what_joins_enforce_goes_back_to_monitoring() -> Result<()> {
    let ports = Ports::start()?;
    let lab = &ports.lab;
    lab.fw(&["attach", "eth0", "--allow", "22,81", "--monitor"])?;
    let before = lab.traces()?;
    lab.fw(&["enforce", "--confirm", LONG])?;
    ports.are_open(&[81])?;
    joins(lab, &["allow", "82"])?;
    joins(lab, &["deny", "81"])?;
    ports.are_open(&[82])?;
    lab.fw(&["rollback"])?;
    assert_eq!(lab.traces()?, before);
    ports.are_all_open()?;
    await_watchers_end(lab)
}

fn each_interface_joins_what_waits_there() -> Result<()> {
    let ports = Ports::start()?;
    let lab = &ports.lab;
    lab.add_second_lan()?;
    lab.fw(&["attach", "eth0", "eth1", "--allow", "22"])?;
    lab.fw(&["allow", "81", "--interface", "eth0", "--confirm", LONG])?;
    let said = lab.fw(&["allow", "82"])?;
    ensure!(said.contains("eth0  joins ") && !said.contains("eth1  joins "), "{said}");
    let now = status(lab)?;
    ensure!(confirm_within(&now, "eth0").is_some() && confirm_within(&now, "eth1").is_none());
    lab.fw(&["rollback"])?;
    ports.are_open(&[])?;
    let (port, server) = &ports.servers[1];
    lab.lan.reaches(server, Transport::Tcp, SECOND_PI4, *port)?;
    await_watchers_end(lab)
}

fn a_file_takes_nothing_that_may_revert() -> Result<()> {
    const FILE: &str = "allow = [\"22\", \"81\", \"82\"]\n";
    let ports = Ports::filtered(Mode::Native)?;
    let lab = &ports.lab;
    lab.write_file("eth0", FILE)?;
    lab.fw(&["allow", "83", "--confirm", LONG])?;
    for command in [&["allow", "84", "--save"][..], &["deny", "81", "--save"], &["save"], &["apply"]] {
        lab.refuses(command, 1, &["eth0", "waits to be confirmed", "fw-user confirm", "fw-user rollback"])?;
    }
    let said = lab.fw(&["allow", "84"])?;
    ensure!(said.contains("to keep it: fw-user confirm, then fw-user save"), "{said}");
    assert_eq!(lab.read_file("eth0")?, FILE);
    lab.fw(&["confirm"])?;
    lab.fw(&["save"])?;
    ensure!(lab.read_file("eth0")?.contains("\"84\""), "{}", lab.read_file("eth0")?);
    await_watchers_end(lab)
}

/// Bans are no part of the policy.
fn bans_hold_whatever_becomes_of_a_change() -> Result<()> {
    let ports = Ports::filtered(Mode::Native)?;
    let lab = &ports.lab;
    let lan = LAN4.to_string();
    let banned = || Ok::<_, anyhow::Error>(lab.stats("eth0")?.reason("banned").packets);
    let is_banned = || {
        let (before, (port, server)) = (banned()?, &ports.servers[0]);
        let reached = server.reached();
        let _knocking = lab.lan.try_tcp((PI4, *port).into())?;
        wait::until("a banned packet", || Ok((banned()? > before).then_some(())))?;
        ensure!(server.reached() == reached, "a banned sender gets in");
        Ok(())
    };
    for verb in ["confirm", "rollback"] {
        lab.fw(&["allow", "83", "--confirm", LONG])?;
        lab.fw(&["ban", &lan, "--force"])?;
        is_banned().context("on trial")?;
        joins(lab, &["allow", "84"])?;
        is_banned().context("after a change joined")?;
        lab.fw(&[verb])?;
        is_banned().with_context(|| format!("after {verb}"))?;
        lab.fw(&["deny", "82", "--confirm", LONG])?;
        lab.fw(&["unban", &lan])?;
        ports.are_open(if verb == "confirm" { &[81, 83, 84] } else { &[81] })?;
        lab.fw(&["rollback"])?;
        ports.are_open(if verb == "confirm" { &[81, 82, 83, 84] } else { &[81, 82] })?;
        lab.fw(&["attach", "eth0", "--allow", "22,81,82"])?;
    }
    await_watchers_end(lab)
}

fn another_terminal_that_counts_down_hears_of_the_end() -> Result<()> {
    let ports = Ports::filtered(Mode::Native)?;
    let lab = &ports.lab;
    for (verb, told, code) in
        [("rollback", "nobody confirmed in time; reverted: eth0", 1), ("confirm", "eth0  confirmed", 0)]
    {
        let mut terminal = on_terminal(lab, &["allow", "83", "--confirm", LONG])?;
        terminal.read_until(|text| !seconds(text).is_empty())?;
        joins(lab, &["deny", "81"])?;
        lab.fw(&[verb])?;
        terminal.read_until(|text| text.contains(told))?;
        ensure!(terminal.program.await_end()?.code() == Some(code));
        await_watchers_end(lab)?;
    }
    ports.are_open(&[82, 83])?;

    // Enter keeps what joined, too.
    let mut terminal = on_terminal(lab, &["allow", "81", "--confirm", LONG])?;
    terminal.read_until(|text| !seconds(text).is_empty())?;
    joins(lab, &["allow", "84"])?;
    terminal.write("\n")?;
    terminal.read_until(|text| text.contains("eth0  confirmed"))?;
    ensure!(terminal.program.await_end()?.success());
    await_watchers_end(lab)?;
    ports.are_open(&[81, 82, 83, 84])
}

/// The deadline may pass while a command works. A later deadline does not bring the change back.
fn what_has_reverted_takes_nothing_in() -> Result<()> {
    let ports = Ports::filtered(Mode::Native)?;
    let mut map = PolicyMap::open(&Pins::new(ports.lab.fw.bpffs()), "eth0")?;
    let of = |entries: &[&str]| -> Result<Policy> {
        Ok(Policy::new(entries.iter().map(|entry| entry.parse()).collect::<Result<Vec<_>, _>>()?))
    };
    let before = map.read()?;
    map.write(&of(&["22/tcp", "83/tcp"])?, Terms { monitors: false, deadline: Some(1) })?;
    for deadline in [None, Some(u32::MAX)] {
        let refused = map.write_or_join(&of(&["22/tcp", "84/tcp"])?, deadline).map_err(|error| error.to_string());
        assert_eq!(refused, Err("nobody confirmed in time; reverted: eth0".to_owned()));
        assert_eq!(map.read()?, before);
        ports.are_open(&[81, 82])?;
    }
    Ok(())
}
