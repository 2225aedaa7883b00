//! Policies that replace each other as fast as they can, under traffic: no packet is judged by half of one.

use std::{
    net::{SocketAddr, UdpSocket},
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use anyhow::{Context, Result, ensure};
use fw_common::policy::Policy;
use fw_tests::{
    lab::{LAN4, Lab, Mode, PI4, client::receives, wait::PATIENCE},
    tests,
};
use fw_user::testing::{
    pins::Pins,
    policy_map::{PolicyMap, Terms},
};

tests! { in native mode:
    no_packet_is_judged_by_half_a_policy;
    no_packet_is_judged_by_half_a_policy_on_trial;
}

/// How often the policy changes, with tens of packets at each change: one that is not whole shows within the first few.
const FLIPS: usize = 500;
/// Open to the LAN in both policies.
const OPEN: u16 = 5000;
/// Open to others in both policies, closed to the LAN.
const CLOSED: u16 = 6000;

/// The same verdict in both, by other means: the lists of networks swap their numbers. The ports of one policy with the networks of the
/// other would open [`CLOSED`], or close [`OPEN`].
const POLICIES: [[&str; 3]; 2] = [
    ["4000/udp@198.51.100.0/24", "5000/udp@192.0.2.0/24", "6000/udp@198.51.100.0/24"],
    ["4000/udp@192.0.2.0/24", "5000/udp@192.0.2.0/24", "6000/udp@198.51.100.0/24"],
];

/// One question after the other at the open port, each of which must arrive, and before each a knock at the closed one. Returns how many.
fn send(client: &UdpSocket, open: &UdpSocket, done: &AtomicBool) -> Result<u64> {
    let mut count = 0;
    while !done.load(Ordering::Acquire) {
        client.send_to(b"knock", SocketAddr::new(PI4, CLOSED))?;
        client.send_to(b"question", SocketAddr::new(PI4, OPEN))?;
        ensure!(receives(open, PATIENCE)?, "question {count} was lost");
        count += 1;
    }
    Ok(count)
}

fn no_packet_is_judged_by_half_a_policy(mode: Mode) -> Result<()> {
    flip(mode, |map, policy| Ok(map.write(policy, Terms::default())?))
}

/// All the changes join one that waits to be confirmed. The policy that it falls back to has its buffer all along.
fn no_packet_is_judged_by_half_a_policy_on_trial(mode: Mode) -> Result<()> {
    flip(mode, |map, policy| Ok(map.write_or_join(policy, Some(u32::MAX))?))
}

fn flip(mode: Mode, change: impl Fn(&mut PolicyMap, &Policy) -> Result<()>) -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.pi.open_input()?;
    let (open, closed) = (lab.pi.udp_socket(OPEN, LAN4)?, lab.pi.udp_socket(CLOSED, LAN4)?);
    let client = lab.lan.udp_socket(0, PI4)?;
    client.send_to(b"knock", SocketAddr::new(PI4, CLOSED))?;
    ensure!(receives(&closed, PATIENCE)?, "without the filter it gets through");

    lab.attach(mode, &POLICIES[0].join(","))?;
    let policies = POLICIES.map(|rules| rules.map(str::parse).into_iter().collect::<Result<Vec<_>, _>>());
    let policies: Vec<Policy> = policies.into_iter().map(|rules| rules.map(Policy::new)).collect::<Result<_, _>>()?;
    let mut map = PolicyMap::open(&Pins::new(lab.fw.bpffs()), "eth0")?;
    let done = AtomicBool::new(false);
    let sent = thread::scope(|scope| {
        let traffic = scope.spawn(|| send(&client, &open, &done));
        let flipped = policies.iter().rev().cycle().take(FLIPS).try_for_each(|policy| change(&mut map, policy));
        done.store(true, Ordering::Release);
        let sent = traffic.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        flipped.context("flipping").and(sent)
    })?;
    ensure!(sent > FLIPS as u64, "{sent} questions in {FLIPS} flips");
    closed.set_nonblocking(true)?;
    ensure!(closed.recv(&mut [0; 16]).is_err(), "a knock got through");
    let stats = lab.stats("eth0")?;
    assert_eq!(stats.port("udp", OPEN).map(|port| (port.passed, port.dropped)), Some((sent, 0)));
    assert_eq!(stats.port("udp", CLOSED).map(|port| (port.passed, port.dropped)), Some((0, sent)));
    println!("{mode}: {FLIPS} flips, {sent} packets a port, no wrong verdict");
    Ok(())
}
