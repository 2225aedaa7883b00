//! Filters that are not where their pins say: of an interface that is gone, renamed or elsewhere, taken off by somebody, held by somebody.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use aya::programs::links::PinnedLink;
use fw_tests::{
    lab::{
        Lab, Mode, Refusal, command,
        traffic::{OPEN, Traffic},
    },
    tests,
};

const FAILED: i32 = 1;
const TAKEN: i32 = 3;
tests! { in native mode:
    a_renamed_interface_keeps_its_filter_and_loses_it_by_detach;
    a_filter_follows_its_interface_to_another_name_without_a_gap;
    filters_follow_interfaces_that_exchange_their_names;
    a_filter_in_another_namespace_is_not_disturbed;
    a_program_taken_off_by_somebody_is_noticed_and_attached_again;
    a_filter_without_pins_is_named_and_can_be_adopted_or_taken_off;
}

tests! { in tc mode:
    a_renamed_interface_keeps_its_filter_and_loses_it_by_detach;
    a_filter_follows_its_interface_to_another_name_without_a_gap;
    filters_follow_interfaces_that_exchange_their_names;
    a_filter_in_another_namespace_is_not_disturbed;
    a_program_taken_off_by_somebody_is_noticed_and_attached_again;
    a_filter_without_pins_is_named_and_can_be_adopted_or_taken_off;
    detach_takes_the_filter_off_though_somebody_holds_the_link;
}

tests! {
    an_interface_of_the_same_name_is_not_taken_for_the_old_one;
    what_closes_nothing_does_not_say_that_it_did;
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
        ensure!(status.contains("eth1  not attached any more, the interface was recreated"), "{status}");
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

fn a_renamed_interface_keeps_its_filter_and_loses_it_by_detach(mode: Mode) -> Result<()> {
    let lab = Lab::without_containers()?;
    let traffic = Traffic::without_filter(&lab)?;
    // Leftovers of an earlier interface with the new name are in the way.
    lab.pi.run("ip link add lan0 type veth peer name other")?;
    lab.fw(&["attach", "lan0", "--allow", "22"])?;
    lab.pi.run("ip link delete lan0")?;
    lab.attach(mode, OPEN)?;
    rename(&lab, "eth0", "lan0")?;
    let status = lab.fw(&["status"])?;
    ensure!(status.contains("lan0  active") && status.contains("eth0  interface is gone"), "{status}");
    ensure!(!status.contains("NOT FILTERED"), "{status}");
    traffic.during(|| Ok(()))?;
    lab.refuses(&["detach", "other"], FAILED, &["fw is not attached to other"])?;
    // An active filter can be changed and asked.
    lab.fw(&["allow", "443", "--interface", "lan0"])?;
    lab.fw(&["explain", "443/tcp", "--interface", "lan0"])?;
    lab.fw(&["stats", "lan0"])?;
    lab.fw(&["detach", "eth0"])?;
    traffic.during(|| Ok(()))?;
    lab.fw(&["detach", "lan0"])?;
    lab.nothing_is_left_behind()?;
    traffic.is_unfiltered()
}

fn filters_follow_interfaces_that_exchange_their_names(mode: Mode) -> Result<()> {
    let lab = Lab::without_containers()?;
    let traffic = Traffic::without_filter(&lab)?;
    lab.add_second_lan()?;
    lab.fw(&["attach", "eth1", "--allow", "22"])?;
    lab.attach(mode, OPEN)?;
    for (from, to) in [("eth0", "tmp0"), ("eth1", "eth0"), ("tmp0", "eth1")] {
        rename(&lab, from, to)?;
    }
    let status = lab.fw(&["status", "--check"])?;
    ensure!(status.contains("eth0  active") && status.contains("eth1  active"), "{status}");
    traffic.during(|| Ok(()))?;
    // A command was killed while it moved pins.
    let aside = lab.pin_folder().with_file_name("if-another-name-of-eth0");
    fs::rename(lab.pin_folder(), aside)?;
    let said = lab.fw(&["deny", "22", "--interface", "eth0"])?;
    ensure!(said.starts_with("eth0  open: none"), "{said}");
    lab.fw(&["detach", "eth0"])?;
    rename(&lab, "eth0", "eth2")?;
    rename(&lab, "eth1", "eth0")?;
    traffic.is_filtered()?;
    lab.fw(&["detach", "eth0"])?;
    lab.nothing_is_left_behind()?;
    traffic.is_unfiltered()
}

fn rename(lab: &Lab, from: &str, to: &str) -> Result<()> {
    lab.pi.run(&format!("ip link set {from} down"))?;
    lab.pi.run(&format!("ip link set {from} name {to}"))?;
    lab.pi.set_address(to, &[])
}

fn a_filter_follows_its_interface_to_another_name_without_a_gap(mode: Mode) -> Result<()> {
    let lab = Lab::without_containers()?;
    let traffic = Traffic::without_filter(&lab)?;
    lab.attach(mode, OPEN)?;
    rename(&lab, "eth0", "lan0")?;
    let doctor = lab.fw.command(&lab.pi, ["doctor", "lan0"]).output()?;
    let said = String::from_utf8_lossy(&doctor.stdout);
    ensure!(
        said.contains("attached under the former name eth0") && said.contains("to move it to the new name"),
        "{said}"
    );
    let said = traffic.during(|| lab.fw(&["attach", "lan0", "--allow", OPEN]))?;
    ensure!(said.starts_with("lan0  replaced"), "{said}");
    let status = lab.fw(&["status"])?;
    ensure!(status.contains("lan0  active") && !status.contains("eth0"), "{status}");
    traffic.during(|| Ok(()))?;
    lab.fw(&["detach", "lan0"])?;
    lab.nothing_is_left_behind()
}

fn a_filter_in_another_namespace_is_not_disturbed(mode: Mode) -> Result<()> {
    let lab = Lab::without_containers()?;
    let traffic = Traffic::without_filter(&lab)?;
    lab.attach(mode, OPEN)?;
    let from_lan = |args: &[&str]| Refusal::of(&lab.fw.command(&lab.lan, args).output()?);
    let refusal = from_lan(&["attach", "eth0", "--allow", "22"])?;
    ensure!(refusal.code == FAILED && refusal.message.contains("another network namespace"), "{refusal:?}");
    ensure!(refusal.message.contains("--bpffs"), "{refusal:?}");
    traffic.during(|| Ok(()))?;
    traffic.is_filtered()
}

fn a_program_taken_off_by_somebody_is_noticed_and_attached_again(mode: Mode) -> Result<()> {
    let lab = Lab::without_containers()?;
    let traffic = Traffic::without_filter(&lab)?;
    lab.attach(mode, OPEN)?;
    let link = lab.pin_folder().join("ingress-link");
    let link = link.to_str().context("a path in UTF-8")?;
    command::run(std::process::Command::new("bpftool").args(["link", "detach", "pinned", link]))?;
    traffic.is_unfiltered()?;
    let status = lab.fw(&["status"])?;
    ensure!(status.contains("eth0  not attached any more") && status.contains("fw-user attach eth0"), "{status}");
    lab.attach(mode, OPEN)?;
    traffic.is_filtered()?;
    lab.fw(&["detach", "eth0"])?;
    lab.nothing_is_left_behind()
}

/// The pins of a filter that is not at work can be written to, which no packet ever heeds.
fn what_closes_nothing_does_not_say_that_it_did() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.add_second_lan()?;
    lab.fw(&["attach", "eth0", "eth1", "--allow", "22,80"])?;
    let link = lab.pin_folder().join("ingress-link");
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
    ensure!(output.status.success() && said.starts_with("eth1  open: 22\n"), "{said}");
    ensure!(said.contains("\neth0  NOT FILTERED"), "the other one is open: {said}");
    ensure!(words.iter().all(|words| note.contains(words)), "{note}");
    lab.fw(&["detach", "eth1"])?;
    lab.refuses(&["deny", "80"], FAILED, &words)
}

/// Somebody holds the link open, and the pins were removed.
fn a_filter_without_pins_is_named_and_can_be_adopted_or_taken_off(mode: Mode) -> Result<()> {
    let lab = Lab::without_containers()?;
    let traffic = Traffic::without_filter(&lab)?;
    for detach in [&["detach", "eth0"][..], &["detach", "--all"]] {
        lab.attach(mode, OPEN)?;
        let held = ["ingress-link", "egress-link"].map(|link| PinnedLink::from_pin(lab.pin_folder().join(link)));
        fs::remove_dir_all(lab.fw.bpffs().join("fw-user"))?;
        let status = lab.fw(&["status"])?;
        let me = format!("(process {})", std::process::id());
        for words in ["eth0  filtered, but no pin below", "`fw_ingress", &me, "fw-user detach eth0"] {
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

fn detach_takes_the_filter_off_though_somebody_holds_the_link(mode: Mode) -> Result<()> {
    let lab = Lab::without_containers()?;
    let traffic = Traffic::without_filter(&lab)?;
    lab.attach(mode, OPEN)?;
    let held = ["ingress-link", "egress-link"].map(|link| PinnedLink::from_pin(lab.pin_folder().join(link)));
    lab.fw(&["detach", "eth0"])?;
    lab.nothing_is_left_behind()?;
    traffic.is_unfiltered()?;
    drop(held);
    Ok(())
}
