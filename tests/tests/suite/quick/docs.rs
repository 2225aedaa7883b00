//! README and docs say what is so: each command in them is run, or is known to be run elsewhere, and each name is the code's.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    ffi::{OsStr, OsString},
    fs,
    net::SocketAddr,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};
use fw_common::Reason;
use fw_tests::{
    lab::{
        Lab, Mode, Namespace, PI4, Transport, background::Background, command, dropped::PcapNg, explained::write_pcap,
        netfilter::CLOSED_TARGET, skip, wait,
    },
    packet::eth,
    pages::{self, command_lines},
    tests,
};
use fw_user::{
    config::{check, parse},
    error::exit_code,
    report::reasons,
};
use nix::sys::signal::Signal;

tests! {
    every_block_is_of_a_kind_that_is_looked_at;
    every_command_block_works_as_it_stands;
    every_command_in_a_sentence_works;
    what_is_typed_in_a_scene_works_and_says_what_stands_there;
    the_kernel_keeps_ip_from_taking_the_filter_off;
    every_reason_stands_in_the_manual_with_its_number;
    every_exit_code_stands_in_the_readme;
    every_reason_is_explained_in_the_words_of_the_manual;
    every_json_field_stands_in_the_manual;
    the_example_of_a_file_is_one_and_has_every_key;
    every_file_on_a_page_is_one;
    every_link_leads_somewhere;
    removing_the_pin_by_hand_takes_the_filter_off;
}

/// Commands that are the very run, or a test of their own.
const ELSEWHERE: [(&str, &str); 8] = [
    ("cargo xtask demo", "xtask/lab/tests/demo.rs runs it"),
    ("cargo xtask test", "it is what runs this test"),
    ("cargo xtask dist", "packages.rs runs it"),
    (
        "sudo apt install ./target/dist/fw-user_*_$(dpkg --print-architecture).deb",
        "so does it this, by dpkg in a Debian of its own",
    ),
    ("sudo fw-user service install eth0", "boot_systemd.rs runs it, in a guest that systemd boots"),
    ("sudo fw-user service show eth0", "so does it this"),
    ("sudo fw-user service remove eth0", "and this"),
    (
        "sudo fw-user check eth0.toml",
        "the_example_of_a_file_is_one_and_has_every_key holds what it says against what stands there",
    ),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A command in another kind of block would be typed by people and by no test.
fn every_block_is_of_a_kind_that_is_looked_at() -> Result<()> {
    for (name, page) in pages::all(&root())? {
        let fences = page.lines().filter_map(|line| line.trim_start().strip_prefix("```").map(|kind| (line, kind)));
        for (number, (line, kind)) in fences.enumerate() {
            let known: &[&str] = if number % 2 == 0 { &["sh", "text", "toml"] } else { &[""] };
            ensure!(line.starts_with("```") && known.contains(&kind), "{name}: {line}");
        }
        let unprompted =
            |line: &&str| ["sudo ", "fw-user ", "ssh ", "docker "].iter().any(|start| line.starts_with(start));
        let text = blocks(&page, "text").join("\n");
        ensure!(!text.lines().any(|line| unprompted(&line)), "{name}: a command without a prompt in a block of text");
    }
    Ok(())
}

fn every_command_block_works_as_it_stands() -> Result<()> {
    let mut count = 0;
    for (name, page) in pages::all(&root())? {
        let lab = Lab::without_containers()?;
        // Pages that change something take for granted that something is attached.
        lab.fw(&["attach", "eth0", "--allow", "22"])?;
        for line in command_lines(&page) {
            run(&lab, line).with_context(|| format!("{name}: {line}"))?;
            count += 1;
        }
    }
    ensure!(count >= 15, "the pages have {count} commands; are their blocks still marked sh?");
    Ok(())
}

fn run(lab: &Lab, line: &str) -> Result<()> {
    if ELSEWHERE.iter().any(|(known, _)| *known == line) {
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
        ["sudo", "fw-user", args @ ..] if goes_on(args) => run_a_while(lab, args, scratch.path()),
        ["ansible-playbook", args @ ..] => {
            skip::need("ansible-playbook", "ansible-core")?;
            let mut play = Command::new("ansible-playbook");
            play.args(args).current_dir(root()).env("HOME", scratch.path()).env("LC_ALL", "C.UTF-8");
            command::run(&mut play).map(|_| ())
        }
        ["sudo", "docker", verb, ..] if container_test()?.contains(&format!("manual(\"{verb}\")")) => Ok(()),
        ["sudo", "fw-user", args @ .., "drops.pcapng"] => {
            let file = scratch.path().join("drops.pcapng");
            lab.fw(&[args, &[file.to_str().context("a path in UTF-8")?]].concat())?;
            PcapNg::read(&fs::read(&file)?).map(drop)
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
        ["cargo", args @ ..] => {
            let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
            command::run(cargo.args(["--quiet"]).args(args).current_dir(root())).map(|_| ())
        }
        ["sudo", "install", options @ .., program, "/usr/local/sbin/"] => {
            let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
            let program = target.join(program.strip_prefix("target/").context("cargo builds into target")?);
            command::run(Command::new("install").args(options).arg(program).arg(scratch.path()))?;
            let said = command::run(Command::new(scratch.path().join("fw-user")).arg("--version"))?;
            ensure!(said.starts_with("fw-user "), "the installed program says {said}");
            Ok(())
        }
        _ => bail!("no test runs this command"),
    }
}

fn goes_on(args: &[&str]) -> bool {
    let (verb, has) = (args[0], |option| args.contains(&option));
    ["run", "metrics"].contains(&verb) || (verb == "drops" && !has("--last")) || has("--interval")
}

/// What goes on until somebody ends it has to say that it is at work, and to end well. The folders are the lab's.
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
            // What is dropped before it looks is none of its concern.
            lab.lan.send_udp_from(0, SocketAddr::new(PI4, 9125), b"knock")?;
            let word = match args[0] {
                "metrics" => "Ctrl-C ends this, not the filter",
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
                ["attach", option, ..] if option.starts_with('-') => {
                    [&["fw-user", "attach", "eth0", "--allow", "22"], &words[1..]].concat()
                }
                _ => continue,
            };
            let meant = |word: &&str| match *word {
                "FILE" => "capture.pcap".to_owned(),
                "PORT" => "9125/tcp".to_owned(),
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
    let lab = Lab::without_containers()?;
    lab.pi.run("ip link add wlan0 type veth peer name nowhere")?;
    for (line, name) in spans {
        let verb = line.split(' ').nth(2).unwrap_or_default();
        let before: &[&[&str]] = match verb {
            "attach" => &[],
            "confirm" | "rollback" => &[&["attach", "eth0", "--allow", "22", "--confirm", "600"]],
            _ => &[&["attach", "eth0", "--allow", "22"], &["save"]],
        };
        lab.fw(&["detach", "--all"])?;
        before.iter().try_for_each(|args| lab.fw(args).map(drop))?;
        run(&lab, &line).with_context(|| format!("{name}: {line}"))?;
    }
    Ok(())
}

/// Blocks that show what somebody typed, and what he got to read.
fn what_is_typed_in_a_scene_works_and_says_what_stands_there() -> Result<()> {
    let mut count = 0;
    for (name, page) in pages::all(&root())? {
        let lab = Lab::without_containers()?;
        for (place, line) in pages::typed_lines(&page) {
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
    // What the first of all commands says is known to the letter.
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

/// The README says that this does not help who is locked out.
fn the_kernel_keeps_ip_from_taking_the_filter_off() -> Result<()> {
    let readme = fs::read_to_string(root().join("README.md"))?;
    let line = readme.split('`').find(|span| span.ends_with(" xdp off")).context("the README names the command")?;
    let lab = Lab::new()?;
    let server = lab.container(0).serve_tcp(CLOSED_TARGET)?;
    lab.lan.reaches(&server, Transport::Tcp, PI4, 9125)?;
    lab.attach(Mode::Native, "22")?;
    ensure!(lab.pi.run(line).is_err(), "`{line}` says that it worked");
    lab.is_closed(&server, Transport::Tcp, PI4, 9125)
}

fn every_reason_stands_in_the_manual_with_its_number() -> Result<()> {
    let manual = fs::read_to_string(root().join("docs/reasons.md"))?;
    let rows: BTreeSet<String> = manual
        .lines()
        .filter(|line| line.starts_with("| ") && line.contains('`'))
        .filter_map(|line| {
            line.split(" |").take(2).map(|cell| cell.trim_matches(['|', ' '])).collect::<Vec<_>>().join(" ").into()
        })
        .filter(|row| row.starts_with(|c: char| c.is_ascii_digit()))
        .collect();
    let reasons: BTreeSet<String> =
        Reason::ALL.iter().map(|&reason| format!("{} `{}`", reason as u8, reason.name())).collect();
    assert_eq!(rows, reasons);
    Ok(())
}

/// What `explain` says of a reason is the row of the manual.
fn every_reason_is_explained_in_the_words_of_the_manual() -> Result<()> {
    let manual = fs::read_to_string(root().join("docs/reasons.md"))?.replace('`', "");
    for &reason in Reason::ALL {
        let advice = reasons::advice(reason).map(|advice| format!(" {advice} |")).unwrap_or_default();
        let row = format!("| {} | {reason} | {} |{advice}", reason as u8, reasons::words(reason));
        ensure!(manual.lines().any(|line| line.starts_with(&row)), "docs/reasons.md lacks this row: {row}");
    }
    Ok(())
}

fn every_exit_code_stands_in_the_readme() -> Result<()> {
    let readme = fs::read_to_string(root().join("README.md"))?;
    for (code, meaning) in exit_code::ALL {
        ensure!(readme.contains(&format!("\n| {code} | {meaning} |\n")), "the README lacks {code}, {meaning}");
    }
    Ok(())
}

/// Every key that the commands print stands in backticks in the manual.
fn every_json_field_stands_in_the_manual() -> Result<()> {
    fn keys(value: &serde_json::Value, found: &mut BTreeSet<String>) {
        match value {
            serde_json::Value::Object(fields) => {
                for (key, value) in fields {
                    found.insert(key.clone());
                    // Its keys are the reasons, which have a page of their own.
                    if key != "reasons" {
                        keys(value, found);
                    }
                }
            }
            serde_json::Value::Array(values) => values.iter().for_each(|value| keys(value, found)),
            _ => {}
        }
    }
    let lab = Lab::without_containers()?;
    let _served = lab.pi.serve_tcp(22)?;
    let mut found = BTreeSet::new();
    for args in [
        &["attach", "eth0", "--allow", "22", "--json"][..],
        &["allow", "80", "--json"],
        &["deny", "80", "--json"],
        &["status", "--json"],
        &["stats", "--json"],
        &["explain", "80/tcp", "--json"],
        &["exposed", "--json"],
        &["save", "--json"],
        &["check", "--json"],
        &["attach", "eth0", "--allow", "80", "--monitor", "--json"],
        &["apply", "--json"],
        &["doctor", "eth0", "--json"],
        &["detach", "eth0", "--json"],
    ] {
        keys(&serde_json::from_str(&lab.fw(args)?)?, &mut found);
    }
    lab.fw(&["attach", "eth0", "--allow", "22"])?;
    lab.lan.send_udp_from(0, SocketAddr::new(PI4, 9125), b"knock")?;
    lab.await_stats("a drop", |stats| stats.dropped_at("udp", 9125) == 1)?;
    keys(&serde_json::from_str(&lab.fw(&["drops", "--last", "--json"])?)?, &mut found);
    let manual = fs::read_to_string(root().join("docs/json.md"))?;
    let documented: BTreeSet<&str> = manual
        .split('`')
        .skip(1)
        .step_by(2)
        .map(|span| span.trim_start_matches("interfaces[]").trim_start_matches('.').trim_end_matches("[]"))
        .collect();
    let missing: Vec<_> =
        found.iter().filter(|key| !documented.contains(key.as_str()) && *key != "interfaces").collect();
    ensure!(missing.is_empty(), "docs/json.md lacks {missing:?}");
    Ok(())
}

fn the_example_of_a_file_is_one_and_has_every_key() -> Result<()> {
    let manual = fs::read_to_string(root().join("docs/file.md"))?;
    let example = pages::example(&manual).context("docs/file.md has an example")?;
    let file = check::file(Path::new("example.toml"), example.to_owned());
    ensure!(file.mistakes.is_empty(), "{:#?}", file.mistakes);
    ensure!(file.is_for("eth0") && file.is_for("wlan0"), "{:?}", file.interfaces);
    for (key, _) in parse::KEYS {
        ensure!(example.contains(&format!("\n{key} = ")), "the example lacks {key}");
        ensure!(manual.contains(&format!("\n| `{key}` | ")), "the table lacks {key}");
    }
    // What it says of mistakes is what the command says.
    let (_, said) = manual.split_once("fw-user: 3 mistakes\n").context("docs/file.md shows mistakes")?;
    let (said, _) = said.split_once("```").context("which end")?;
    let bad =
        "interfaces = [\"eth0\"]\nallow = [\n    \"70000\",\n    \"22\", \"22@192.168.1.77/24\",\n]\nmonitr = true\n";
    let mistakes = check::file(Path::new("eth0.toml"), bad.to_owned()).mistakes;
    let lines: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
    assert_eq!(lines, said.lines().collect::<Vec<_>>());
    Ok(())
}

/// The blocks of a page in a language.
fn blocks<'a>(page: &'a str, language: &str) -> Vec<&'a str> {
    let fences = page.split("\n```");
    let starting = fences.filter_map(|block| block.strip_prefix(language)?.strip_prefix('\n'));
    starting.collect()
}

fn every_file_on_a_page_is_one() -> Result<()> {
    let mut count = 0;
    for (name, page) in pages::all(&root())? {
        for block in blocks(&page, "toml") {
            let file = check::file(Path::new("eth0.toml"), block.to_owned());
            ensure!(file.mistakes.is_empty(), "{name}: {:#?}", file.mistakes);
            count += 1;
        }
    }
    ensure!(count >= 2, "the pages have {count} files");
    Ok(())
}

/// To another page, and to a heading where one is named.
fn every_link_leads_somewhere() -> Result<()> {
    let mut count = 0;
    for (name, page) in pages::all(&root())? {
        let here = Path::new(&name);
        for target in page.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if target.starts_with("https://") {
                continue;
            }
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let path = if file.is_empty() { here.to_owned() } else { here.with_file_name(file) };
            ensure!(path.exists(), "{name} leads to {target}, which is not there");
            let text = if heading.is_empty() { String::new() } else { fs::read_to_string(path)? };
            let is_it = |line: &str| {
                let words = line.trim_start_matches('#').trim().to_lowercase();
                line.starts_with('#') && words.replace(' ', "-").replace(['`', ',', '.', ':'], "") == heading
            };
            ensure!(heading.is_empty() || text.lines().any(is_it), "{name} leads to {target}: no such heading");
            count += 1;
        }
    }
    ensure!(count >= 20, "the pages have {count} links");
    Ok(())
}

/// The README's way back in without the command.
fn removing_the_pin_by_hand_takes_the_filter_off() -> Result<()> {
    let readme = fs::read_to_string(root().join("README.md"))?;
    let pin = readme
        .split('`')
        .find_map(|span| span.strip_prefix("sudo rm /sys/fs/bpf/"))
        .context("the README says which file to remove")?;
    let lab = Lab::new()?;
    let server = lab.container(0).serve_tcp(CLOSED_TARGET)?;
    lab.attach(Mode::Native, "22")?;
    lab.is_closed(&server, Transport::Tcp, PI4, 9125)?;
    fs::remove_file(lab.fw.bpffs().join(pin))?;
    // The kernel takes its time over a link that only the pin held.
    wait::until(
        "the filter is off",
        || Ok((!lab.pi.run("ip -details link show eth0")?.contains("xdp")).then_some(())),
    )?;
    lab.lan.reaches(&server, Transport::Tcp, PI4, 9125)?;
    // What is left is recognized, and goes.
    lab.fw(&["detach", "--all"])?;
    lab.nothing_is_left_behind()
}
