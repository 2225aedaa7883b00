//! Pins of another version of fw-user: taken over, said, taken off, and the filter goes on meanwhile.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, ensure};
use aya::maps::{HashMap, Map, MapData};
use fw_common::{
    abi::{ABI_VERSION, DEFAULT_FLOWS},
    flow::{FlowEntry, FlowKey4},
};
use fw_tests::{
    lab::{
        LAN4, Lab, Mode, PI4, Transport, client,
        pins::{pin_map, pin_other_map},
        traffic::{OPEN, Traffic},
    },
    tests,
};
use fw_user::testing::plain::Plain;

const FAILED: i32 = 1;
tests! { in generic mode:
    another_version_is_taken_over_without_a_gap;
}

tests! {
    an_older_filter_in_generic_mode_steps_to_tc_without_a_gap;
    flows_outlive_an_upgrade_from_versions_3_and_4;
    an_interrupted_upgrade_goes_on_from_wherever_it_stopped;
    commands_say_that_another_version_is_attached_and_detach_takes_it_off;
}

/// Make the pins of `attach` look like those of another version, with maps that this one cannot read.
fn make_it_look_like(lab: &Lab, other: u32) -> Result<()> {
    fs::rename(lab.version_folder(ABI_VERSION), lab.version_folder(other))?;
    fs::rename(
        lab.version_folder(other).join("if-eth0/SETTINGS"),
        lab.version_folder(other).join("if-eth0/OLD_SETTINGS"),
    )?;
    for map in ["if-eth0/META", "if-eth0/PORTS", "shared/FLOWS4"] {
        pin_other_map(&lab.version_folder(other).join(map), "hash")?;
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
        ensure!(!lab.version_folder(other).exists(), "the old pins are left");
        // Replies come home by the new tables.
        let server = lab.lan.serve_tcp(5000)?;
        lab.pi.reaches(&server, Transport::Tcp, LAN4, 5000)?;
        lab.fw(&["detach", "eth0"])?;
        lab.nothing_is_left_behind()?;
        traffic.is_unfiltered()?;
    }
    Ok(())
}

/// As on every Raspberry Pi that an older version filters.
fn an_older_filter_in_generic_mode_steps_to_tc_without_a_gap() -> Result<()> {
    let lab = Lab::without_containers()?;
    let traffic = Traffic::without_filter(&lab)?;
    let server = lab.lan.serve_tcp(5000)?;
    lab.attach(Mode::Generic, OPEN)?;
    // It lives on, answered by the old tables and then by the new ones.
    let mut open = lab.pi.connect_tcp((LAN4, 5000).into())?;
    make_it_look_like(&lab, ABI_VERSION - 1)?;
    traffic.during(|| {
        let said = lab.fw(&["attach", "eth0", "--allow", &format!("22,{OPEN}")])?;
        ensure!(said.contains("renewed without a gap, tc mode"), "{said}");
        Ok(())
    })?;
    assert_eq!(lab.tc_ingress()?, ["fw_ingress_tc"]);
    ensure!(!lab.pi.run("ip link show eth0")?.contains("xdp"), "the old program is left");
    ensure!(!lab.version_folder(ABI_VERSION - 1).exists(), "the old pins are left");
    traffic.is_filtered()?;
    let status = lab.fw(&["status"])?;
    ensure!(status.contains("eth0  active, tc mode, replies by tcx") && !status.contains("wrong"), "{status}");
    client::echo(&mut open)?;
    lab.pi.reaches(&server, Transport::Tcp, LAN4, 5000)?;
    lab.fw(&["detach", "eth0"])?;
    lab.nothing_is_left_behind()
}

/// Nobody but the table knows whom a socket without a peer talks to.
fn flows_outlive_an_upgrade_from_versions_3_and_4() -> Result<()> {
    for (old, missing) in
        [(3, &["DATAGRAMS4", "DATAGRAMS6", "RECENT4", "RECENT6"][..]), (4, &["DATAGRAMS4", "DATAGRAMS6"])]
    {
        let work = || -> Result<()> {
            let lab = Lab::without_containers()?;
            // Linux's own connection tracking, from which flows are seeded, is not to know.
            lab.pi.run("iptables -t raw -A OUTPUT -p udp -j CT --notrack")?;
            lab.pi.open_input()?;
            lab.attach(Mode::Native, OPEN)?;
            let (near, far) = (lab.pi.udp_socket(0, LAN4)?, lab.lan.udp_socket(0, PI4)?);
            near.send_to(b"question", (LAN4, far.local_addr()?.port()))?;
            let mut words = [0; 16];
            let (_, from) = far.recv_from(&mut words)?;
            let folder = lab.version_folder(old);
            fs::rename(lab.version_folder(ABI_VERSION), &folder)?;
            for map in ["if-eth0/META", "if-eth0/PORTS"] {
                pin_other_map(&folder.join(map), "hash")?;
            }
            keep_in_one_table(&folder.join("shared"))?;
            for map in missing {
                fs::remove_file(folder.join("shared").join(map))?;
            }
            let said = lab.attach(Mode::Native, &format!("22,{OPEN}"))?;
            ensure!(said.contains("renewed without a gap"), "{said}");
            far.send_to(b"answer", from)?;
            let (length, _) = near.recv_from(&mut words).context("the answer to what left before the upgrade")?;
            ensure!(&words[..length] == b"answer");
            let status = lab.fw(&["status", "--json"])?;
            ensure!(status.contains(&format!("\"flow_capacity\":{DEFAULT_FLOWS}")), "{status}");
            Ok(())
        };
        work().with_context(|| format!("version {old}"))?;
    }
    Ok(())
}

/// The IPv4 flows as the versions before 5 keep them.
fn keep_in_one_table(shared: &Path) -> Result<()> {
    type Flows = HashMap<MapData, Plain<FlowKey4>, Plain<FlowEntry>>;
    let datagrams: Flows = Map::LruHashMap(MapData::from_pin(shared.join("DATAGRAMS4"))?).try_into()?;
    let path = shared.join("FLOWS4");
    pin_map(&path, "lru_hash", [16, 8, DEFAULT_FLOWS])?;
    let mut flows: Flows = Map::LruHashMap(MapData::from_pin(&path)?).try_into()?;
    let mut count = 0;
    for entry in &datagrams {
        let (key, entry) = entry?;
        flows.insert(key, entry, 0)?;
        count += 1;
    }
    ensure!(count > 0, "the question is not in the table of datagrams");
    Ok(())
}

/// The state after a SIGKILL between two steps.
fn an_interrupted_upgrade_goes_on_from_wherever_it_stopped() -> Result<()> {
    let lab = Lab::without_containers()?;
    let traffic = Traffic::without_filter(&lab)?;
    let old = |name: &str| lab.version_folder(ABI_VERSION - 1).join("if-eth0").join(name);
    let new = |name: &str| lab.pin_folder().join(name);
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
