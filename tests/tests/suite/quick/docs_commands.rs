//! Each command in README and docs is run, or is known to be run elsewhere.

use std::{
    collections::BTreeMap,
    env,
    ffi::{OsStr, OsString},
    fs,
    net::SocketAddr,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::Path,
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};
use fw_tests::{
    lab::{Lab, Namespace, PI4, background::Background, command, dropped::PcapNg, explained::write_pcap, skip, wait},
    packet::eth,
    pages::{self, command_lines, root},
    tests,
};
use nix::sys::signal::Signal;

tests! {
    every_command_block_works_as_it_stands;
    every_command_in_a_sentence_works;
    what_is_typed_in_a_scene_works_and_says_what_stands_there;
}

/// Commands that are the very run, or a test of their own.
const ELSEWHERE: [(&str, &str); 15] = [
    (
        "fw-user completions bash | sudo tee /etc/bash_completion.d/fw-user",
        "packages.rs has each shell complete at a key",
    ),
    ("cargo xtask demo", "xtask/lab/tests/demo.rs runs it"),
    ("cargo xtask test", "it is what runs this test"),
    ("cargo xtask dist", "packages.rs runs it"),
    (
        "sudo apt install ./target/dist/fw-user_*_$(dpkg --print-architecture).deb",
        "so does it this, by dpkg in a Debian of its own",
    ),
    ("sudo fw-user service install eth0", "full/boot runs it, in a guest that systemd boots"),
    ("sudo fw-user service show eth0", "so does it this"),
    ("sudo fw-user service remove eth0", "and this"),
    ("sudo fw-user enable", "boot_service.rs runs it, beside a systemd that starts nothing"),
    ("sudo fw-user enable --all", "so does it this"),
    ("sudo fw-user disable", "and this"),
    ("sudo fw-user uninstall", "and this"),
    ("sudo fw-user uninstall --yes", "and this"),
    ("sudo fw-user service show --json", "and this"),
    (
        "sudo fw-user check eth0.toml",
        "the_example_of_a_file_is_one_and_has_every_key holds what it says against what stands there",
    ),
];

/// A lab for many commands. To load the programs is what takes time, and most commands leave them attached.
struct Stage {
    lab: Lab,
    /// The file of eth0 with port 22 open.
    plain: String,
}

impl Stage {
    /// With that attached, and saved.
    fn new() -> Result<Self> {
        let lab = Lab::without_containers()?;
        lab.fw(&["attach", "eth0", "--allow", "22"])?;
        lab.fw(&["save"])?;
        let plain = lab.read_file("eth0")?;
        Ok(Self { lab, plain })
    }

    /// Attach it again where it is not, take back what the commands before changed, and leave no file but this one.
    fn restore(&self) -> Result<()> {
        for entry in fs::read_dir(self.lab.fw.config())? {
            fs::remove_file(entry?.path())?;
        }
        self.lab.write_file("eth0", &self.plain)?;
        self.lab.fw(&["apply", "--force"]).map(drop)
    }
}

fn every_command_block_works_as_it_stands() -> Result<()> {
    let mut count = 0;
    let stage = Stage::new()?;
    stage.lab.pi.run("ip link add wlan0 type veth peer name nowhere")?;
    for (name, page) in pages::all(&root())? {
        // Pages that change something take for granted that something is attached, and that no file says so yet.
        stage.restore()?;
        fs::remove_file(stage.lab.fw.config().join("eth0.toml"))?;
        for line in command_lines(&page) {
            run(&stage.lab, line).with_context(|| format!("{name}: {line}"))?;
            count += 1;
        }
    }
    ensure!(count >= 15, "the pages have {count} commands; are their blocks still marked sh?");
    Ok(())
}

fn run(lab: &Lab, line: &str) -> Result<()> {
    if ELSEWHERE.iter().any(|(known, _)| *known == line) || pages::is_slow(line) {
        return Ok(());
    }
    let scratch = tempfile::tempdir()?;
    let capture = scratch.path().join("capture.pcap");
    let words: Vec<&str> = line.split_whitespace().collect();
    match words.as_slice() {
        ["sudo", "fw-user", args @ .., "capture.pcap"] => {
            write_pcap(&capture, &[eth().ipv4().tcp(40_000, 22).syn().build()])?;
            let said = lab.fw(&[args, &[capture.to_str().context("a path in UTF-8")?]].concat())?;
            ensure!(said.contains("pass  allowed"), "it says {said}");
            Ok(())
        }
        [.., "|", "wireshark", "-k", "-i", "-"] => watched_in_wireshark(lab, line, scratch.path()),
        // boot_service.rs has a systemd for the rest of it.
        ["sudo", "fw-user", args @ .., "--boot"] => lab.fw(args).map(drop),
        ["sudo", "fw-user", args @ ..] if goes_on(args) => run_a_while(lab, args, scratch.path()),
        ["sudo", "docker", verb, ..] if container_test()?.contains(&format!("manual(\"{verb}\")")) => Ok(()),
        ["sudo", "fw-user", args @ .., "drops.pcapng"] => {
            let file = scratch.path().join("drops.pcapng");
            lab.fw(&[args, &[file.to_str().context("a path in UTF-8")?]].concat())?;
            PcapNg::read(&fs::read(&file)?).map(drop)
        }
        ["sudo", "fw-user", args @ .., "drop.txt"] => {
            let list = scratch.path().join("drop.txt");
            fs::write(&list, "; a list\n203.0.113.0/25 ; SBL1\n")?;
            lab.fw(&[args, &[list.to_str().context("a path in UTF-8")?]].concat()).map(drop)
        }
        ["sudo", "fw-user", args @ ..] => lab.fw(args).map(|_| ()),
        ["git", "clone", "<this", "repository>", "fw", "&&", "cd", "fw"] => {
            let mut git = Command::new("git");
            // A checkout made by another user is as good.
            git.args(["-c", "safe.directory=*", "clone", "--quiet"]).arg(root()).arg(scratch.path().join("fw"));
            command::run(&mut git)?;
            ensure!(scratch.path().join("fw/README.md").exists(), "the clone has no README");
            Ok(())
        }
        _ => bail!("no test runs this command"),
    }
}

fn goes_on(args: &[&str]) -> bool {
    let (verb, has) = (args[0], |option| args.contains(&option));
    ["run", "metrics"].contains(&verb) || (verb == "drops" && !has("--last")) || has("--interval")
}

/// A command that runs until interrupted must report that it runs, and end without an error. The folders are the lab's.
fn run_a_while(lab: &Lab, args: &[&str], scratch: &Path) -> Result<()> {
    let textfile = scratch.join("fw.prom");
    let here = |word: &&str| {
        word.replace("/etc/fw-user", &lab.fw.config().display().to_string())
            .replace("/var/lib/prometheus/node-exporter/fw.prom", &textfile.display().to_string())
    };
    let args: Vec<String> = args.iter().map(here).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let writes = args.contains(&"--textfile");
    if writes && !args.contains(&"--interval") {
        lab.fw(&args)?;
        ensure!(fs::read_to_string(textfile)?.contains("fw_up{interface=\"eth0\"} 1\n"), "the file lacks the filter");
        return Ok(());
    }
    let mut running = lab.fw_background(&args)?;
    if writes {
        wait::until("the file", || Ok(textfile.exists().then_some(())))?;
    } else {
        wait::until("a word of it", || {
            // Drops from before its start do not matter.
            lab.lan.send_udp_from(0, SocketAddr::new(PI4, 9125), b"knock")?;
            let word = match args[0] {
                "metrics" => "Ctrl-C ends the metrics, not the filter",
                "drops" => "9125",
                _ => "eth0",
            };
            Ok(running.said()?.contains(word).then_some(()))
        })
        .with_context(|| running.said().unwrap_or_default())?;
    }
    let status = running.end(Signal::SIGINT)?;
    ensure!(status.success(), "{status}: {}", running.said()?);
    Ok(())
}

/// The test that takes the manual's Docker commands, and runs them.
fn container_test() -> Result<String> {
    Ok(fs::read_to_string(root().join("tests/tests/suite/full/container.rs"))?)
}

/// A folder of programs that stand in for those that a manual's command line needs besides: `ssh` to the lab's Pi, `sudo`, and Wireshark,
/// in whose place tcpdump tells of one packet.
fn stand_ins(lab: &Lab, scratch: &Path) -> Result<OsString> {
    skip::need("tcpdump", "tcpdump")?;
    let fw = lab.fw.command(&lab.pi, [] as [&str; 0]);
    let fw =
        [fw.get_program()].into_iter().chain(fw.get_args()).map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ");
    let nobody = lab.fw.config().join("no-docker.sock");
    for (name, does) in [
        ("sudo", "exec \"$@\"".to_owned()),
        ("ssh", format!("[ \"$1\" = pi ] && shift && exec nsenter --net={} -- \"$@\"", lab.pi.path())),
        ("fw-user", format!("DOCKER_HOST=unix://{} exec {fw} \"$@\"", nobody.display())),
        ("wireshark", "[ \"$*\" = '-k -i -' ] && exec tcpdump -n -c 1 -r -".to_owned()),
    ] {
        let path = scratch.join(name);
        fs::write(&path, format!("#!/bin/sh\n{does}\n"))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    }
    let folders = env::var_os("PATH").unwrap_or_default();
    Ok(env::join_paths([scratch.to_owned()].into_iter().chain(env::split_paths(&folders)))?)
}

/// Run a pipeline until all of its programs have ended; SIGTERM ends them.
fn shell(place: &Namespace, line: &str, path: &OsStr) -> Result<Background> {
    let mut shell = place.command("sh");
    shell.args(["-c", &format!("trap 'trap - TERM; kill 0' TERM; {line} & wait")]);
    Background::start(shell.process_group(0).env("PATH", path))
}

/// Packets come to it as they are dropped, and it all ends when Wireshark is closed.
fn watched_in_wireshark(lab: &Lab, line: &str, scratch: &Path) -> Result<()> {
    let mut running = shell(&lab.pi, line, &stand_ins(lab, scratch)?)?;
    let ended = wait::until("the end", || {
        lab.lan.send_udp_from(0, SocketAddr::new(PI4, 9125), b"knock")?;
        running.process.ended()
    });
    if ended.is_err() {
        running.end(Signal::SIGTERM)?;
    }
    let (_status, said) = (ended?, running.said()?);
    ensure!(said.contains(" > 192.0.2.1.9125: UDP"), "{said}");
    Ok(())
}

/// Spans between single backticks that start with the command's name, or with `attach`. Words in capitals stand for something.
fn sentences() -> Result<BTreeMap<String, String>> {
    let mut spans = BTreeMap::new();
    for (name, page) in pages::all(&root())? {
        for span in page.split('`').skip(1).step_by(2) {
            let words: Vec<&str> = span.strip_prefix("sudo ").unwrap_or(span).split_whitespace().collect();
            let words: Vec<&str> = match words.as_slice() {
                ["fw-user", _, ..] => words,
                ["attach", "--all", ..] => [&["fw-user", "attach", "--allow", "22"], &words[1..]].concat(),
                ["attach", option, ..] if option.starts_with('-') => {
                    [&["fw-user", "attach", "eth0", "--allow", "22"], &words[1..]].concat()
                }
                _ => continue,
            };
            let meant = |word: &&str| match *word {
                "FILE" => "capture.pcap".to_owned(),
                "PORT" => "9125/tcp".to_owned(),
                "NETWORK" => "10.8.0.0/24".to_owned(),
                "NAME" => "gre".to_owned(),
                "N" => "4096".to_owned(),
                word => word.to_owned(),
            };
            spans.insert(format!("sudo {}", words.iter().map(meant).collect::<Vec<_>>().join(" ")), name.clone());
        }
    }
    Ok(spans)
}

fn every_command_in_a_sentence_works() -> Result<()> {
    let spans = sentences()?;
    ensure!(spans.len() >= 30, "the pages have {} such commands", spans.len());
    let stage = Stage::new()?;
    let lab = &stage.lab;
    lab.pi.run("ip link add wlan0 type veth peer name nowhere")?;
    for (line, name) in spans {
        match line.split(' ').nth(2).unwrap_or_default() {
            "attach" => lab.fw(&["detach", "--all"]).map(drop)?,
            "confirm" | "rollback" => lab.fw(&["attach", "eth0", "--allow", "22", "--confirm", "600"]).map(drop)?,
            _ => stage.restore()?,
        }
        run(lab, &line).with_context(|| format!("{name}: {line}"))?;
    }
    Ok(())
}

/// Blocks that show what somebody typed, and what he got to read.
fn what_is_typed_in_a_scene_works_and_says_what_stands_there() -> Result<()> {
    let mut count = 0;
    for (name, page) in pages::all(&root())? {
        let typed = pages::typed_lines(&page);
        if typed.is_empty() {
            continue;
        }
        let lab = Lab::without_containers()?;
        for (place, line) in typed {
            let outcome = match (place, line) {
                ("pi" | "", line) => run(&lab, &format!("sudo {line}")),
                ("laptop", line) => explained_while_it_is_captured(&lab, line),
                _ => bail!("{name}: who types {line} at {place}?"),
            };
            outcome.with_context(|| format!("{name}: {line}"))?;
            count += 1;
        }
    }
    ensure!(count >= 7, "the pages show {count} commands");
    // The output of the first command is compared exactly.
    let readme = fs::read_to_string(root().join("README.md"))?;
    let lab = Lab::without_containers()?;
    let said = lab.fw(&["attach", "eth0", "--allow", "22,80,443"])?;
    let missing: Vec<&str> = said.lines().filter(|line| !readme.contains(&format!("\n    {line}\n"))).collect();
    ensure!(missing.is_empty() && !said.is_empty(), "the README lacks {missing:#?}");
    Ok(())
}

/// Lines come while packets do, not when a buffer is full.
fn explained_while_it_is_captured(lab: &Lab, line: &str) -> Result<()> {
    let scratch = tempfile::tempdir()?;
    lab.fw(&["attach", "eth0", "--allow", "22"])?;
    let line = line.replace("192.168.1.5", &PI4.to_string());
    let mut running = shell(&lab.lan, &line, &stand_ins(lab, scratch.path())?)?;
    let explained = wait::until("an explanation", || {
        lab.lan.send_udp_from(0, SocketAddr::new(PI4, 9125), b"knock")?;
        Ok(running.said()?.contains("  drop  closed-port      udp 192.0.2.10").then_some(()))
    });
    running.end(Signal::SIGTERM)?;
    explained.with_context(|| running.said().unwrap_or_default())
}
