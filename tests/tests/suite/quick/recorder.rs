//! The kernel's records of a flood.

use std::{thread, time::Instant};

use anyhow::{Result, bail, ensure};
use fw_common::{
    Reason, Verdict,
    abi::RECORDS_PER_CPU,
    address::{Address as _, V4, V6, mapped},
    record::Record,
};
use fw_tests::{
    kernel::{Force, Kernel, Namespace, Recorded},
    packet::eth,
};

const FLOOD: u32 = 200_000;

/// Play in a thread of its own, which moves into namespaces of its own.
fn play(test: impl FnOnce(&mut Kernel) -> Result<()> + Send + 'static) {
    thread::spawn(move || test(&mut Kernel::load(Namespace::enter()?, Force::ForGood)?))
        .join()
        .expect("the thread ends")
        .expect("the kernel plays along");
}

fn syn(from: &str, port: u16) -> Vec<u8> {
    eth().ipv4().from(from).tcp(40_000, port).syn().build()
}

fn source(address: [u8; 4]) -> V6 {
    mapped(V4::from_bytes(address))
}

/// The destination port of an IPv4 packet without options.
fn port(record: &Record) -> u16 {
    u16::from_be_bytes([record.bytes[36], record.bytes[37]])
}

#[test]
fn a_flood_at_one_port_does_not_hide_a_knock_at_another() {
    play(|kernel| {
        ensure!(kernel.flood(&syn("192.0.2.66", 9125), FLOOD)? == Verdict::Drop);
        kernel.flood(&syn("192.0.2.10", 22), 1)?;
        kernel.flood(&syn("192.0.2.66", 9125), FLOOD)?;
        let Recorded { records, knocks } = kernel.recorded()?;
        ensure!(records.iter().filter(|record| port(record) == 22).count() == 1, "{records:?}");
        let (_, knock) = knocks.iter().find(|(from, _)| *from == source([192, 0, 2, 10])).expect("the sender is noted");
        ensure!((knock.packets, knock.port, knock.reason) == (1, 22, Reason::ClosedPort as u8), "{knock:?}");
        Ok(())
    });
}

#[test]
fn of_a_flood_at_one_port_few_packets_are_recorded_and_the_others_are_known_of() {
    play(|kernel| {
        let packet = syn("192.0.2.66", 9125);
        let began = Instant::now();
        kernel.flood(&packet, FLOOD)?;
        let of_flood = kernel.recorded()?.records.len();
        // A window is 2^5 ticks of at most 1,000 a second.
        let windows = began.elapsed().as_millis() / 32 + 2;
        ensure!((1..=windows).contains(&(of_flood as u128)), "{of_flood} records in {windows} windows");
        let mut sent = u64::from(FLOOD);
        loop {
            kernel.flood(&packet, 1)?;
            sent += 1;
            let Recorded { records, knocks } = kernel.recorded()?;
            if records.len() > of_flood {
                let known: u64 = records.iter().map(|record| 1 + record.left_out).sum();
                ensure!(known == sent, "{known} of {sent} packets are known of");
                let [(from, knock)] = knocks[..] else { bail!("the senders are {knocks:?}") };
                ensure!(from == source([192, 0, 2, 66]) && knock.packets == sent, "{knock:?}");
                return Ok(());
            }
        }
    });
}

#[test]
fn a_flood_at_every_port_leaves_malformed_packets_their_share() {
    play(|kernel| {
        for port in 1000..2000 {
            kernel.flood(&syn("192.0.2.66", port), 1)?;
        }
        let mut malformed = syn("192.0.2.10", 22);
        malformed[14] = 0x41;
        kernel.flood(&malformed, 1)?;
        let Recorded { records, .. } = kernel.recorded()?;
        ensure!(records.len() <= RECORDS_PER_CPU as usize);
        let of = |reason: Reason| records.iter().filter(|record| record.reason == reason as u8).count();
        ensure!(of(Reason::Malformed) == 1, "{} malformed", of(Reason::Malformed));
        ensure!((32..1000).contains(&of(Reason::ClosedPort)), "{} closed", of(Reason::ClosedPort));
        Ok(())
    });
}

#[test]
fn the_ring_comes_round_and_keeps_the_last_ones() {
    play(|kernel| {
        let mut newest = 0;
        let mut written = 0;
        for round in 0.. {
            let port_of_round = 1 + round % 60_000;
            kernel.flood(&syn("192.0.2.66", port_of_round), 1)?;
            let Recorded { records, .. } = kernel.recorded()?;
            if let Some(last) = records.last().filter(|last| last.number > newest) {
                ensure!(port(last) == port_of_round, "the last record is of port {}", port(last));
                newest = last.number;
                written += 1;
            }
            ensure!(records.windows(2).all(|pair| pair[0].number + 1 == pair[1].number), "numbers leave gaps");
            if written > RECORDS_PER_CPU + 10 {
                ensure!(records.len() == RECORDS_PER_CPU as usize, "{} are kept", records.len());
                return Ok(());
            }
        }
        Ok(())
    });
}
