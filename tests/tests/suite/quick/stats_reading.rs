//! Counters and flows that are read again and again, as the live screen does.

use std::{collections::BTreeMap, net::SocketAddr, thread};

use anyhow::{Context, Result, ensure};
use aya::maps::{HashMap, Map, MapData};
use fw_common::{
    PortProtocol::{self, Sctp, Tcp, Udp},
    abi::{PortCounter, map},
    flow::{FlowEntry, FlowKey4, FlowKey6},
};
use fw_tests::{
    lab::{LAN4, Lab, Mode, wait, wire},
    packet::eth,
    tests,
};
use fw_user::testing::{
    counters::{Counters, Reader},
    flows::{self, Census},
    pins::Pins,
    plain::Plain,
};
use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd::Pid,
};

tests! {
    every_packet_on_every_cpu_is_read_once;
    many_flows_are_estimated_at_once_and_counted_to_the_last_one_in_steps;
}

const THIS_THREAD: Pid = Pid::from_raw(0);

/// The processors that tests may run on.
fn cpus() -> Result<Vec<usize>> {
    let allowed = sched_getaffinity(THIS_THREAD)?;
    Ok((0..CpuSet::count()).filter(|&cpu| allowed.is_set(cpu) == Ok(true)).collect())
}

fn every_packet_on_every_cpu_is_read_once() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.attach(Mode::Native, "22")?;
    let pins = Pins::new(lab.fw.bpffs());
    let mut reader = Reader::open(&pins, "eth0")?;
    let outside = lab.lan.wire("eth0")?;
    let mut sent: BTreeMap<(PortProtocol, u16), PortCounter> = BTreeMap::new();
    let cpus = cpus()?;
    ensure!(cpus.len() > 1, "on one processor there is nothing to sum");
    // Each processor pauses while the others count, and counts again later.
    for (round, &cpu) in cpus.iter().chain(&cpus).enumerate() {
        let mut one = CpuSet::new();
        one.set(cpu)?;
        let ports = [(Udp, 65_535), (Udp, 9125), (Udp, 1000 + u16::try_from(round)?), (Sctp, 7), (Tcp, 65_535)];
        thread::scope(|scope| {
            let sender = scope.spawn(|| -> Result<()> {
                sched_setaffinity(THIS_THREAD, &one)?;
                wire::stay_in_order()?;
                for (protocol, port) in ports {
                    outside.send(&eth().ipv4().ports(protocol, 40_000, port).build())?;
                }
                Ok(())
            });
            sender.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })?;
        for port in ports {
            sent.entry(port).or_default().dropped += 1;
        }
        let read = wait::until("the packets", || {
            let read: BTreeMap<_, _> = reader.read()?.ports.iter().collect();
            Ok((read.values().map(|port| port.dropped).sum::<u64>() >= 5 * (round as u64 + 1)).then_some(read))
        })?;
        assert_eq!(read, sent, "in round {round}");
        assert_eq!(Counters::read(&pins, "eth0")?.ports.iter().collect::<BTreeMap<_, _>>(), sent);
    }
    // A reading of what nobody changes is the same.
    assert_eq!(reader.read()?.ports.iter().collect::<BTreeMap<_, _>>(), sent);
    assert_eq!(reader.counters().ports.get((Udp, 9125)).dropped, sent[&(Udp, 9125)].dropped);
    Ok(())
}

fn many_flows_are_estimated_at_once_and_counted_to_the_last_one_in_steps() -> Result<()> {
    // More than are counted at once.
    const FLOWS4: u32 = 60_000;
    const FLOWS6: u32 = 7;
    let lab = Lab::without_containers()?;
    lab.fw(&["attach", "eth0", "--mode", "native", "--allow", "22", "--flows", "262144"])?;
    let pins = Pins::new(lab.fw.bpffs());
    let table = |name| MapData::from_pin(pins.shared_map(name)).map(Map::LruHashMap);
    let mut flows4: HashMap<_, Plain<FlowKey4>, Plain<FlowEntry>> = table(map::DATAGRAMS4)?.try_into()?;
    let mut flows6: HashMap<_, Plain<FlowKey6>, Plain<FlowEntry>> = table(map::DATAGRAMS6)?.try_into()?;
    let before = flows::count(&pins)?;
    let mut census = Census::take(&pins)?;
    assert_eq!(census.flows(), before);
    let entry = Plain(FlowEntry { last_seen: 1 });
    for remote in 1..=FLOWS4 {
        flows4.insert(Plain(FlowKey4 { remote, local: 1, ports: 1, class: 17 }), entry, 0)?;
    }
    for ports in 1..=FLOWS6 {
        let address = [0, 0, 0, 1];
        flows6.insert(Plain(FlowKey6 { remote: address, local: address, ports, class: 17 }), entry, 0)?;
    }
    // The table is an LRU one, which may have let go of a few.
    let there = flows4.keys().count() + flows6.keys().count();
    ensure!(there > 55_000, "{there} flows are there");
    let estimate = flows::count(&pins)?;
    ensure!(estimate.is_estimate && estimate.all().abs_diff(there) < there / 25, "{estimate} for {there}");
    ensure!(lab.fw(&["stats", "--once", "eth0"])?.contains(&format!("  {estimate}\n")), "stats shows no estimate");
    wait::until("the new flows to be counted", || {
        census.go_on()?;
        let flows = census.flows();
        Ok((!flows.is_estimate && flows.all() == there).then_some(()))
    })
    .with_context(|| format!("{} are counted, and {there} are there", census.flows().all()))?;
    // Each packet is one more flow. The table may let go of others meanwhile.
    wait::until("one more", || {
        lab.pi.send_udp_from(0, SocketAddr::new(LAN4, 53), b"question")?;
        census.go_on()?;
        Ok((census.flows().all() > there).then_some(()))
    })
}
