//! Pins that lie: of another ABI, damaged, of an interface that is gone, foreign. Each is recognised, said in words, and repaired where
//! that is safe; the filter goes on meanwhile.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use aya::{maps::MapData, programs::links::PinnedLink};
use fw_common::abi::ABI_VERSION;
use fw_tests::{
    lab::{
        Lab, Mode, Refusal, Transport, command, fw,
        traffic::{OPEN, Traffic},
    },
    tests,
};

const FAILED: i32 = 1;
const TAKEN: i32 = 3;

tests! { in both modes:
    another_version_is_taken_over_without_a_gap;
    damaged_pins_are_named_and_repaired_without_a_gap;
}

tests! {
    an_interrupted_upgrade_goes_on_from_wherever_it_stopped;
    commands_say_that_another_version_is_attached_and_detach_takes_it_off;
    detach_all_cleans_up_whatever_is_damaged;
    what_is_not_ours_is_named_and_left;
    what_is_not_ours_in_the_place_of_a_pin_is_not_used;
    a_folder_that_is_a_symbolic_link_is_not_followed;
    shared_maps_that_others_use_are_not_torn_apart;
    an_interface_of_the_same_name_is_not_taken_for_the_old_one;
    a_renamed_interface_keeps_its_filter_and_loses_it_by_detach;
    a_filter_in_another_namespace_is_not_disturbed;
    a_program_taken_off_by_somebody_is_noticed_and_attached_again;
    what_closes_nothing_does_not_say_that_it_did;
    the_first_two_commands_at_once_share_one_file_system;
    a_file_system_that_would_end_with_the_command_is_refused;
    one_that_is_read_only_is_named_with_its_cure;
    a_filter_without_pins_is_named_and_can_be_adopted_or_taken_off;
    a_filter_behind_another_mount_is_named;
    detach_takes_the_filter_off_though_somebody_holds_the_link;
}

fn abi(lab: &Lab, abi: u32) -> PathBuf {
    lab.fw.bpffs().join(format!("fw-user/v{abi}"))
}

fn folder(lab: &Lab) -> PathBuf {
    abi(lab, ABI_VERSION).join("if-eth0")
}

/// A map that no version of ours has.
fn pin_other_map(path: &Path, kind: &str) -> Result<()> {
    if path.exists() {
        fs::remove_file(path)?;
    }
    let path = path.to_str().context("a path in UTF-8")?;
    let args = ["map", "create", path, "type", kind, "key", "4", "value", "12", "entries", "3", "name", "other"];
    command::run(std::process::Command::new("bpftool").args(args)).map(drop)
}

/// What `attach` left looks as if another version had done it, with maps that this one cannot read.
fn make_it_look_like(lab: &Lab, other: u32) -> Result<()> {
    fs::rename(abi(lab, ABI_VERSION), abi(lab, other))?;
    fs::rename(abi(lab, other).join("if-eth0/SETTINGS"), abi(lab, other).join("if-eth0/OLD_SETTINGS"))?;
    for map in ["if-eth0/META", "if-eth0/PORTS", "shared/FLOWS4"] {
        pin_other_map(&abi(lab, other).join(map), "hash")?;
    }
    Ok(())
}

fn another_version_is_taken_over_without_a_gap(mode: Mode) -> Result<()> {
    let lab = Lab::without_containers()?;
    let traffic = Traffic::without_filter(&lab)?;
    for other in [ABI_VERSION - 1, ABI_VERSION + 1] {
        lab.attach(mode, OPEN)?;
        make_it_look_like(&lab, other)?;
        traffic.during(|| {
            let said = lab.attach(mode, &format!("22,{OPEN}"))?;
            ensure!(said.contains("renewed without a gap"), "{said}");
            Ok(())
        })?;
        traffic.is_filtered()?;
        let status = lab.fw(&["status"])?;
        ensure!(status.contains(&format!("eth0  active, {mode} mode")) && !status.contains("wrong"), "{status}");
        ensure!(!abi(&lab, other).exists(), "the old pins are left");
        // Replies come home by the new tables.
        let server = lab.lan.serve_tcp(5000)?;
        lab.pi.reaches(&server, Transport::Tcp, fw_tests::lab::LAN4, 5000)?;
        lab.fw(&["detach", "eth0"])?;
        lab.nothing_is_left_behind()?;
        traffic.is_unfiltered()?;
    }
    Ok(())
}

/// What a SIGKILL between two steps leaves.
fn an_interrupted_upgrade_goes_on_from_wherever_it_stopped() -> Result<()> {
    let lab = Lab::without_containers()?;
    let traffic = Traffic::without_filter(&lab)?;
    let old = |name: &str| abi(&lab, ABI_VERSION - 1).join("if-eth0").join(name);
    let new = |name: &str| folder(&lab).join(name);
    // Pins that have not moved yet, and pins of maps that are not made yet.
    let moments: [(&str, &[&str], &[&str]); 4] = [
        ("no map is whole yet", &["ingress-link", "egress-link"], &["META", "PORTS", "ACTIVE"]),
        ("the maps are made", &["ingress-link", "egress-link"], &[]),
        ("the egress link has moved", &["ingress-link"], &[]),
        ("both links have moved", &[], &[]),
    ];
    for (moment, not_moved, not_made) in moments {
        let work = || -> Result<()> {
            lab.attach(Mode::Native, OPEN)?;
            fs::create_dir_all(old(""))?;
            for link in not_moved {
                fs::rename(new(link), old(link))?;
            }
            for map in not_made {
                fs::remove_file(new(map))?;
            }
            pin_other_map(&old("META"), "hash")?;
            traffic.during(|| lab.attach(Mode::Native, &format!("22,{OPEN}")).map(drop))?;
            traffic.is_filtered()?;
            ensure!(!old("").exists(), "the old pins are left");
            let status = lab.fw(&["status"])?;
            ensure!(
                status.contains("eth0  active, native mode, replies by tcx") && !status.contains("wrong"),
                "{status}"
            );
            // The same, and taken off instead.
            fs::create_dir_all(old(""))?;
            for link in not_moved {
                fs::rename(new(link), old(link))?;
            }
            for map in not_made {
                fs::remove_file(new(map))?;
            }
            lab.fw(&["detach", "eth0"])?;
            lab.nothing_is_left_behind()?;
            traffic.is_unfiltered()
        };
        work().context(moment)?;
    }
    Ok(())
}

fn commands_say_that_another_version_is_attached_and_detach_takes_it_off() -> Result<()> {
    let lab = Lab::without_containers()?;
    let traffic = Traffic::without_filter(&lab)?;
    for detach in [&["detach", "eth0"][..], &["detach", "--all"]] {
        lab.attach(Mode::Native, OPEN)?;
        make_it_look_like(&lab, ABI_VERSION - 1)?;
        let older = format!("ABI {}", ABI_VERSION - 1);
        let words = ["eth0 is attached by another version", &older, "fw-user attach eth0", "fw-user detach eth0"];
        for args in [
            &["stats"][..],
            &["stats", "eth0"],
            &["allow", "80"],
            &["deny", "80"],
            &["allow", "80", "--interface", "eth0"],
            &["monitor"],
            &["enforce"],
        ] {
            lab.refuses(args, FAILED, &words)?;
        }
        lab.refuses(
            &["attach", "eth0", "--allow", "22", "--confirm", "60"],
            FAILED,
            &["version", "without --confirm"],
        )?;
        lab.refuses(&["attach", "eth0", "--allow", "22", "--mode", "generic"], FAILED, &["native mode", "detach"])?;
        let status = lab.fw(&["status"])?;
        let older = format!("eth0  attached by another version (ABI {})", ABI_VERSION - 1);
        for word in [older.as_str(), "fw-user attach eth0", "fw-user detach eth0"] {
            ensure!(status.contains(word), "{status}");
        }
        traffic.during(|| Ok(()))?;
        lab.fw(detach)?;
        lab.nothing_is_left_behind()?;
        traffic.is_unfiltered()?;
    }
    Ok(())
}

/// A name, what is done to the pins, and a word of what `status` must say then.
type DamageCase = (&'static str, fn(&Path) -> Result<()>, &'static str);

const DAMAGES: &[DamageCase] = &[
    ("a map is missing", |folder| Ok(fs::remove_file(folder.join("ACTIVE"))?), "ACTIVE: it is missing"),
    ("the record is missing", |folder| Ok(fs::remove_file(folder.join("META"))?), "META: it is missing"),
    (
        "a map has another size",
        |folder| pin_other_map(&folder.join("PORTS"), "array"),
        "PORTS: its keys and values have 4 and 12",
    ),
    ("the record has another size", |folder| pin_other_map(&folder.join("META"), "array"), "META: its keys and values"),
    (
        "a map is of another kind",
        |folder| pin_other_map(&folder.join("COUNTERS"), "hash"),
        "COUNTERS: it is a map of kind 1",
    ),
    ("a link is pinned as a map", link_as_map, "ROUTES: it is a link of type tcx, not a map"),
    (
        "the egress link is missing",
        |folder| Ok(fs::remove_file(folder.join("egress-link"))?),
        "egress-link: it is missing",
    ),
    (
        "a map is pinned as the egress link",
        |folder| pin_other_map(&folder.join("egress-link"), "array"),
        "egress-link: it is a map",
    ),
    ("a shared map is missing", |folder| Ok(fs::remove_file(folder.join("../shared/SENT"))?), "SENT: it is missing"),
    (
        "a shared map has another size",
        |folder| pin_other_map(&folder.join("../shared/FLOWS6"), "lru_hash"),
        "FLOWS6: its keys",
    ),
    ("everything but the link is missing", remove_all_but_the_link, "META: it is missing"),
];

fn link_as_map(folder: &Path) -> Result<()> {
    fs::remove_file(folder.join("ROUTES"))?;
    PinnedLink::from_pin(folder.join("egress-link"))?;
    fs::hard_link(folder.join("egress-link"), folder.join("ROUTES"))?;
    Ok(())
}

fn remove_all_but_the_link(folder: &Path) -> Result<()> {
    for pin in fs::read_dir(folder)? {
        let pin = pin?.path();
        if !pin.ends_with("ingress-link") {
            fs::remove_file(pin)?;
        }
    }
    Ok(fs::remove_dir_all(folder.join("../shared"))?)
}

fn damaged_pins_are_named_and_repaired_without_a_gap(mode: Mode) -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.add_second_lan()?;
    let traffic = Traffic::without_filter(&lab)?;
    lab.attach(mode, OPEN)?;
    for (name, damage, words) in DAMAGES {
        let work = || -> Result<()> {
            damage(&folder(&lab))?;
            let status = lab.fw(&["status"])?;
            for words in ["eth0  active, but damaged", words, "fw-user attach eth0"] {
                ensure!(status.contains(words), "no {words:?} in {status}");
            }
            traffic.during(|| lab.attach(mode, &format!("22,{OPEN}")).map(drop))?;
            traffic.is_filtered()?;
            let status = lab.fw(&["status"])?;
            ensure!(status.contains(&format!("eth0  active, {mode} mode, replies by tcx")), "{status}");
            ensure!(!status.contains("wrong"), "{status}");
            let server = lab.lan.serve_tcp(5000)?;
            lab.pi.reaches(&server, Transport::Tcp, fw_tests::lab::LAN4, 5000)
        };
        work().context(*name)?;
    }
    lab.fw(&["detach", "eth0"])?;
    lab.nothing_is_left_behind()
}

/// One broken interface hides no other, and none keeps the others on.
fn detach_all_cleans_up_whatever_is_damaged() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.add_second_lan()?;
    let traffic = Traffic::without_filter(&lab)?;
    let without_link: DamageCase =
        ("the link is missing", |folder| Ok(fs::remove_file(folder.join("ingress-link"))?), "only remains");
    let other_link: DamageCase =
        ("a map is pinned as the link", |folder| pin_other_map(&folder.join("ingress-link"), "hash"), "only remains");
    let empty: DamageCase = (
        "the folder is empty",
        |folder| {
            fs::remove_dir_all(folder)?;
            Ok(fs::create_dir(folder)?)
        },
        "only remains",
    );
    for (name, damage, words) in DAMAGES.iter().chain([&without_link, &other_link, &empty]) {
        let work = || -> Result<()> {
            lab.fw(&["attach", "eth0", "eth1", "--allow", OPEN])?;
            damage(&folder(&lab))?;
            let is_off = |lab: &Lab| anyhow::Ok(!lab.pi.run("ip link show eth0")?.contains("xdp"));
            if words == &"only remains" {
                // The kernel takes off in its own time what nothing holds any more.
                fw_tests::lab::wait::until("the program to be off", || Ok(is_off(&lab)?.then_some(())))?;
            }
            let status = lab.fw(&["status"])?;
            for words in [words, "eth1  active"] {
                ensure!(status.contains(words), "no {words:?} in {status}");
            }
            lab.fw(&["detach", "--all"])?;
            lab.nothing_is_left_behind()?;
            traffic.is_unfiltered()
        };
        work().context(*name)?;
    }
    Ok(())
}

fn what_is_not_ours_is_named_and_left() -> Result<()> {
    let lab = Lab::without_containers()?;
    let traffic = Traffic::without_filter(&lab)?;
    let target = tempfile::tempdir()?;
    fs::write(target.path().join("META"), "somebody's")?;
    lab.attach(Mode::Native, OPEN)?;
    let (link, map, inner) = (folder(&lab).join("link"), folder(&lab).join("other"), folder(&lab).join("folder"));
    symlink(target.path(), &link)?;
    pin_other_map(&map, "hash")?;
    fs::create_dir(&inner)?;
    let strangers = [&link, &map, &inner].map(|path| path.display().to_string());
    let status = lab.fw(&["status"])?;
    for path in &strangers {
        ensure!(status.contains(&format!("{path}: it is not of fw-user's making")), "{status}");
    }
    // It hinders nothing.
    traffic.during(|| lab.attach(Mode::Native, &format!("22,{OPEN}")).map(drop))?;
    for args in [&["detach", "eth0"][..], &["detach", "--all"]] {
        let output = lab.fw.command(&lab.pi, args).output()?;
        let said = String::from_utf8(output.stderr)?;
        ensure!(output.status.code() == Some(FAILED), "{args:?} ended with {}", output.status);
        for words in strangers.iter().map(String::as_str).chain(["not of fw-user's making", "rm -r"]) {
            ensure!(said.contains(words), "{args:?}: no {words:?} in {said}");
        }
        traffic.is_unfiltered()?;
    }
    ensure!(map.exists() && inner.exists() && fs::read_link(&link)? == target.path(), "something of theirs is gone");
    ensure!(fs::read_to_string(target.path().join("META"))? == "somebody's", "the link was followed");
    let mut left = lab.fw.pins()?;
    left.retain(|path| path.is_file() && !path.starts_with(&link));
    ensure!(left == [map.clone()], "more is left than what is not ours: {left:?}");
    fs::remove_file(&link)?;
    fs::remove_file(&map)?;
    fs::remove_dir(&inner)?;
    lab.fw(&["detach", "--all"])?;
    lab.nothing_is_left_behind()
}

fn what_is_not_ours_in_the_place_of_a_pin_is_not_used() -> Result<()> {
    let lab = Lab::without_containers()?;
    let traffic = Traffic::without_filter(&lab)?;
    let elsewhere = lab.fw.bpffs().join("theirs");
    pin_other_map(&elsewhere, "hash")?;
    lab.attach(Mode::Native, OPEN)?;
    for pin in ["META", "PORTS", "egress-link"] {
        let path = folder(&lab).join(pin);
        let aside = lab.fw.bpffs().join("aside");
        fs::rename(&path, &aside)?;
        symlink(&elsewhere, &path)?;
        let name = path.display().to_string();
        lab.refuses(&["attach", "eth0", "--allow", "22"], FAILED, &[&name, "not of fw-user's making", "rm -r"])?;
        let status = lab.fw(&["status"])?;
        ensure!(status.contains(&name), "{status}");
        traffic.during(|| Ok(()))?;
        fs::remove_file(&path)?;
        fs::rename(&aside, &path)?;
    }
    lab.fw(&["detach", "eth0"])?;
    ensure!(MapData::from_pin(&elsewhere).is_ok(), "their map is gone");
    fs::remove_file(&elsewhere)?;
    lab.nothing_is_left_behind()
}

fn a_folder_that_is_a_symbolic_link_is_not_followed() -> Result<()> {
    let lab = Lab::without_containers()?;
    let theirs = lab.fw.bpffs().join("theirs");
    fs::create_dir_all(theirs.join("shared"))?;
    pin_other_map(&theirs.join("shared/META"), "hash")?;
    for name in ["fw-user", "fw-user/v3", "fw-user/v3/if-eth0"] {
        let path = lab.fw.bpffs().join(name);
        fs::create_dir_all(path.parent().context("a folder above")?)?;
        symlink(&theirs, &path)?;
        let said = path.display().to_string();
        lab.refuses(&["attach", "eth0", "--allow", "22"], FAILED, &[&said, "rm -r"])?;
        lab.refuses(&["detach", "--all"], FAILED, &[&said, "rm -r"])?;
        ensure!(theirs.join("shared/META").exists(), "something of theirs is gone");
        fs::remove_file(&path)?;
        lab.fw(&["detach", "--all"])?;
    }
    fs::remove_dir_all(theirs)?;
    lab.nothing_is_left_behind()
}

/// New ones would be used by the new programs alone, and replies to one interface's requests that come in by the other be lost.
fn shared_maps_that_others_use_are_not_torn_apart() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.add_second_lan()?;
    lab.fw(&["attach", "eth0", "eth1", "--allow", "22"])?;
    fs::remove_file(folder(&lab).join("../shared/FLOWS4"))?;
    for interface in ["eth0", "eth1"] {
        let words = ["FLOWS4", "missing", "fw-user detach --all"];
        lab.refuses(&["attach", interface, "--allow", "22"], FAILED, &words)?;
    }
    lab.fw(&["detach", "--all"])?;
    lab.nothing_is_left_behind()
}

fn an_interface_of_the_same_name_is_not_taken_for_the_old_one() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.add_second_lan()?;
    for repair in [&["attach", "eth1", "--allow", "22"][..], &["detach", "eth1"], &["detach", "--all"]] {
        lab.fw(&["attach", "eth1", "--allow", "22"])?;
        lab.pi.run("ip link delete eth1")?;
        let status = lab.fw(&["status"])?;
        ensure!(status.contains("eth1  interface is gone") && status.contains("fw-user detach eth1"), "{status}");
        lab.add_second_lan()?;
        let status = lab.fw(&["status"])?;
        ensure!(status.contains("eth1  not attached any more, the interface was made anew"), "{status}");
        lab.fw(repair)?;
        if repair[0] == "attach" {
            let status = lab.fw(&["status"])?;
            ensure!(status.contains("eth1  active"), "{status}");
            lab.fw(&["detach", "eth1"])?;
        }
        lab.nothing_is_left_behind()?;
    }
    Ok(())
}

fn a_renamed_interface_keeps_its_filter_and_loses_it_by_detach() -> Result<()> {
    let lab = Lab::without_containers()?;
    let traffic = Traffic::without_filter(&lab)?;
    lab.attach(Mode::Native, OPEN)?;
    lab.pi.run("ip link set eth0 down")?;
    lab.pi.run("ip link set eth0 name lan0")?;
    lab.pi.set_address("lan0", &[])?;
    let status = lab.fw(&["status"])?;
    ensure!(status.contains("eth0  attached to an interface that has another name here"), "{status}");
    traffic.during(|| Ok(()))?;
    ensure!(!status.contains("lan0"), "{status}");
    for attach in [&["attach", "lan0", "--allow", "22"][..], &["attach", "lan0", "--allow", "22", "--replace"]] {
        lab.refuses(attach, TAKEN, &["lan0 has its filter already", "fw-user detach eth0"])?;
    }
    lab.refuses(&["detach", "lan0"], FAILED, &["lan0", "fw-user status"])?;
    // What is at work can be changed.
    lab.fw(&["allow", "443", "--interface", "eth0"])?;
    lab.fw(&["detach", "eth0"])?;
    lab.nothing_is_left_behind()?;
    traffic.is_unfiltered()
}

fn a_filter_in_another_namespace_is_not_disturbed() -> Result<()> {
    let lab = Lab::without_containers()?;
    let traffic = Traffic::without_filter(&lab)?;
    lab.attach(Mode::Native, OPEN)?;
    let from_lan = |args: &[&str]| Refusal::of(&lab.fw.command(&lab.lan, args).output()?);
    let refusal = from_lan(&["attach", "eth0", "--allow", "22"])?;
    ensure!(refusal.code == FAILED && refusal.message.contains("another network namespace"), "{refusal:?}");
    ensure!(refusal.message.contains("--bpffs"), "{refusal:?}");
    traffic.during(|| Ok(()))?;
    traffic.is_filtered()
}

fn a_program_taken_off_by_somebody_is_noticed_and_attached_again() -> Result<()> {
    let lab = Lab::without_containers()?;
    let traffic = Traffic::without_filter(&lab)?;
    lab.attach(Mode::Native, OPEN)?;
    let link = folder(&lab).join("ingress-link");
    let link = link.to_str().context("a path in UTF-8")?;
    command::run(std::process::Command::new("bpftool").args(["link", "detach", "pinned", link]))?;
    traffic.is_unfiltered()?;
    let status = lab.fw(&["status"])?;
    ensure!(status.contains("eth0  not attached any more") && status.contains("fw-user attach eth0"), "{status}");
    lab.attach(Mode::Native, OPEN)?;
    traffic.is_filtered()?;
    lab.fw(&["detach", "eth0"])?;
    lab.nothing_is_left_behind()
}

/// The pins of a filter that is not at work can be written to, which no packet ever heeds.
fn what_closes_nothing_does_not_say_that_it_did() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.add_second_lan()?;
    lab.fw(&["attach", "eth0", "eth1", "--allow", "22,80"])?;
    let link = folder(&lab).join("ingress-link");
    let link = link.to_str().context("a path in UTF-8")?;
    command::run(std::process::Command::new("bpftool").args(["link", "detach", "pinned", link]))?;
    let words = ["eth0: not attached any more", "fw-user status"];
    for args in [
        &["deny", "80", "--interface", "eth0"][..],
        &["allow", "443", "--interface", "eth0"],
        &["monitor", "eth0"],
        &["enforce", "eth0"],
        &["confirm", "eth0"],
        &["save", "eth0"],
    ] {
        lab.refuses(args, FAILED, &words)?;
    }
    // One that is not at work keeps no other from changing.
    let output = lab.fw.command(&lab.pi, ["deny", "80"]).output()?;
    let (said, note) = (String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?);
    ensure!(output.status.success() && said == "eth1  open: 22\n", "{said}");
    ensure!(words.iter().all(|words| note.contains(words)), "{note}");
    lab.fw(&["detach", "eth1"])?;
    lab.refuses(&["deny", "80"], FAILED, &words)
}

/// Two mounted over each other would hide the pins of the first command.
fn the_first_two_commands_at_once_share_one_file_system() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.add_second_lan()?;
    let folder = tempfile::tempdir()?;
    // Either takes a second from the look for a file system to the mount.
    let script = r#"
        folder=$1
        attach() {
            strace -f -qq -o /dev/null -e trace=mount -e inject=mount:delay_enter=1000000 \
                "$0" --bpffs "$folder" attach "$1" --allow 22
        }
        attach eth0 & attach eth1; wait
        grep -c " $folder bpf " /proc/mounts
        "$0" --bpffs "$folder" status
        "$0" --bpffs "$folder" detach --all"#;
    let mut private = lab.pi.command("unshare");
    // With a first process of their own, theirs is not a mount namespace that ends with the command.
    private.args(["--mount", "--pid", "--fork", "--mount-proc", "--", "sh", "-c", script]);
    private.arg(fw::binary()).arg(folder.path());
    let said = command::run(&mut private)?;
    for words in ["\n1\n", "eth0  active", "eth1  active", "eth0  detached", "eth1  detached"] {
        ensure!(said.contains(words), "no {words:?} in {said}");
    }
    Ok(())
}

/// `ip netns exec` hides the BPF file system that is there, and what is mounted in its place is gone with the command.
fn a_file_system_that_would_end_with_the_command_is_refused() -> Result<()> {
    let lab = Lab::without_containers()?;
    let folder = tempfile::tempdir()?;
    lab.write_file("eth0", "allow = [\"22\"]\n")?;
    let private = |script: &str| {
        let mut unshare = lab.pi.command("unshare");
        unshare.args(["--mount", "--", "sh", "-c", script]).arg(fw::binary()).args([folder.path(), lab.fw.config()]);
        unshare
    };
    for args in ["attach eth0 --allow 22", "apply"] {
        let refusal = Refusal::of(&private(&format!("exec \"$0\" --bpffs \"$1\" --config \"$2\" {args}")).output()?)?;
        ensure!(refusal.code == FAILED, "{refusal:?}");
        for words in ["ip netns exec", "nsenter --net=", "mount -t bpf bpf"] {
            ensure!(refusal.message.contains(words), "no {words:?} in {refusal:?}");
        }
    }
    // Who mounts it knows how long it lasts.
    let script =
        "mount -t bpf bpf \"$1\" && \"$0\" --bpffs \"$1\" attach eth0 --allow 22 && \"$0\" --bpffs \"$1\" detach eth0";
    let said = command::run(&mut private(script))?;
    ensure!(said.contains("eth0  attached") && said.contains("eth0  detached"), "{said}");
    lab.nothing_is_left_behind()
}

fn one_that_is_read_only_is_named_with_its_cure() -> Result<()> {
    let lab = Lab::without_containers()?;
    let folder = tempfile::tempdir()?;
    let script = r#"
        mount -t bpf bpf "$1"
        "$0" --bpffs "$1" attach eth0 --allow 22
        mount -o remount,ro "$1"
        "$0" --bpffs "$1" doctor eth0 && exit 1
        mount -o remount,rw "$1"
        "$0" --bpffs "$1" doctor eth0 && "$0" --bpffs "$1" detach eth0"#;
    let mut private = lab.pi.command("unshare");
    private.args(["--mount", "--", "sh", "-c", script]).arg(fw::binary()).arg(folder.path());
    let said = command::run(&mut private)?;
    let path = folder.path().display();
    for words in [
        format!("{path} is mounted read-only"),
        format!("cure: mount -o remount,rw {path}"),
        "eth0  detached".to_owned(),
    ] {
        ensure!(said.contains(&words), "no {words:?} in {said}");
    }
    Ok(())
}

/// Somebody holds the link open, and the pins were removed.
fn a_filter_without_pins_is_named_and_can_be_adopted_or_taken_off() -> Result<()> {
    let lab = Lab::without_containers()?;
    let traffic = Traffic::without_filter(&lab)?;
    for detach in [&["detach", "eth0"][..], &["detach", "--all"]] {
        lab.attach(Mode::Native, OPEN)?;
        let held = ["ingress-link", "egress-link"].map(|link| PinnedLink::from_pin(folder(&lab).join(link)));
        fs::remove_dir_all(lab.fw.bpffs().join("fw-user"))?;
        let status = lab.fw(&["status"])?;
        let me = format!("(process {})", std::process::id());
        for words in ["eth0  filtered, but no pin below", "`fw_ingress`", &me, "fw-user detach eth0"] {
            ensure!(status.contains(words), "no {words:?} in {status}");
        }
        lab.refuses(&["attach", "eth0", "--allow", "22"], TAKEN, &["fw_ingress", "fw-user", &me, "--replace"])?;
        traffic.during(|| lab.fw(&["attach", "eth0", "--allow", OPEN, "--replace"]).map(drop))?;
        traffic.is_filtered()?;
        fs::remove_dir_all(lab.fw.bpffs().join("fw-user"))?;
        lab.fw(detach)?;
        lab.nothing_is_left_behind()?;
        traffic.is_unfiltered()?;
        let filters = lab.pi.run("bpftool net")?;
        ensure!(!filters.contains("fw_egress"), "{filters}");
        drop(held);
    }
    Ok(())
}

fn a_filter_behind_another_mount_is_named() -> Result<()> {
    let lab = Lab::without_containers()?;
    let traffic = Traffic::without_filter(&lab)?;
    lab.attach(Mode::Native, OPEN)?;
    let binary = fw::binary().to_str().context("a path in UTF-8")?;
    let script = format!(
        "set -e; mount -t bpf none {bpffs}; {binary} status; ! {binary} attach eth0 --allow 22 2>&1; {binary} detach --all",
        bpffs = fw::BPFFS
    );
    let mut hidden = lab.pi.command("unshare");
    hidden.args(["--mount", "--", "sh", "-c", &script]);
    let said = command::run(&mut hidden)?;
    for words in ["eth0  filtered, but no pin below", "eth0 is taken", "fw_ingress", "eth0  detached"] {
        ensure!(said.contains(words), "no {words:?} in {said}");
    }
    traffic.is_unfiltered()?;
    let status = lab.fw(&["status"])?;
    ensure!(status.contains("eth0  not attached any more"), "{status}");
    lab.fw(&["detach", "--all"])?;
    lab.nothing_is_left_behind()
}

fn detach_takes_the_filter_off_though_somebody_holds_the_link() -> Result<()> {
    let lab = Lab::without_containers()?;
    let traffic = Traffic::without_filter(&lab)?;
    lab.attach(Mode::Native, OPEN)?;
    let held = ["ingress-link", "egress-link"].map(|link| PinnedLink::from_pin(folder(&lab).join(link)));
    lab.fw(&["detach", "eth0"])?;
    lab.nothing_is_left_behind()?;
    traffic.is_unfiltered()?;
    drop(held);
    Ok(())
}
