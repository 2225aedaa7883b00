//! Pins that lie: damaged, or foreign. Each is recognised, said in words, and repaired where that is safe; the filter goes on meanwhile.

use std::{fs, os::unix::fs::symlink, path::Path};

use anyhow::{Context as _, Result, ensure};
use aya::{maps::MapData, programs::links::PinnedLink};
use fw_tests::{
    lab::{
        Lab, Mode, Transport,
        pins::pin_other_map,
        traffic::{OPEN, Traffic},
        trivial,
    },
    tests,
};

const FAILED: i32 = 1;
const CHANGED: i32 = 5;

tests! {
    damaged_pins_are_named_and_repaired_without_a_gap;
    detach_all_cleans_up_whatever_is_damaged;
    what_is_not_ours_is_named_and_left;
    what_is_not_ours_in_the_place_of_a_pin_is_not_used;
    shared_maps_that_others_use_are_not_torn_apart;
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

fn damaged_pins_are_named_and_repaired_without_a_gap() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.add_second_lan()?;
    let traffic = Traffic::without_filter(&lab)?;
    // Each in one mode, by turns: the repair differs by the program alone.
    for ((name, damage, words), mode) in DAMAGES.iter().zip([Mode::Native, Mode::Tc].into_iter().cycle()) {
        let work = || -> Result<()> {
            lab.attach(mode, OPEN)?;
            damage(&lab.pin_folder())?;
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
    let mut lab = Lab::without_containers()?;
    // The state of the interface does not matter, only that the filter goes.
    lab.fw.set_program(trivial::binary());
    lab.add_second_lan()?;
    let without_link: DamageCase =
        ("the link is missing", |folder| Ok(fs::remove_file(folder.join("ingress-link"))?), "only leftovers");
    let other_link: DamageCase =
        ("a map is pinned as the link", |folder| pin_other_map(&folder.join("ingress-link"), "hash"), "only leftovers");
    let empty: DamageCase = (
        "the folder is empty",
        |folder| {
            fs::remove_dir_all(folder)?;
            Ok(fs::create_dir(folder)?)
        },
        "only leftovers",
    );
    for (name, damage, words) in DAMAGES.iter().chain([&without_link, &other_link, &empty]) {
        let work = || -> Result<()> {
            lab.fw(&["attach", "eth0", "eth1", "--allow", OPEN])?;
            damage(&lab.pin_folder())?;
            let is_off = |lab: &Lab| anyhow::Ok(!lab.pi.run("ip link show eth0")?.contains("xdp"));
            if words == &"only leftovers" {
                // The kernel takes off in its own time what nothing holds any more.
                fw_tests::lab::wait::until("the program to be off", || Ok(is_off(&lab)?.then_some(())))?;
            }
            let status = lab.fw(&["status"])?;
            for words in [words, "eth1  active"] {
                ensure!(status.contains(words), "no {words:?} in {status}");
            }
            lab.fw(&["detach", "--all"])?;
            lab.nothing_is_left_behind()
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
    let (link, map, inner) =
        (lab.pin_folder().join("link"), lab.pin_folder().join("other"), lab.pin_folder().join("folder"));
    symlink(target.path(), &link)?;
    pin_other_map(&map, "hash")?;
    fs::create_dir(&inner)?;
    let strangers = [&link, &map, &inner].map(|path| path.display().to_string());
    let status = lab.fw(&["status"])?;
    for path in &strangers {
        ensure!(status.contains(&format!("{path}: not created by fw-user")), "{status}");
    }
    // It hinders nothing.
    traffic.during(|| lab.attach(Mode::Native, &format!("22,{OPEN}")).map(drop))?;
    // The filter is off after the first, and the second has nothing to change.
    for (args, code) in [(&["detach", "eth0"][..], CHANGED), (&["detach", "--all"], FAILED)] {
        let output = lab.fw.command(&lab.pi, args).output()?;
        let said = String::from_utf8(output.stderr)?;
        ensure!(output.status.code() == Some(code), "{args:?} ended with {}", output.status);
        for words in strangers.iter().map(String::as_str).chain(["not created by fw-user", "rm -r"]) {
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
        let path = lab.pin_folder().join(pin);
        let aside = lab.fw.bpffs().join("aside");
        fs::rename(&path, &aside)?;
        symlink(&elsewhere, &path)?;
        let name = path.display().to_string();
        lab.refuses(&["attach", "eth0", "--allow", "22"], FAILED, &[&name, "not created by fw-user", "rm -r"])?;
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

/// New ones would be used by the new programs alone, and replies to one interface's requests that come in by the other be lost.
fn shared_maps_that_others_use_are_not_torn_apart() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.add_second_lan()?;
    lab.fw(&["attach", "eth0", "eth1", "--allow", "22"])?;
    fs::remove_file(lab.pin_folder().join("../shared/FLOWS4"))?;
    for interface in ["eth0", "eth1"] {
        let words = ["FLOWS4", "missing", "fw-user detach --all"];
        lab.refuses(&["attach", interface, "--allow", "22"], FAILED, &words)?;
    }
    lab.fw(&["detach", "--all"])?;
    lab.nothing_is_left_behind()
}
