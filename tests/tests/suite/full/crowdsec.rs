//! Debian's crowdsec-custom-bouncer has `fw-user` carry out the decisions of a `CrowdSec` server, which is a file here.

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use fw_tests::{
    lab::{FAR4, FAR6, Lab, Mode, Namespace, PI4, PI6, netfilter::OPEN_TARGET, process::Process, skip, wait},
    pages::root,
    tests,
};
use serde_json::{Value, json};
use tempfile::TempDir;

tests! {
    whom_crowdsec_bans_reaches_no_published_port_until_the_decision_is_deleted;
    decisions_that_are_not_for_a_firewall_and_calls_that_are_wrong;
}

/// The program that the bouncer calls, which finds the lab's `fw-user`.
struct Called {
    folder: TempDir,
}

impl Called {
    fn new(lab: &Lab) -> Result<Self> {
        let called = Self { folder: TempDir::with_prefix("fw-lab-crowdsec-")? };
        fs::copy(root().join("contrib/crowdsec/crowdsec-fw-user"), called.program())?;
        let fw = lab.fw.command(&lab.pi, [] as [&str; 0]);
        // What comes before the program enters the namespace that the bouncer is in.
        let words: Vec<String> = fw.get_args().map(|word| word.to_string_lossy().into_owned()).collect();
        let typed = words.split(|word| word == "--").next_back().context("a command")?.join(" ");
        let fw_user = called.at("fw-user");
        fs::write(&fw_user, format!("#!/bin/sh\nexec {typed} \"$@\"\n"))?;
        fs::set_permissions(fw_user, fs::Permissions::from_mode(0o755))?;
        Ok(called)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn program(&self) -> PathBuf {
        self.at("crowdsec-fw-user")
    }

    /// A command in the Pi's namespace that finds the `fw-user` of the lab.
    fn command(&self, lab: &Lab, program: impl AsRef<Path>) -> Command {
        let mut command = lab.pi.command(program.as_ref());
        command.env("PATH", format!("{}:/usr/bin:/bin", self.folder.path().display())).stdin(Stdio::null());
        command
    }
}

/// A decision as the server tells it.
fn decision(value: &str, kind: &str, duration: &str) -> Value {
    json!({
        "id": 1, "origin": "crowdsec", "type": kind, "scope": "Ip", "value": value, "duration": duration,
        "scenario": "crowdsecurity/ssh-bf",
    })
}

/// The bouncer, and the server that it asks each second.
struct Bouncer {
    called: Called,
    _server: Process,
    _client: Process,
}

impl Bouncer {
    fn start(lab: &Lab) -> Result<Self> {
        skip::need("crowdsec-custom-bouncer", "crowdsec-custom-bouncer")?;
        skip::need("busybox", "busybox-static")?;
        let called = Called::new(lab)?;
        fs::create_dir_all(called.at("api/v1/decisions"))?;
        let bouncer = "bin_path: {program}\npiddir: {folder}\nupdate_frequency: 1s\ncache_retention_duration: 1s\ndaemonize: false\n\
                       log_mode: stdout\nlog_level: info\napi_url: http://127.0.0.1:8080/\napi_key: any\n";
        let bouncer = bouncer
            .replace("{program}", &called.program().display().to_string())
            .replace("{folder}", &called.folder.path().display().to_string());
        fs::write(called.at("bouncer.yaml"), bouncer)?;
        answer(&called, &[], &[])?;
        let mut server = lab.pi.command("busybox");
        server.args(["httpd", "-f", "-p", "127.0.0.1:8080", "-h"]).arg(called.at("api"));
        let server = Process::start(server.stdin(Stdio::null()))?;
        wait::until("the server to answer", || Ok(lab.pi.get("http://127.0.0.1:8080/v1/decisions/stream").ok()))?;
        let mut bouncer = called.command(lab, "crowdsec-custom-bouncer");
        let log = fs::File::create(called.at("log"))?;
        bouncer.arg("-c").arg(called.at("bouncer.yaml")).stdout(log.try_clone()?).stderr(log);
        let bouncer = Process::start(&mut bouncer)?;
        Ok(Self { called, _server: server, _client: bouncer })
    }

    /// What the server answers from now on, until it answers something else.
    fn decides(&self, new: &[Value], deleted: &[Value]) -> Result<()> {
        answer(&self.called, new, deleted)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.called.at("log")).unwrap_or_default()
    }

    /// Wait until these networks are banned and no others.
    fn bans(&self, lab: &Lab, networks: &[String]) -> Result<()> {
        let listed = wait::until(format!("bans of {networks:?}"), || {
            let said: Value = serde_json::from_str(&lab.fw(&["bans", "--json"])?)?;
            let bans = said["bans"].as_array().context("a list")?;
            ensure!(bans.iter().all(|ban| ban["set"] == "crowdsec" && ban["until"].is_string()), "{said}");
            let banned: Vec<&str> = bans.iter().filter_map(|ban| ban["network"].as_str()).collect();
            Ok((banned == networks).then_some(()))
        });
        listed.with_context(|| self.log())
    }
}

fn answer(called: &Called, new: &[Value], deleted: &[Value]) -> Result<()> {
    let next = called.at("next");
    fs::write(&next, json!({ "new": new, "deleted": deleted }).to_string())?;
    Ok(fs::rename(next, called.at("api/v1/decisions/stream"))?)
}

/// The Pi drops something of the far machine that it sends to the container's published port.
fn is_kept_out(lab: &Lab, far: &Namespace, pi: SocketAddr) -> Result<()> {
    let banned = || anyhow::Ok(lab.stats("eth0")?.reason("banned").packets);
    let before = banned()?;
    let _knocking = far.try_tcp(pi)?;
    wait::until("a banned packet", || Ok((banned()? > before).then_some(())))
}

fn whom_crowdsec_bans_reaches_no_published_port_until_the_decision_is_deleted() -> Result<()> {
    let lab = Lab::new()?;
    let far = lab.add_far_host(1500)?;
    let _published = lab.container(0).serve_tcp(OPEN_TARGET)?;
    lab.attach(Mode::Tc, "22,80")?;
    let bouncer = Bouncer::start(&lab)?;
    let (pi4, pi6) = (SocketAddr::new(PI4, 80), SocketAddr::new(PI6, 80));
    far.connect_tcp(pi4).context("before the ban")?;
    far.connect_tcp(pi6).context("before the ban")?;
    let decisions = [FAR4, FAR6].map(|sender| decision(&sender.to_string(), "ban", "1h2m3.5s"));
    let captcha = decision("198.51.100.7", "captcha", "4h");
    bouncer.decides(&[decisions[0].clone(), captcha, decisions[1].clone()], &[])?;
    let (net4, net6) = (format!("{FAR4}/32"), format!("{FAR6}/128"));
    bouncer.bans(&lab, &[net4, net6.clone()])?;
    is_kept_out(&lab, &far, pi4)?;
    is_kept_out(&lab, &far, pi6)?;
    lab.lan.connect_tcp(pi4).context("somebody else")?;
    // One that ended long ago is in the list as well.
    bouncer.decides(&[], &[decisions[0].clone(), decision("198.51.100.9", "ban", "-5m")])?;
    bouncer.bans(&lab, &[net6])?;
    far.connect_tcp(pi4).context("after the ban")?;
    is_kept_out(&lab, &far, pi6)?;
    bouncer.decides(&[decision("198.51.100.0/24", "ban", "1m")], &[decisions[1].clone()])?;
    bouncer.bans(&lab, &["198.51.100.0/24".to_owned()])?;
    far.connect_tcp(pi6)?;
    ensure!(!bouncer.log().contains("level=error"), "{}", bouncer.log());
    Ok(())
}

fn decisions_that_are_not_for_a_firewall_and_calls_that_are_wrong() -> Result<()> {
    let lab = Lab::without_containers()?;
    let called = Called::new(&lab)?;
    let run = |args: &[&str]| called.command(&lab, called.program()).args(args).output();
    let ban = decision("198.51.100.7", "ban", "1m").to_string();
    let throttle = decision("198.51.100.8", "throttle", "1m").to_string();
    let said = run(&["add", "198.51.100.7", "60", "x y", &ban])?;
    ensure!(said.status.success() && lab.fw(&["bans"])?.contains("198.51.100.7 "), "{said:?}");
    let said = run(&["add", "198.51.100.8", "60", "x y", &throttle])?;
    ensure!(said.status.success() && !lab.fw(&["bans"])?.contains("198.51.100.8"), "{said:?}");
    for (args, words) in [
        (["add", "FR", "60", "by country", &ban], "not an address"),
        (["add", "192.0.2.1", "60", "this machine", &ban], "this machine's address"),
        (["del", "FR", "60", "by country", &ban], "not an address"),
        (["list", "198.51.100.7", "60", "x y", &ban], "usage:"),
    ] {
        let output = run(&args)?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(!output.status.success() && said.contains(words), "{args:?}: {said}");
    }
    let shellcheck = Command::new("shellcheck").arg(called.program()).output()?;
    ensure!(shellcheck.status.success(), "{shellcheck:?}");
    Ok(())
}
