//! Commands at once: one after the other, nothing of any is lost, and each decides by what is so when it is its turn.

use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use fw_tests::{
    lab::{Lab, stats::Status, wait},
    tests,
};
use nix::time::{ClockId, clock_gettime};

tests! {
    commands_at_once_lose_nothing_of_each_other;
    a_command_waits_for_the_one_before_it_and_says_for_whom;
    attaching_twice_at_once_is_attaching_twice;
    what_is_applied_is_what_the_file_says_when_it_is_its_turn;
    the_time_to_confirm_begins_with_the_turn;
}

fn allowed(lab: &Lab) -> Result<Vec<String>> {
    let status: Status = serde_json::from_str(&lab.fw(&["status", "--json"])?)?;
    Ok(status.interfaces[0].policy.allow.clone())
}

/// Each reads the policy, and writes all of it: without a lock the last one would win.
fn commands_at_once_lose_nothing_of_each_other() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.fw(&["attach", "eth0", "--allow", "22/tcp"])?;
    let ports = 8001..=8008;
    let started = ports.clone().map(|port| {
        let mut allow = lab.fw.command(&lab.pi, ["allow", &format!("{port}/tcp")]);
        allow.stdout(Stdio::null()).spawn()
    });
    for mut command in started.collect::<std::io::Result<Vec<_>>>()? {
        ensure!(command.wait()?.success(), "one of them failed");
    }
    let wanted: Vec<String> = [22].into_iter().chain(ports).map(|port| format!("{port}/tcp")).collect();
    let mut allowed = allowed(&lab)?;
    allowed.sort_by_key(String::len);
    ensure!(allowed == wanted || allowed == ["22/tcp", "8001-8008/tcp"], "{allowed:?}");
    Ok(())
}

fn a_command_waits_for_the_one_before_it_and_says_for_whom() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.fw(&["attach", "eth0", "--allow", "22/tcp"])?;
    let lock = lab.fw.lock()?;
    let mut allow = lab.fw_at_lock(&["allow", "80/tcp"])?;
    let program = std::env::args().next().context("a program has a name")?;
    let said = allow.await_said(&format!("waiting for another command: process {}, `{program}", std::process::id()))?;
    ensure!(said.lines().count() == 1, "{said}");
    ensure!(allowed(&lab)? == ["22/tcp"], "it did not wait");
    drop(lock);
    allow.await_success()?;
    ensure!(allowed(&lab)? == ["22/tcp", "80/tcp"]);
    Ok(())
}

fn attaching_twice_at_once_is_attaching_twice() -> Result<()> {
    let lab = Lab::without_containers()?;
    let lock = lab.fw.lock()?;
    let mut both =
        [lab.fw_at_lock(&["attach", "eth0", "--allow", "22"])?, lab.fw_at_lock(&["attach", "eth0", "--allow", "22"])?];
    drop(lock);
    for attach in &mut both {
        attach.await_success()?;
    }
    lab.fw(&["detach", "eth0"])?;
    lab.nothing_is_left_behind()
}

fn what_is_applied_is_what_the_file_says_when_it_is_its_turn() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.write_file("eth0", "allow = [\"22/tcp\"]\n")?;
    let lock = lab.fw.lock()?;
    let mut apply = lab.fw_at_lock(&["apply"])?;
    // As `allow --save` does before it lets go of the lock.
    lab.write_file("eth0", "allow = [\"22/tcp\", \"80/tcp\"]\n")?;
    drop(lock);
    apply.await_success()?;
    ensure!(allowed(&lab)? == ["22/tcp", "80/tcp"], "{:?}", allowed(&lab)?);
    Ok(())
}

fn the_time_to_confirm_begins_with_the_turn() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.write_file("eth0", "allow = [\"22\", \"80\"]\n")?;
    lab.fw(&["attach", "eth0", "--allow", "22", "--monitor"])?;
    let seconds = || anyhow::Ok(clock_gettime(ClockId::CLOCK_MONOTONIC)?.tv_sec());
    for args in [&["enforce", "--confirm", "2"][..], &["apply", "--confirm", "2"]] {
        let lock = lab.fw.lock()?;
        let mut trial = lab.fw_at_lock(args)?;
        let begin = seconds()?;
        wait::until("the time to pass", || Ok((seconds()? > begin + 2).then_some(())))?;
        drop(lock);
        let said = trial.await_success()?;
        ensure!(said.contains("reverts in"), "{args:?}: {said}");
        lab.fw(&["rollback"])?;
    }
    Ok(())
}
