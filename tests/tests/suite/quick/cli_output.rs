//! How output behaves: pipes that break, terminals and their absence.

use std::{
    io::{self, BufRead, BufReader},
    net::SocketAddr,
    process::Stdio,
};

use anyhow::{Context, Result, ensure};
use fw_tests::{
    lab::{Lab, Mode, PI4, process::Process, stats::Stats, terminal::OnTerminal, wait},
    tests,
};

tests! {
    a_reader_that_has_left_is_no_error;
    output_has_no_escape_codes_off_a_terminal;
    once_is_once_on_a_terminal_too;
    stats_repeat_when_asked_to;
}

const ESCAPE: &str = "\u{1b}";

/// A filter that has counted something.
fn filter_at_work() -> Result<Lab> {
    let lab = Lab::without_containers()?;
    lab.attach(Mode::Native, "22,80,443")?;
    lab.lan.send_udp_from(0, SocketAddr::new(PI4, 9125), b"x")?;
    lab.await_stats("a drop", |stats| stats.dropped_at("udp", 9125) == 1)?;
    Ok(lab)
}

/// As `fw-user stats | head -1` does, but with the reader gone before anything is written.
fn a_reader_that_has_left_is_no_error() -> Result<()> {
    let lab = filter_at_work()?;
    for args in [
        &["stats"][..],
        &["stats", "--json"],
        &["status"],
        &["status", "--json"],
        &["allow", "8080"],
        &["deny", "8080"],
        &["attach", "eth0", "--allow", "22"],
        &["--help"],
        &["stats", "--help"],
        &["detach", "eth0"],
    ] {
        let (reader, writer) = io::pipe()?;
        drop(reader);
        let output = lab.fw.command(&lab.pi, args).stdout(writer).stderr(Stdio::piped()).spawn()?.wait_with_output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success() && said.is_empty(), "{args:?} ended with {}: {said}", output.status);
    }
    Ok(())
}

fn output_has_no_escape_codes_off_a_terminal() -> Result<()> {
    let lab = filter_at_work()?;
    for args in [
        &["stats"][..],
        &["stats", "--json"],
        &["status"],
        &["allow", "8080"],
        &["attach", "eth0", "--allow", "22"],
        &["attach", "--help"],
        &["stats", "eth7"],
        &["attach", "eth0", "--allow", "70000"],
        &["attach", "eth0", "--no-such-option"],
        &["detach", "eth0"],
    ] {
        let output = lab.fw.command(&lab.pi, args).env("TERM", "xterm-256color").output()?;
        for said in [output.stdout, output.stderr] {
            let said = String::from_utf8(said)?;
            assert!(!said.contains(ESCAPE), "{args:?} printed {said:?}");
        }
    }
    Ok(())
}

fn once_is_once_on_a_terminal_too() -> Result<()> {
    let lab = filter_at_work()?;
    for args in [&["stats", "--once"][..], &["stats", "--json"]] {
        let mut view = OnTerminal::start(&mut lab.fw.command(&lab.pi, args))?;
        let text = view.read_until(|_| false)?;
        assert!(view.program.await_end()?.success());
        assert!(text.contains("9125"), "{text:?}");
    }
    Ok(())
}

fn stats_repeat_when_asked_to() -> Result<()> {
    let lab = filter_at_work()?;
    let (reader, writer) = io::pipe()?;
    let mut command = lab.fw.command(&lab.pi, ["stats", "--json", "--interval", "0.1"]);
    let mut program = Process::start(command.stdout(writer))?;
    // The command still holds the pipe's other end.
    drop(command);
    let mut lines = BufReader::new(reader).lines();
    let mut next = || -> Result<Stats> {
        let line = lines.next().context("no more answers")??;
        serde_json::from_str(&line).with_context(|| format!("no object on a line: {line}"))
    };
    let dropped = |stats: &Stats| anyhow::Ok(stats.interface("eth0")?.dropped_at("udp", 9125));
    for _ in 0..3 {
        assert_eq!(dropped(&next()?)?, 1);
    }
    lab.lan.send_udp_from(0, SocketAddr::new(PI4, 9125), b"x")?;
    // Each tick has an object of its own, and one of the next has the new number.
    wait::until("the new number", || Ok((dropped(&next()?)? == 2).then_some(())))?;
    drop(lines);
    let status = program.await_end()?;
    assert!(status.success(), "the reader left, and it ended with {status}");
    Ok(())
}
