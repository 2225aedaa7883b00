//! Changes on trial: `--confirm SECONDS`, and their end if nobody confirms, whatever happens to our processes.

mod joins;

use std::{
    fs,
    io::{self, BufRead, BufReader},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use fw_tests::{
    lab::{
        Lab, Mode, PI4, PI6, Server, Transport, filter::Traces, fw, netfilter::CLOSED_TARGET, process::Process,
        stats::Status, terminal::OnTerminal, wait,
    },
    tests,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

tests! { in tc mode:
    an_unconfirmed_attach_leaves_nothing_behind;
}

tests! { in native mode:
    an_unconfirmed_attach_leaves_nothing_behind;
    a_confirmed_attach_stays;
    verdicts_go_back_in_time_also_when_every_process_was_killed;
}

tests! { in generic mode:
    an_unconfirmed_change_goes_back_to_what_was_open_before;
}

tests! {
    an_unconfirmed_attach_to_a_renamed_interface_leaves_nothing_behind;
    an_unconfirmed_attach_over_a_filter_goes_back_to_that_filter;
    an_unconfirmed_enforce_goes_back_to_monitoring;
    rollback_goes_back_at_once;
    nothing_else_changes_while_a_change_waits;
    what_cannot_be_taken_back_is_refused;
    confirm_and_rollback_say_when_nothing_waits;
    the_terminal_counts_down_and_enter_confirms;
    the_terminal_says_that_nobody_confirmed;
    the_terminal_hears_of_a_rollback_of_the_first_attach;
    the_terminal_hears_that_the_filter_was_detached;
    a_lost_terminal_takes_the_change_back;
    a_killed_command_takes_the_change_back;
}

/// Times that let a test look at the change before it is taken back; the longer ones are for a machine that is busy.
const SHORT: [u64; 4] = [2, 6, 20, 60];
/// For tests that cannot try again.
const MIDDLE: &str = "10";
/// Longer than any of them.
const LONGEST: Duration = Duration::from_secs(90);
/// Longer than any test takes.
const LONG: &str = "600";

fn start() -> Result<(Lab, Server)> {
    let lab = Lab::new()?;
    let server = lab.container(0).serve_tcp(CLOSED_TARGET)?;
    lab.lan.reaches(&server, Transport::Tcp, PI4, 9125)?;
    Ok((lab, server))
}

/// Change something on trial, and look at it before the time is over, which is returned. What comes too late tries again with more time.
fn on_trial<T>(lab: &Lab, command: &[&str], look: impl Fn(&str, u64) -> Result<T>) -> Result<T> {
    let mut late = None;
    for seconds in SHORT {
        let begin = Instant::now();
        let looked =
            lab.fw(&[command, &["--confirm", &seconds.to_string()]].concat()).and_then(|said| look(&said, seconds));
        match looked {
            Err(error) if begin.elapsed() >= Duration::from_secs(seconds) => late = Some(error),
            looked => return looked,
        }
        await_watchers_end(lab)?;
    }
    Err(late.context("no time is enough")?)
}

/// The processes that wait for this lab's deadlines.
fn watchers(lab: &Lab) -> Result<Vec<Pid>> {
    let mut found = Vec::new();
    for process in fs::read_dir("/proc")? {
        let path = process?.path();
        let Some(pid) = path.file_name().and_then(|name| name.to_str()?.parse().ok()) else { continue };
        // A process that ends meanwhile is no watcher any more.
        let Ok(words) = fs::read_to_string(path.join("cmdline")) else { continue };
        let words: Vec<&str> = words.split('\0').collect();
        let is_ours = words.contains(&lab.fw.bpffs().to_str().context("a path in UTF-8")?);
        if is_ours && words.contains(&"rollback") && words.contains(&"--at") {
            found.push(Pid::from_raw(pid));
        }
    }
    Ok(found)
}

fn await_watchers_end(lab: &Lab) -> Result<()> {
    wait::within(LONGEST, "the watcher to end", || Ok(watchers(lab)?.is_empty().then_some(())))
}

fn kill_watchers(lab: &Lab) -> Result<()> {
    let pids = watchers(lab)?;
    ensure!(!pids.is_empty(), "somebody watches");
    pids.into_iter().try_for_each(|pid| kill(pid, Signal::SIGKILL))?;
    await_watchers_end(lab)
}

fn status(lab: &Lab) -> Result<Status> {
    Ok(serde_json::from_str(&lab.fw(&["status", "--json"])?)?)
}

/// The same of everything that a command could change, but for the count of what is left of a trial.
fn await_traces(lab: &Lab, before: &Traces) -> Result<()> {
    wait::within(LONGEST, "everything to be as before", || Ok((lab.traces()? == *before).then_some(())))
}

fn an_unconfirmed_attach_leaves_nothing_behind(mode: Mode) -> Result<()> {
    let (lab, server) = start()?;
    on_trial(&lab, &["attach", "eth0", "--mode", &mode.to_string(), "--allow", "22,80"], |said, seconds| {
        ensure!(said.contains("fw-user confirm"), "{said}");
        for address in [PI4, PI6] {
            lab.is_closed(&server, Transport::Tcp, address, 9125)?;
        }
        let status = status(&lab)?;
        let left = status.interfaces.first().and_then(|interface| interface.confirm_within).context("it waits")?;
        ensure!(left <= seconds + 1, "{left} s");
        Ok(())
    })?;
    await_watchers_end(&lab)?;
    lab.lan.reaches(&server, Transport::Tcp, PI4, 9125)?;
    lab.nothing_is_left_behind()
}

fn a_confirmed_attach_stays(mode: Mode) -> Result<()> {
    let (lab, server) = start()?;
    let attach = ["attach", "eth0", "--mode", &mode.to_string(), "--allow", "22,80"];
    let deadline = on_trial(&lab, &attach, |_, seconds| {
        // Not before the deadline.
        let deadline = Instant::now() + Duration::from_secs(seconds + 1);
        let said = lab.fw(&["confirm"])?;
        ensure!(said == "eth0  confirmed; the change stays\n", "{said}");
        Ok(deadline)
    })?;
    ensure!(status(&lab)?.interfaces[0].confirm_within.is_none());
    let before = lab.traces()?;
    // Nobody waits any more, and when the time comes nothing happens.
    await_watchers_end(&lab)?;
    wait::within(LONGEST, "the deadline", || Ok((Instant::now() > deadline).then_some(())))?;
    assert_eq!(lab.traces()?, before);
    lab.is_closed(&server, Transport::Tcp, PI4, 9125)
}

fn an_unconfirmed_change_goes_back_to_what_was_open_before(mode: Mode) -> Result<()> {
    let (lab, server) = start()?;
    lab.attach(mode, "22,80")?;
    let before = lab.traces()?;
    on_trial(&lab, &["allow", "9125"], |_, _| lab.lan.reaches(&server, Transport::Tcp, PI4, 9125))?;
    await_traces(&lab, &before)?;
    lab.is_closed(&server, Transport::Tcp, PI4, 9125)?;
    await_watchers_end(&lab)?;

    lab.fw(&["allow", "9125"])?;
    let before = lab.traces()?;
    on_trial(&lab, &["deny", "9125"], |_, _| lab.is_closed(&server, Transport::Tcp, PI4, 9125))?;
    await_traces(&lab, &before)?;
    lab.lan.reaches(&server, Transport::Tcp, PI4, 9125)
}

/// The programs heed the deadline themselves; what is left is tidied up by the next command.
fn verdicts_go_back_in_time_also_when_every_process_was_killed(mode: Mode) -> Result<()> {
    let (lab, server) = start()?;
    on_trial(&lab, &["attach", "eth0", "--mode", &mode.to_string(), "--allow", "22,80"], |_, _| {
        kill_watchers(&lab)?;
        lab.is_closed(&server, Transport::Tcp, PI4, 9125)
    })?;
    wait::within(LONGEST, "the deadline", || Ok(status(&lab)?.interfaces[0].monitor.then_some(())))?;
    lab.lan.reaches(&server, Transport::Tcp, PI4, 9125)?;
    let refusal = lab.fw_fails(&["confirm"])?;
    ensure!(refusal.code == 1, "too late: {}", refusal.message);
    lab.nothing_is_left_behind()?;

    lab.attach(mode, "22,80")?;
    on_trial(&lab, &["allow", "9125"], |_, _| {
        kill_watchers(&lab)?;
        lab.lan.reaches(&server, Transport::Tcp, PI4, 9125)
    })?;
    wait::within(LONGEST, "the deadline", || Ok((!lab.fw(&["status"])?.contains("9125")).then_some(())))?;
    lab.is_closed(&server, Transport::Tcp, PI4, 9125)?;
    // The next change starts from there.
    let said = lab.fw(&["allow", "443"])?;
    ensure!(said == "eth0  open: 22, 80, 443\n", "{said}");
    Ok(())
}

fn an_unconfirmed_attach_to_a_renamed_interface_leaves_nothing_behind() -> Result<()> {
    let lab = Lab::without_containers()?;
    let rename = |from: &str, to: &str| {
        lab.pi.run(&format!("ip link set {from} down"))?;
        lab.pi.run(&format!("ip link set {from} name {to}"))
    };
    on_trial(&lab, &["attach", "eth0", "--allow", "22"], |_, _| {
        rename("eth0", "lan0")?;
        let status = lab.fw(&["status"])?;
        rename("lan0", "eth0")?;
        ensure!(status.contains("lan0  active") && status.contains("ON TRIAL"), "{status}");
        Ok(())
    })?;
    await_watchers_end(&lab)?;
    lab.nothing_is_left_behind()
}

fn an_unconfirmed_attach_over_a_filter_goes_back_to_that_filter() -> Result<()> {
    let (lab, server) = start()?;
    lab.fw(&["attach", "eth0", "--allow", "22,9125@192.0.2.0/24", "--allow-proto", "gre", "--forward", "pass"])?;
    let before = lab.traces()?;
    on_trial(&lab, &["attach", "eth0", "--allow", "80"], |_, _| lab.is_closed(&server, Transport::Tcp, PI4, 9125))?;
    await_traces(&lab, &before)?;
    lab.lan.reaches(&server, Transport::Tcp, PI4, 9125)
}

fn an_unconfirmed_enforce_goes_back_to_monitoring() -> Result<()> {
    let (lab, server) = start()?;
    lab.fw(&["attach", "eth0", "--allow", "22", "--monitor"])?;
    let before = lab.traces()?;
    on_trial(&lab, &["enforce"], |_, _| lab.is_closed(&server, Transport::Tcp, PI4, 9125))?;
    await_traces(&lab, &before)?;
    lab.lan.reaches(&server, Transport::Tcp, PI4, 9125)
}

fn rollback_goes_back_at_once() -> Result<()> {
    let (lab, server) = start()?;
    lab.fw(&["attach", "eth0", "--allow", "22", "--confirm", LONG])?;
    let said = lab.fw(&["rollback"])?;
    ensure!(said == "eth0  reverted; it is as it was before the change\n", "{said}");
    lab.nothing_is_left_behind()?;
    await_watchers_end(&lab)?;

    lab.fw(&["attach", "eth0", "--allow", "22"])?;
    let before = lab.traces()?;
    lab.fw(&["allow", "9125", "--confirm", LONG, "--json"])?;
    lab.lan.reaches(&server, Transport::Tcp, PI4, 9125)?;
    assert_eq!(lab.fw(&["rollback", "eth0", "--json"])?, "{\"rolled_back\":[\"eth0\"]}\n");
    assert_eq!(lab.traces()?, before);
    lab.is_closed(&server, Transport::Tcp, PI4, 9125)?;
    await_watchers_end(&lab)
}

/// `allow` and `deny` join it; all else would be undone with it, or would undo it.
fn nothing_else_changes_while_a_change_waits() -> Result<()> {
    let (lab, _) = start()?;
    lab.fw(&["attach", "eth0", "--allow", "22"])?;
    lab.fw(&["allow", "80", "--confirm", LONG])?;
    for args in [&["monitor"][..], &["enforce", "--confirm", "5"], &["attach", "eth0", "--allow", "22"]] {
        let refusal = lab.fw_fails(args)?;
        ensure!(refusal.code == 1, "{args:?} ended with {}", refusal.code);
        for words in ["eth0", "fw-user confirm", "fw-user rollback"] {
            ensure!(refusal.message.contains(words), "{args:?} does not mention {words:?}: {}", refusal.message);
        }
    }
    assert_eq!(status(&lab)?.interfaces[0].policy.allow, ["22/tcp", "80/tcp", "22/udp", "80/udp"]);
    lab.fw(&["confirm", "eth0"])?;
    lab.fw(&["deny", "80"])?;
    // Detaching is the way out of anything.
    lab.fw(&["allow", "443", "--confirm", LONG])?;
    lab.fw(&["detach", "eth0"])?;
    lab.nothing_is_left_behind()?;
    await_watchers_end(&lab)
}

fn what_cannot_be_taken_back_is_refused() -> Result<()> {
    let (lab, _) = start()?;
    lab.fw(&["attach", "eth0", "--allow", "22", "--no-replies"])?;
    lab.refuses(
        &["attach", "eth0", "--allow", "22", "--confirm", LONG],
        1,
        &["eth0", "reply tracking", "without --confirm"],
    )?;
    for seconds in ["0", "86401", "soon"] {
        lab.refuses(&["allow", "80", "--confirm", seconds], 2, &["--confirm"])?;
    }
    ensure!(watchers(&lab)?.is_empty(), "nobody watches what did not change");
    lab.fw(&["allow", "22", "--confirm", LONG])?;
    ensure!(watchers(&lab)?.is_empty() && status(&lab)?.interfaces[0].confirm_within.is_none(), "nothing changed");
    Ok(())
}

fn confirm_and_rollback_say_when_nothing_waits() -> Result<()> {
    let (lab, _) = start()?;
    for verb in ["confirm", "rollback"] {
        lab.refuses(&[verb], 1, &["not attached"])?;
    }
    lab.fw(&["attach", "eth0", "--allow", "22"])?;
    for verb in ["confirm", "rollback"] {
        lab.refuses(&[verb], 1, &["no change waits"])?;
        lab.refuses(&[verb, "eth7"], 1, &["eth7"])?;
    }
    Ok(())
}

/// `fw-user` with a terminal of its own, whose end it hears of.
fn on_terminal(lab: &Lab, args: &[&str]) -> Result<OnTerminal> {
    let mut command = lab.pi.command("setsid");
    command.arg("--ctty").arg(fw::binary());
    lab.fw.finish(&mut command, args);
    OnTerminal::start(&mut command)
}

/// The seconds that are left, each number once.
fn seconds(said: &str) -> Vec<u64> {
    let words: Vec<&str> = said.split_whitespace().collect();
    let mut counted: Vec<u64> = words
        .windows(3)
        .filter(|words| words[0] == "in" && words[2].starts_with('s'))
        .filter_map(|words| words[1].parse().ok())
        .collect();
    counted.dedup();
    counted
}

fn the_terminal_counts_down_and_enter_confirms() -> Result<()> {
    let (lab, server) = start()?;
    let mut terminal = on_terminal(&lab, &["attach", "eth0", "--allow", "22", "--confirm", LONG])?;
    let said = terminal.read_until(|text| seconds(text).len() > 1)?;
    let counted = seconds(&said);
    ensure!(counted[0] > counted[1] && (540..=600).contains(&counted[0]), "{said}");
    ensure!(said.contains("Open a new session") && said.contains("fw-user confirm"), "{said}");
    lab.is_closed(&server, Transport::Tcp, PI4, 9125)?;
    terminal.write("\n")?;
    terminal.read_until(|text| text.contains("eth0  confirmed"))?;
    ensure!(terminal.program.await_end()?.success());
    ensure!(status(&lab)?.interfaces[0].confirm_within.is_none());
    await_watchers_end(&lab)?;

    // From another session.
    let mut terminal = on_terminal(&lab, &["allow", "9125", "--confirm", LONG])?;
    terminal.read_until(|text| text.contains(" s "))?;
    lab.fw(&["confirm"])?;
    terminal.read_until(|text| text.contains("eth0  confirmed"))?;
    ensure!(terminal.program.await_end()?.success());
    await_watchers_end(&lab)?;

    // Back to the shell: the change still waits.
    let mut terminal = on_terminal(&lab, &["deny", "9125", "--confirm", LONG])?;
    terminal.read_until(|text| text.contains(" s "))?;
    terminal.write("\u{3}")?;
    terminal.read_until(|text| text.contains(" s unless you run `fw-user confirm`"))?;
    ensure!(terminal.program.await_end()?.success());
    ensure!(status(&lab)?.interfaces[0].confirm_within.is_some() && !watchers(&lab)?.is_empty());
    lab.fw(&["rollback"])?;
    await_watchers_end(&lab)
}

fn the_terminal_says_that_nobody_confirmed() -> Result<()> {
    let (lab, server) = start()?;
    let mut terminal = on_terminal(&lab, &["attach", "eth0", "--allow", "22", "--confirm", "2"])?;
    terminal.read_until(|text| text.contains("nobody confirmed in time; reverted: eth0"))?;
    ensure!(terminal.program.await_end()?.code() == Some(1));
    lab.lan.reaches(&server, Transport::Tcp, PI4, 9125)?;
    await_watchers_end(&lab)?;
    lab.nothing_is_left_behind()
}

/// From another session. The maps are gone for everybody else.
fn the_terminal_hears_of_a_rollback_of_the_first_attach() -> Result<()> {
    let (lab, _) = start()?;
    for mode in [&[][..], &["--monitor"]] {
        let attach = [&["attach", "eth0", "--allow", "22", "--confirm", LONG], mode].concat();
        let mut terminal = on_terminal(&lab, &attach)?;
        terminal.read_until(|text| !seconds(text).is_empty())?;
        lab.fw(&["rollback"])?;
        terminal.read_until(|text| text.contains("nobody confirmed in time; reverted: eth0"))?;
        ensure!(terminal.program.await_end()?.code() == Some(1));
        await_watchers_end(&lab)?;
        lab.nothing_is_left_behind()?;
    }
    Ok(())
}

/// From another session, in which the interface may have been attached again.
fn the_terminal_hears_that_the_filter_was_detached() -> Result<()> {
    let (lab, _) = start()?;
    for again in [false, true] {
        let mut terminal = on_terminal(&lab, &["attach", "eth0", "--allow", "22", "--confirm", LONG])?;
        terminal.read_until(|text| !seconds(text).is_empty())?;
        lab.fw(&["detach", "eth0"])?;
        if again {
            lab.attach(Mode::Native, "22")?;
        }
        terminal.read_until(|text| text.contains("detached before the change was confirmed: eth0"))?;
        ensure!(terminal.program.await_end()?.code() == Some(1));
        await_watchers_end(&lab)?;
    }
    Ok(())
}

/// As when the SSH session dies.
fn a_lost_terminal_takes_the_change_back() -> Result<()> {
    let (lab, server) = start()?;
    let mut terminal = on_terminal(&lab, &["attach", "eth0", "--allow", "22", "--confirm", MIDDLE])?;
    terminal.read_until(|text| text.contains(" s "))?;
    lab.is_closed(&server, Transport::Tcp, PI4, 9125)?;
    drop(terminal);
    await_watchers_end(&lab)?;
    lab.lan.reaches(&server, Transport::Tcp, PI4, 9125)?;
    lab.nothing_is_left_behind()
}

/// SIGKILL for the shell that typed it, and for the command.
fn a_killed_command_takes_the_change_back() -> Result<()> {
    let (lab, server) = start()?;
    let mut typed = Command::new(fw::binary());
    lab.fw.finish(&mut typed, ["attach", "eth0", "--allow", "22", "--confirm", MIDDLE]);
    let words: Vec<_> = [typed.get_program()].into_iter().chain(typed.get_args()).collect();
    let mut shell = lab.pi.command("sh");
    let (said, tell) = io::pipe()?;
    shell.args(["-c", "\"$@\"; read -r forever", "sh"]).args(words).stdin(Stdio::piped()).stdout(tell);
    let running = Process::start(&mut shell)?;
    // The command holds the pipe's other end as well.
    drop(shell);
    BufReader::new(said).lines().find(|line| line.as_ref().is_ok_and(|line| line.contains("fw-user confirm")));
    ensure!(status(&lab)?.interfaces[0].confirm_within.is_some());
    lab.is_closed(&server, Transport::Tcp, PI4, 9125)?;
    drop(running);
    await_watchers_end(&lab)?;
    lab.lan.reaches(&server, Transport::Tcp, PI4, 9125)?;
    lab.nothing_is_left_behind()
}
