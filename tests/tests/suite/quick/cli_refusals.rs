//! Bad input: a message that names the thing and the fix, the documented exit code, and nothing changed.

use std::{fs, os::unix::fs::PermissionsExt, process::Command};

use anyhow::{Context, Result, ensure};
use aya::{
    EbpfLoader,
    programs::{Xdp, XdpMode},
};
use fw_tests::{
    lab::{Lab, Mode, Refusal, fw, wait},
    tests,
};

const FAILED: i32 = 1;
const USAGE: i32 = 2;
const TAKEN: i32 = 3;
const PRIVILEGE: i32 = 4;

tests! {
    what_cannot_be_understood_changes_nothing;
    a_filter_at_work_is_not_touched_by_a_bad_command;
    interfaces_that_cannot_be_filtered_are_refused;
    commands_about_a_filter_that_is_not_there_are_refused;
    native_and_generic_mode_do_not_take_each_others_place;
    several_interfaces_are_attached_all_or_none;
    the_missing_capability_is_named;
    without_a_bpf_file_system_one_is_mounted;
    a_folder_that_cannot_hold_pins_is_refused;
}

tests! { in both modes:
    another_xdp_program_is_not_replaced;
}

/// Arguments after `attach eth0`, and what the message must mention: the word that is wrong, and what to write instead.
const BAD_POLICIES: &[(&[&str], &[&str])] = &[
    (&["--allow", "0"], &["`0`", "1 to 65535"]),
    (&["--allow", "22,70000"], &["`70000`", "1 to 65535"]),
    (&["--allow", "22,80-65536"], &["`80-65536`", "65536", "1 to 65535"]),
    (&["--allow", "0-80"], &["`0-80`", "1 to 65535"]),
    (&["--allow", "2000-1000"], &["`2000-1000`", "backwards", "1000-2000"]),
    (&["--allow", "80:90/tcp"], &["`80:90/tcp`", "hyphen", "write 80-90/tcp"]),
    (&["--allow", "-1"], &["-1"]),
    (&["--allow", "no-such-service"], &["`no-such-service`", "/etc/services", "number"]),
    (&["--allow", "22/tpc"], &["`tpc`", "tcp, udp, sctp, dccp"]),
    (&["--allow", "22/icmp"], &["`icmp`", "--allow-proto"]),
    (&["--allow", "22/tcp/udp"], &["`22/tcp/udp`"]),
    (&["--allow", "22/tcp@192.168.1"], &["`192.168.1`", "192.168.1.0/24"]),
    (&["--allow", "22@192.168.1.0/33"], &["`192.168.1.0/33`", "192.168.1.0/24"]),
    (&["--allow", "22@192.168.1.77/24"], &["192.168.1.77/24", "192.168.1.0/24"]),
    (&["--allow", "22@[2001:db8::]/129"], &["`[2001:db8::]/129`", "[2001:db8::]/32"]),
    (&["--allow", "22@2001:db8::/32"], &["brackets", "[2001:db8::]/32"]),
    (&["--allow", "22@127.0.0.0/8"], &["no host sends from 127.0.0.0/8", "remove this piece"]),
    (&["--allow", "22@[::ffff:192.0.2.0]/120"], &["no host sends from", "@192.0.2.0/24"]),
    (&["--allow", ""], &["allow list is empty", "--allow 22"]),
    (&["--allow", ","], &["allow list is empty", "--allow 22"]),
    (&[], &["--allow"]),
    (&["--allow", "22", "--allow-proto", "gree"], &["`gree`", "/etc/protocols"]),
    (&["--allow", "22", "--allow-proto", "256"], &["`256`", "0 to 255"]),
    (&["--allow", "22", "--allow-proto", "udp"], &["udp", "--allow PORT/PROTO"]),
    (&["--allow", "22", "--forward", "maybe"], &["maybe", "drop, pass", "10.8.0.0/24"]),
    (&["--allow", "22", "--forward", "10.8.0.1/24"], &["10.8.0.1/24", "the network 10.8.0.0/24"]),
    (&["--allow", "22", "--forward", "pass,10.8.0.0/24"], &["pass stands alone"]),
    (&["--allow", "22", "--forward", "10.8.0.0/24,"], &["10.8.0.0/24", "or a network"]),
    (&["--allow", "22", "--forward", "224.0.0.0/4"], &["nothing is routed on to 224.0.0.0/4"]),
    (&["--allow", "22", "--forward", "fe80::/10"], &["nothing is routed on to fe80::/10"]),
    (&["--allow", "22", "--refuse", "all"], &["`all`", "nobody or lan"]),
    (&["--allow", "22", "--mode", "offload"], &["offload", "auto, native, tc, generic"]),
    (&["--allow", "22", "--flows", "1"], &["--flows", "1024"]),
    (&["--allow", "22", "--flows", "many"], &["--flows", "many"]),
    (&["--allow", "22", "--no-such-option"], &["--no-such-option"]),
];

fn what_cannot_be_understood_changes_nothing() -> Result<()> {
    let lab = Lab::without_containers()?;
    for (args, words) in BAD_POLICIES {
        lab.refuses(&[&["attach", "eth0"], *args].concat(), USAGE, words)?;
    }
    lab.refuses(&["attach", "--allow", "22"], USAGE, &["INTERFACE"])?;
    lab.refuses(&["detach"], USAGE, &["INTERFACE"])?;
    lab.refuses(&["detach", "eth0", "--all"], USAGE, &["--all"])?;
    lab.refuses(&["no-such-command"], USAGE, &["no-such-command"])?;
    lab.refuses(&["list"], USAGE, &["'list'", "type: fw-user status"])?;
    lab.refuses(&["version"], USAGE, &["'version'", "type: fw-user --version"])?;
    lab.refuses(&["help", "no-such-command"], USAGE, &["no-such-command"])?;
    lab.refuses(&[], USAGE, &["attach", "detach", "allow", "deny", "status", "stats"])?;
    lab.nothing_is_left_behind()
}

fn a_filter_at_work_is_not_touched_by_a_bad_command() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.attach(Mode::Native, "22,80/tcp,443/tcp@192.0.2.0/24")?;
    for (args, words) in BAD_POLICIES {
        lab.refuses(&[&["attach", "eth0"], *args].concat(), USAGE, words)?;
    }
    for verb in ["allow", "deny"] {
        lab.refuses(&[verb, "70000"], USAGE, &["`70000`", "1 to 65535"])?;
        lab.refuses(&[verb, "8080", "9000-8000"], USAGE, &["`9000-8000`", "8000-9000"])?;
        lab.refuses(&[verb], USAGE, &["PORTS"])?;
        for (typed, command) in [
            (&["ssh", "from", "192.0.2.0/24"][..], "ssh@192.0.2.0/24"),
            (&["80", "eth0"], "80 --interface eth0"),
            (&["80/tcp", "on", "eth0"], "80/tcp --interface eth0"),
        ] {
            lab.refuses(&[&[verb], typed].concat(), USAGE, &[&format!("type: fw-user {verb} {command}")])?;
        }
        lab.refuses(&[verb, "no-such-service", "from", "192.0.2.0/24"], USAGE, &["`no-such-service@192.0.2.0/24`"])?;
        lab.refuses(&[verb, "8080", "--interface", "eth7"], FAILED, &["eth7", "status"])?;
    }
    lab.refuses(&["deny", "8081"], FAILED, &["8081", "not open", "status"])?;
    lab.refuses(&["deny", "443"], FAILED, &["open on eth0 only", "type: fw-user deny 443/tcp@192.0.2.0/24"])?;
    lab.refuses(&["deny", "443/udp"], FAILED, &["443/udp is not open"])?;
    lab.refuses(&["attach", "eth0", "--allow", "22", "--flows", "2048"], FAILED, &["flows"])?;
    lab.refuses(&["stats", "eth7"], FAILED, &["eth7", "status"])?;
    lab.refuses(&["stats", "--interval", "0"], USAGE, &["0.1"])?;
    lab.refuses(&["stats", "--interval", "1", "--once"], USAGE, &["--once"])?;
    lab.refuses(&["detach", "eth7"], FAILED, &["eth7", "status"])
}

fn interfaces_that_cannot_be_filtered_are_refused() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.refuses(&["attach", "eth7", "--allow", "22"], FAILED, &["`eth7`", "there is lo", "eth0"])?;
    lab.refuses(&["attach", "lo", "--allow", "22"], FAILED, &["lo", "neither Ethernet nor plain IP"])
}

fn commands_about_a_filter_that_is_not_there_are_refused() -> Result<()> {
    let lab = Lab::without_containers()?;
    for args in [&["detach", "eth0"][..], &["allow", "22"], &["deny", "22"], &["stats"], &["stats", "eth0"]] {
        lab.refuses(args, FAILED, &["not attached", "attach --all --allow 22"])?;
    }
    Ok(())
}

fn several_interfaces_are_attached_all_or_none() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.refuses(&["attach", "eth0", "eth7", "--allow", "22"], FAILED, &["`eth7`"])?;
    lab.refuses(&["attach", "eth0", "lo", "--allow", "22"], FAILED, &["lo", "neither Ethernet nor plain IP"])?;
    lab.nothing_is_left_behind()
}

/// A program from the same object, but not ours: nothing pinned it.
fn another_xdp_program_is_not_replaced(mode: Mode) -> Result<()> {
    let lab = Lab::without_containers()?;
    let mut object = EbpfLoader::new().btf(None).load(fw_user::testing::object::OBJECT)?;
    let program: &mut Xdp = fw_user::testing::object::load_xdp(&mut object, fw_user::testing::object::INGRESS)?;
    let id = program.info()?.id();
    let xdp_mode = match mode {
        Mode::Native => XdpMode::Driver,
        Mode::Generic | Mode::Tc => XdpMode::Skb,
    };
    lab.pi.enter(|| program.attach("eth0", xdp_mode))?;
    lab.add_second_lan()?;
    let words = ["eth0", "another XDP program", "`fw_ingress`", &format!("(id {id})"), "then attach again"];
    for mode in ["auto", "native", "generic", "tc"] {
        lab.refuses(&["attach", "eth0", "--allow", "22", "--mode", mode], TAKEN, &words)?;
        // The interface that is free is not taken either.
        lab.refuses(&["attach", "eth1", "eth0", "--allow", "22", "--mode", mode], TAKEN, &words)?;
    }
    let links = lab.pi.run("ip -details link show eth0")?;
    ensure!(links.contains(&format!("prog/xdp id {id} ")), "the other program is gone: {links}");
    drop(object);
    // A child process of another test may hold the link for as long as it takes to become its own program.
    wait::until("the other program to be off", || {
        Ok((!lab.pi.run("ip -details link show eth0")?.contains("prog/xdp")).then_some(()))
    })?;
    lab.fw(&["attach", "eth0", "--allow", "22", "--mode", &mode.to_string()])?;
    lab.fw(&["detach", "eth0"])?;
    lab.nothing_is_left_behind()
}

/// The kernel has one XDP program an interface, in one mode.
fn native_and_generic_mode_do_not_take_each_others_place() -> Result<()> {
    let lab = Lab::without_containers()?;
    for (mode, other) in [(Mode::Native, "generic"), (Mode::Generic, "native")] {
        lab.attach(mode, "22")?;
        let words = ["eth0", &format!("{mode} mode"), "fw-user detach eth0"];
        lab.refuses(&["attach", "eth0", "--allow", "22", "--mode", other], FAILED, &words)?;
        lab.attach(mode, "80")?;
        assert_eq!(lab.stats("eth0")?.mode, mode.to_string());
        lab.fw(&["detach", "eth0"])?;
    }
    Ok(())
}

/// A command line that starts `fw-user` in the Pi's namespace by way of another program.
fn by_way_of(lab: &Lab, program: &str, before: &[&str], binary: &str, args: &[&str]) -> Command {
    let mut command = lab.pi.command(program);
    command.args(before).arg(binary);
    lab.fw.finish(&mut command, args);
    command
}

fn the_missing_capability_is_named() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.attach(Mode::Native, "22")?;
    // A copy where everybody may run it.
    let folder = tempfile::tempdir()?;
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
    let copy = folder.path().join("fw-user");
    fs::copy(fw::binary(), &copy)?;
    let copy = copy.to_str().context("a path in UTF-8")?;
    let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    let without_net_admin = ["--bounding-set=-net_admin", "--inh-caps=-net_admin"];
    let before = lab.traces()?;
    for args in [
        &["attach", "eth0", "--allow", "22"][..],
        &["detach", "eth0"],
        &["detach", "--all"],
        &["allow", "80"],
        &["deny", "22"],
        &["stats"],
        &["status"],
    ] {
        let refusal = Refusal::of(&by_way_of(&lab, "setpriv", &nobody, copy, args).output()?)?;
        assert_eq!(refusal.code, PRIVILEGE, "{args:?}: {}", refusal.message);
        for word in ["CAP_BPF", "CAP_NET_ADMIN", "sudo"] {
            assert!(refusal.message.contains(word), "{args:?} does not mention {word}: {}", refusal.message);
        }
        let refusal = Refusal::of(&by_way_of(&lab, "setpriv", &without_net_admin, copy, args).output()?)?;
        assert_eq!(refusal.code, PRIVILEGE, "{args:?}: {}", refusal.message);
        assert!(refusal.message.contains("CAP_NET_ADMIN"), "{args:?}: {}", refusal.message);
        assert!(!refusal.message.contains("CAP_BPF"), "{args:?} names what is not missing: {}", refusal.message);
    }
    assert_eq!(lab.traces()?, before);
    Ok(())
}

/// In a mount namespace of its own, whose `/sys/fs/bpf` is an ordinary folder.
fn without_a_bpf_file_system_one_is_mounted() -> Result<()> {
    let lab = Lab::without_containers()?;
    let binary = fw::binary().to_str().context("a path in UTF-8")?;
    // The filter goes with the mount namespace, since nothing else holds its pins.
    let script = format!(
        "set -e; mount -t tmpfs none {bpffs}
         {binary} attach eth0 --allow 22 --json >&2
         findmnt --noheadings --output FSTYPE {bpffs} | tail -n 1
         {binary} status --json",
        bpffs = fw::BPFFS
    );
    let mut command = lab.pi.command("unshare");
    // With a first process of its own, so that the mount does not end with the command that makes it.
    command.args(["--mount", "--pid", "--fork", "--mount-proc", "--", "sh", "-c", &script]);
    let said = fw_tests::lab::command::run(&mut command)?;
    let (kind, status) = said.split_once('\n').context("two answers")?;
    assert_eq!(kind.trim(), "bpf", "the file system that was mounted");
    let status: serde_json::Value = serde_json::from_str(status)?;
    assert_eq!(status["interfaces"][0]["name"], "eth0");
    Ok(())
}

fn a_folder_that_cannot_hold_pins_is_refused() -> Result<()> {
    let lab = Lab::without_containers()?;
    let file = tempfile::NamedTempFile::new()?;
    let path = file.path().to_str().context("a path in UTF-8")?;
    let before = lab.traces()?;
    let output = lab.pi.command(fw::binary()).args(["--bpffs", path, "attach", "eth0", "--allow", "22"]).output()?;
    let refusal = Refusal::of(&output)?;
    assert_eq!(refusal.code, FAILED, "{}", refusal.message);
    for word in [path, "mount -t bpf"] {
        assert!(refusal.message.contains(word), "{}", refusal.message);
    }
    assert_eq!(lab.traces()?, before);
    Ok(())
}
