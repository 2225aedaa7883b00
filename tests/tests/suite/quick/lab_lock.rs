//! Two commands at once: one after the other, and nothing of either is lost.

use std::{fs::File, process::Stdio};

use anyhow::{Context, Result, ensure};
use fw_tests::{
    lab::{Lab, stats::Status, wait},
    tests,
};

tests! {
    commands_at_once_lose_nothing_of_each_other;
    a_command_waits_for_the_one_before_it;
    a_command_that_waits_in_vain_says_who_is_at_work;
}

fn allowed(lab: &Lab) -> Result<Vec<String>> {
    let status: Status = serde_json::from_str(&lab.fw(&["status", "--json"])?)?;
    Ok(status.interfaces[0].allow.clone())
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

fn a_command_waits_for_the_one_before_it() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.fw(&["attach", "eth0", "--allow", "22/tcp"])?;
    let lock = File::open(lab.fw.bpffs())?;
    lock.lock()?;
    let mut allow = lab.fw.command(&lab.pi, ["allow", "80/tcp"]).stdout(Stdio::null()).spawn()?;
    let folder = lab.fw.bpffs().to_owned();
    // It has the folder open, and so is at the lock.
    wait::until("the command to be at the lock", || {
        let open = std::fs::read_dir(format!("/proc/{}/fd", allow.id()))?;
        let is_there = open.flatten().any(|file| std::fs::read_link(file.path()).is_ok_and(|path| path == folder));
        Ok(is_there.then_some(()))
    })?;
    ensure!(allowed(&lab)? == ["22/tcp"], "it did not wait");
    drop(lock);
    ensure!(allow.wait()?.success(), "it failed");
    ensure!(allowed(&lab)? == ["22/tcp", "80/tcp"]);
    Ok(())
}

fn a_command_that_waits_in_vain_says_who_is_at_work() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.fw(&["attach", "eth0", "--allow", "22/tcp"])?;
    let lock = File::open(lab.fw.bpffs())?;
    lock.lock()?;
    let program = std::env::args().next().context("a program has a name")?;
    let me = format!("process {}, `{program}", std::process::id());
    let words = ["another command is at work on", lab.fw.bpffs().to_str().context("a path in UTF-8")?, &me];
    lab.refuses(&["allow", "80"], 1, &words)?;
    drop(lock);
    lab.fw(&["allow", "80"]).map(drop)
}
