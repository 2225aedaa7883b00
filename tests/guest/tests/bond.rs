//! A real bond: packets come in by either member.

use anyhow::{Context as _, Result, ensure};
use fw_tests::{
    lab::{LAN4, Lab, Mode, Namespace, PI4, PI6, Server, Transport, has_tcx, wait},
    tests,
};

tests! {
    a_bond_is_closed_through_both_members;
}

const MEMBERS: [&str; 2] = ["eth0", "eth1"];
/// Enough for either member to get some.
const KNOCKS: u64 = 6;

/// Make one interface of a machine's two, each packet of which leaves by the other member than the one before.
fn bind(place: &Namespace, addresses: &[&str]) -> Result<()> {
    place.run("ip link add bond0 type bond mode balance-rr miimon 50")?;
    for member in MEMBERS {
        place.run(&format!("ip address flush dev {member}"))?;
        place.run(&format!("ip link set {member} down"))?;
        place.run(&format!("ip link set {member} master bond0"))?;
    }
    place.set_address("bond0", addresses)
}

fn received(place: &Namespace, member: &str) -> Result<u64> {
    let links: serde_json::Value =
        serde_json::from_str(&place.run(&format!("ip -json -statistics link show {member}"))?)?;
    links[0]["stats64"]["rx"]["packets"].as_u64().with_context(|| format!("no statistics in {links}"))
}

/// Knock so often that packets come in by both members.
fn knock(lab: &Lab, port: u16) -> Result<()> {
    let before = MEMBERS.map(|member| received(&lab.pi, member));
    for _ in 0..KNOCKS {
        lab.lan.send_udp_from(0, (PI4, port).into(), b"knock")?;
    }
    for (member, before) in MEMBERS.into_iter().zip(before) {
        let before = before?;
        wait::until(format!("packets by {member}"), || Ok((received(&lab.pi, member)? > before).then_some(())))?;
    }
    Ok(())
}

fn arrive(lab: &Lab, server: &Server, port: u16) -> Result<()> {
    let before = server.reached();
    knock(lab, port)?;
    server.await_reached(before + KNOCKS as usize)
}

fn a_bond_is_closed_through_both_members() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.add_second_lan()?;
    lab.pi.open_input()?;
    bind(&lab.lan, &["192.0.2.10/24", "2001:db8:1::10/64"])?;
    bind(&lab.pi, &["192.0.2.1/24", "2001:db8:1::1/64"])?;
    wait::until("the bond to work", || Ok(lab.pi.ping(LAN4).ok()))?;
    let (closed, open) = (lab.pi.serve_udp(9123)?, lab.pi.serve_udp(8080)?);
    let asked = lab.lan.serve_tcp(5000)?;
    arrive(&lab, &closed, 9123).context("without a filter")?;
    let by_itself = if has_tcx()? { Mode::Tc } else { Mode::Generic };
    // The mode that it chooses by itself need not be tested again.
    let modes = [None, Some(Mode::Generic), Some(Mode::Native)];
    for mode in modes.into_iter().filter(|mode| *mode != Some(by_itself)) {
        let typed = mode.map(|mode| mode.to_string());
        let mut args = vec!["attach", "bond0", "--allow", "22,8080/udp"];
        args.extend(typed.iter().flat_map(|mode| ["--mode", mode]));
        let said = lab.fw(&args)?;
        if mode.is_none() {
            for words in [&format!("{by_itself} mode"), "because it is a bond"] {
                ensure!(said.contains(words), "no {words:?} in {said}");
            }
        }
        // Setting XDP in the drivers takes veth's carrier for a moment.
        wait::until("the bond to work", || Ok(lab.pi.ping(LAN4).ok()))?;
        let before = closed.reached();
        knock(&lab, 9123)?;
        wait::until(format!("the drops of {args:?}"), || {
            Ok((lab.stats("bond0")?.dropped_at("udp", 9123) == KNOCKS).then_some(()))
        })?;
        ensure!(closed.reached() == before, "{args:?}: something got through");
        arrive(&lab, &open, 8080).with_context(|| format!("{args:?}: an open port"))?;
        lab.is_closed_on("bond0", &closed, Transport::Udp, PI6, 9123)?;
        lab.pi.reaches(&asked, Transport::Tcp, LAN4, 5000).with_context(|| format!("{args:?}: replies"))?;
        lab.fw(&["detach", "bond0"])?;
    }
    wait::until("the bond to work", || Ok(lab.pi.ping(LAN4).ok()))?;
    arrive(&lab, &closed, 9123).context("without a filter again")
}
