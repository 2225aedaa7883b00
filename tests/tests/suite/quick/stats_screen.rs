//! `fw-user stats` on a real terminal.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use fw_tests::{
    lab::{LAN4, Lab, Mode, PI4, fw::binary, terminal::OnTerminal, tmux::Tmux, wait},
    tests,
};
use nix::sys::signal::Signal;

tests! {
    the_screen_shows_what_is_knocked_at_and_obeys_keys;
    the_screen_follows_the_terminals_size;
    whatever_ends_the_screen_the_terminal_is_as_before;
    the_screen_ends_with_its_terminal;
    neither_colour_nor_unicode_where_they_are_not_wanted;
    a_filter_that_goes_and_comes_back_is_followed;
    a_filter_that_is_made_anew_between_two_looks_is_followed;
    a_renamed_interface_is_followed;
    ports_and_sources_have_names;
    monitor_and_trial_are_loud;
    every_interface_is_shown;
    a_dumb_terminal_gets_plain_text_at_intervals;
}

/// A filter, and a terminal on its machine.
fn start(variables: &[(&str, &str)]) -> Result<(Lab, Tmux)> {
    let lab = Lab::without_containers()?;
    lab.attach(Mode::Native, "22")?;
    let tmux = Tmux::start(&lab.pi, variables)?;
    Ok((lab, tmux))
}

/// The command line for the screen.
fn stats(lab: &Lab) -> String {
    format!("{} --bpffs {} stats --interval 0.2", binary().display(), lab.fw.bpffs().display())
}

fn knock(lab: &Lab, port: u16) -> Result<()> {
    lab.lan.send_udp_from(0, SocketAddr::new(PI4, port), b"x")
}

/// The words of a port's line: port, perhaps a service, state, packets a second, packets in all.
fn row<'a>(screen: &'a str, port: &str) -> Option<Vec<&'a str>> {
    let line = screen.lines().find(|line| line.contains(port))?;
    Some(line.split(['│', '|', ' ']).filter(|word| !word.is_empty()).collect())
}

fn the_screen_shows_what_is_knocked_at_and_obeys_keys() -> Result<()> {
    let (lab, tmux) = start(&[])?;
    let before = tmux.ask("stty -g")?;
    tmux.enter(&stats(&lab))?;
    let screen = tmux.await_screen("the screen", |screen| screen.contains("by rate"))?;
    assert!(screen.starts_with("eth0  native mode"), "{screen}");
    for _ in 0..3 {
        knock(&lab, 53)?;
    }
    tmux.await_screen("three knocks", |screen| {
        row(screen, "53/udp ").is_some_and(|row| row[..3] == ["53/udp", "(domain)", "closed"] && row[4] == "3")
    })?;
    // While packets come there is a rate.
    let has_rate =
        |screen: &str| row(screen, "9125/udp").is_some_and(|row| row[2].parse().is_ok_and(|rate: u64| rate > 0));
    wait::until("a rate", || {
        knock(&lab, 9125)?;
        Ok(has_rate(&tmux.screen()?).then_some(()))
    })?;
    let screen =
        tmux.await_screen("a sparkline", |screen| screen.contains(['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█']))?;
    assert!(screen.contains("closed-port"), "{screen}");

    tmux.press("s")?;
    tmux.await_screen("another order", |screen| screen.contains("by total"))?;
    tmux.press("s")?;
    tmux.await_screen("another order", |screen| {
        let place = |port| screen.find(port);
        screen.contains("by port") && place("53/udp ") < place("9125/udp")
    })?;
    tmux.press("?")?;
    tmux.await_screen("the keys", |screen| screen.contains("freezes the numbers"))?;
    tmux.press("?")?;
    tmux.await_screen("no keys", |screen| !screen.contains("freezes the numbers"))?;

    tmux.press("p")?;
    let paused = tmux.await_screen("a pause", |screen| screen.contains("PAUSED"))?;
    knock(&lab, 7)?;
    lab.await_stats("a knock", |stats| stats.dropped_at("udp", 7) == 1)?;
    // A key that changes nothing draws anew.
    tmux.press("?")?;
    tmux.await_screen("the keys", |screen| screen.contains("freezes the numbers"))?;
    tmux.press("?")?;
    // In one look: a screen may be read while it is drawn.
    tmux.await_screen("the paused screen", |screen| screen == paused)?;
    tmux.press("Space")?;
    tmux.await_screen("the knock", |screen| row(screen, "│7/udp ").is_some_and(|row| row.contains(&"(echo)")))?;

    assert!(tmux.is_drawn_on()?);
    tmux.press("q")?;
    assert_eq!(tmux.ask("stty -g")?, before, "the terminal is as before");
    assert!(!tmux.is_drawn_on()?);
    assert!(!tmux.screen()?.contains("by port"), "the screen is gone");
    assert_eq!(lab.stats("eth0")?.dropped_at("udp", 7), 1, "the filter goes on");
    Ok(())
}

fn the_screen_follows_the_terminals_size() -> Result<()> {
    let (lab, tmux) = start(&[])?;
    knock(&lab, 9125)?;
    tmux.enter(&stats(&lab))?;
    tmux.await_screen("the screen", |screen| screen.contains("9125/udp") && screen.contains(" reasons "))?;
    tmux.resize(120, 40)?;
    tmux.await_screen("a larger screen", |screen| {
        screen.lines().nth(39).is_some_and(|foot| foot.starts_with("q quit"))
    })?;
    tmux.resize(40, 8)?;
    tmux.await_screen("a small screen", |screen| {
        screen.contains("9125/udp")
            && !screen.contains("reasons")
            && screen.lines().nth(7).is_some_and(|foot| foot.starts_with("q quit"))
    })?;
    tmux.resize(2, 1)?;
    tmux.await_screen("nearly no screen", |screen| screen.trim_end() == "et")?;
    tmux.resize(80, 24)?;
    tmux.await_screen("the screen", |screen| screen.contains("9125/udp") && screen.contains(" reasons "))?;
    tmux.press("C-c")?;
    tmux.await_shell()
}

fn whatever_ends_the_screen_the_terminal_is_as_before() -> Result<()> {
    let (lab, tmux) = start(&[])?;
    let before = tmux.ask("stty -g")?;
    let ends: [(&str, &dyn Fn() -> Result<()>); 6] = [
        ("SIGTERM", &|| tmux.signal(Signal::SIGTERM)),
        ("SIGHUP", &|| tmux.signal(Signal::SIGHUP)),
        ("SIGINT", &|| tmux.signal(Signal::SIGINT)),
        ("Ctrl-C", &|| tmux.press("C-c")),
        ("Escape", &|| tmux.press("Escape")),
        ("q", &|| tmux.press("q")),
    ];
    for (name, end) in ends {
        tmux.enter(&stats(&lab))?;
        tmux.await_screen("the screen", |screen| screen.contains("by rate"))?;
        assert!(tmux.is_drawn_on()?);
        end()?;
        let code = tmux.ask("echo $?").context(name)?;
        assert_eq!(code.trim(), "0", "{name}");
        assert!(!tmux.is_drawn_on()?, "{name} leaves the screen there");
        assert_eq!(tmux.ask("stty -g")?, before, "{name} leaves another terminal");
    }
    Ok(())
}

/// A program that read a lost terminal again and again would take a CPU for ever. Drawing, which would fail, comes too late here to end it.
fn the_screen_ends_with_its_terminal() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.attach(Mode::Native, "22")?;
    let mut terminal = OnTerminal::start(&mut lab.fw.command(&lab.pi, ["stats", "--interval", "3600"]))?;
    terminal.read_until(|screen| screen.contains("by rate"))?;
    // It waits for keys now.
    terminal.write("?")?;
    terminal.read_until(|screen| screen.contains("freezes"))?;
    terminal.close().await_end().map(drop)
}

/// "\x1b[...m" sets how text looks: the numbers of colours are 30 to 49 and 90 to 107 (ECMA-48, 8.3.117, and xterm's).
fn colours(screen: &str) -> Vec<u16> {
    let codes = screen.split("\u{1b}[").skip(1).filter_map(|code| code.split_once('m'));
    let numbers = codes.flat_map(|(numbers, _)| numbers.split(';').filter_map(|number| number.parse().ok()));
    numbers.filter(|number| (30..=38).contains(number) || (40..=48).contains(number) || *number >= 90).collect()
}

fn neither_colour_nor_unicode_where_they_are_not_wanted() -> Result<()> {
    let (lab, tmux) = start(&[("NO_COLOR", "1"), ("LC_ALL", "C")])?;
    lab.fw(&["monitor"])?;
    tmux.enter(&stats(&lab))?;
    wait::until("a bar and a port", || {
        knock(&lab, 9125)?;
        let screen = tmux.screen()?;
        Ok((screen.contains('#') && screen.contains("9125/udp")).then_some(()))
    })?;
    let screen = tmux.coloured_screen()?;
    assert!(screen.is_ascii(), "{screen}");
    assert!(screen.contains("MONITOR ONLY") && screen.contains("\u{1b}["), "{screen:?}");
    assert_eq!(colours(&screen), [0_u16; 0], "{screen:?}");
    tmux.press("q")?;
    // The same with both.
    tmux.ask("unset NO_COLOR LC_ALL")?;
    tmux.enter(&stats(&lab))?;
    tmux.await_screen("the screen", |screen| screen.contains("9125/udp"))?;
    let screen = tmux.coloured_screen()?;
    assert!(!screen.is_ascii() && !colours(&screen).is_empty(), "{screen:?}");
    Ok(())
}

fn a_filter_that_goes_and_comes_back_is_followed() -> Result<()> {
    let (lab, tmux) = start(&[])?;
    knock(&lab, 9125)?;
    knock(&lab, 9125)?;
    tmux.enter(&stats(&lab))?;
    let shows = |port: &'static str, count: &'static str| {
        move |screen: &str| {
            row(screen, port).is_some_and(|row| row.get(3) == Some(&count)) && !screen.contains("not attached")
        }
    };
    tmux.await_screen("two knocks", shows("9125/udp", "2"))?;
    lab.fw(&["detach", "eth0"])?;
    // In one look: a screen may be read while it is drawn.
    let is_gone_with_numbers = |screen: &str| screen.contains("not attached to") && row(screen, "9125/udp").is_some();
    tmux.await_screen("that it is gone, with its last numbers", is_gone_with_numbers)?;
    lab.attach(Mode::Generic, "22")?;
    tmux.await_screen("another filter", |screen| screen.contains("generic mode") && !screen.contains("9125/udp"))?;
    knock(&lab, 9126)?;
    tmux.await_screen("a knock", shows("9126/udp", "1"))?;
    // In place, which changes neither filter nor counts.
    lab.attach(Mode::Generic, "22,9126")?;
    tmux.await_screen("an open port", |screen| row(screen, "9126/udp").is_some_and(|row| row[1] == "open"))?;
    lab.pi.run("ip link delete eth0")?;
    tmux.await_screen("that the interface is gone", |screen| screen.contains("eth0: interface is gone"))?;
    tmux.press("q")?;
    tmux.await_shell()
}

fn a_filter_that_is_made_anew_between_two_looks_is_followed() -> Result<()> {
    let (lab, tmux) = start(&[])?;
    // Far longer than it takes to detach and attach.
    tmux.enter(&stats(&lab).replace("0.2", "4"))?;
    tmux.await_screen("the screen", |screen| screen.contains("by rate"))?;
    lab.fw(&["detach", "eth0"])?;
    lab.attach(Mode::Native, "22")?;
    knock(&lab, 9126)?;
    tmux.await_screen("a knock at the new one", |screen| row(screen, "9126/udp").is_some()).map(drop)
}

/// The note about it is not left on the screen.
fn a_renamed_interface_is_followed() -> Result<()> {
    let (lab, tmux) = start(&[])?;
    knock(&lab, 9125)?;
    for (named, from, to) in [("", "eth0", "lan0"), (" lan0", "lan0", "lan1")] {
        tmux.enter(&(stats(&lab) + named))?;
        tmux.await_screen("the screen", |screen| screen.starts_with(from) && row(screen, "9125/udp").is_some())?;
        lab.pi.run(&format!("ip link set {from} down"))?;
        lab.pi.run(&format!("ip link set {from} name {to}"))?;
        tmux.await_screen("the new name", |screen| {
            screen.starts_with(to) && row(screen, "9125/udp").is_some() && !screen.contains(from)
        })?;
        tmux.press("q")?;
    }
    tmux.await_shell()
}

fn ports_and_sources_have_names() -> Result<()> {
    let (lab, tmux) = start(&[])?;
    let server = lab.pi.serve_udp(9125)?;
    // The kernel's name for a process is that of its first thread, cut to 15 bytes.
    let process = std::fs::read_to_string("/proc/self/comm")?;
    let process = process.trim().split(['-', ' ']).next().context("a process has a name")?.to_owned();
    knock(&lab, 9125)?;
    tmux.enter(&stats(&lab))?;
    let source = LAN4.to_string();
    tmux.await_screen("who is there, and who knocks", |screen| {
        row(screen, "9125/udp").is_some_and(|row| row[1].starts_with(&process))
            && row(screen, &source).is_some_and(|row| row.ends_with(&["1"]))
            && screen.contains("sources: 1")
    })?;
    assert_eq!(server.reached(), 0, "the port is closed");
    Ok(())
}

fn monitor_and_trial_are_loud() -> Result<()> {
    let (lab, tmux) = start(&[])?;
    tmux.enter(&stats(&lab))?;
    tmux.await_screen("the screen", |screen| screen.contains("by rate"))?;
    lab.fw(&["monitor"])?;
    tmux.await_screen("monitor mode", |screen| screen.contains("MONITOR ONLY") && screen.contains("would drop"))?;
    lab.fw(&["enforce", "--force"])?;
    tmux.await_screen("its end", |screen| !screen.contains("MONITOR ONLY"))?;
    lab.fw(&["allow", "80", "--confirm", "600"])?;
    tmux.await_screen("the trial", |screen| screen.contains("ON TRIAL  reverts in 59"))?;
    lab.fw(&["confirm"])?;
    tmux.await_screen("its end", |screen| !screen.contains("ON TRIAL")).map(drop)
}

fn every_interface_is_shown() -> Result<()> {
    let (lab, tmux) = start(&[])?;
    lab.add_second_lan()?;
    tmux.enter(&stats(&lab))?;
    tmux.await_screen("the screen", |screen| screen.contains("by rate"))?;
    lab.fw(&["attach", "eth1", "--allow", "22"])?;
    tmux.await_screen("both", |screen| screen.contains("\n> eth0") && screen.contains("\n  eth1"))?;
    knock(&lab, 9125)?;
    tmux.await_screen("a knock", |screen| screen.contains("9125/udp"))?;
    tmux.press("Tab")?;
    tmux.await_screen("the other", |screen| {
        screen.starts_with("eth1") && screen.contains("\n> eth1") && !screen.contains("9125/udp")
    })?;
    tmux.press("Left")?;
    tmux.await_screen("the first", |screen| screen.starts_with("eth0") && screen.contains("9125/udp"))?;
    tmux.resize(40, 20)?;
    let has_numbers =
        |line: &str| line.contains("passed ") && line.contains("dropped ") && line.matches("/s").count() == 2;
    tmux.await_screen("the numbers of both", |screen| {
        ["> eth0", "  eth1"].iter().all(|name| screen.lines().any(|line| line.starts_with(name) && has_numbers(line)))
    })?;
    tmux.resize(40, 6)?;
    tmux.await_screen("one more", |screen| screen.contains("\n  and 1 more\n")).map(drop)
}

fn a_dumb_terminal_gets_plain_text_at_intervals() -> Result<()> {
    let (lab, tmux) = start(&[("TERM", "dumb")])?;
    tmux.resize(80, 100)?;
    knock(&lab, 9125)?;
    lab.await_stats("a drop", |stats| stats.dropped_at("udp", 9125) == 1)?;
    tmux.enter(&stats(&lab))?;
    let screen = tmux.await_screen("three reports", |screen| screen.matches("9125/udp").count() >= 3)?;
    // Rates stand in all but the first.
    assert!(screen.contains("per second"), "{screen}");
    assert!(!tmux.is_drawn_on()?);
    tmux.press("C-c")?;
    tmux.await_shell()
}
