//! The limits of flows to the nanosecond, which the loaded program's clock does not stand still for; and of their tables.

use std::thread;

use anyhow::{Result, ensure};
use fw_common::{
    PortProtocol, Reason,
    flow::{
        Direction::{self, Egress, Ingress},
        FlowClass::{self, Connection, Datagram, Group},
        FlowEntry, FlowKind, REFRESH_AFTER, SECOND, Timeouts, judge,
    },
};
use fw_tests::{
    kernel::{Force, Kernel, Namespace},
    row::row,
    world::{Family, HOST, SERVER},
};

const THEN: FlowEntry = FlowEntry::new(1_000_000 * SECOND, true);
/// Three different ones.
const TIMEOUTS: Timeouts = Timeouts { tcp: 7440, udp: 30, udp_stream: 180, padding: 0 };

/// Whether an entry lives, and whether it is written again.
fn judged(entry: FlowEntry, now: u64, class: FlowClass, direction: Direction) -> (bool, bool) {
    let (alive, becomes) = judge(entry, now, class, &TIMEOUTS, direction);
    (alive, becomes.is_some())
}

#[test]
fn a_flow_lives_through_the_last_nanosecond_of_its_timeout_and_not_the_next() {
    for class in [Connection, Datagram, Group] {
        for is_answered in [false, true] {
            let then = FlowEntry::new(THEN.last_seen, is_answered);
            let end = 1_000_000 * SECOND + TIMEOUTS.of(class, is_answered);
            assert!(judged(then, end, class, Egress).0, "{class:?}");
            assert_eq!(judged(then, end + 1, class, Egress), (false, false), "{class:?}");
        }
    }
}

#[test]
fn the_timeouts_are_those_of_the_standards() {
    let of = |kind| PortProtocol::ALL.map(|protocol| FlowClass::new(protocol, kind));
    // TCP, UDP, SCTP, DCCP, UDP-Lite.
    assert_eq!(of(FlowKind::Unicast), [Connection, Datagram, Connection, Connection, Datagram]);
    assert_eq!(of(FlowKind::Multicast), [Group; 5]);
    let seconds = |class| [false, true].map(|is_answered| Timeouts::DEFAULT.of(class, is_answered) / SECOND);
    assert_eq!([Connection, Datagram, Group].map(seconds), [[7440; 2], [180; 2], [10; 2]]);
}

#[test]
fn a_time_is_written_again_after_a_second_by_packets_that_may_prolong_a_living_flow() {
    let at = |age: u64, class, direction| judged(THEN, 1_000_000 * SECOND + age, class, direction);
    for direction in [Ingress, Egress] {
        assert_eq!(at(REFRESH_AFTER - 1, Datagram, direction), (true, false));
        assert_eq!(at(REFRESH_AFTER, Datagram, direction), (true, true));
        assert_eq!(at(180 * SECOND, Datagram, direction), (true, true));
        assert_eq!(at(180 * SECOND + 1, Datagram, direction), (false, false));
    }
    assert_eq!(at(REFRESH_AFTER, Group, Ingress), (true, false), "an answer to many does not");
    assert_eq!(at(REFRESH_AFTER, Group, Egress), (true, true));
}

#[test]
fn the_first_answer_makes_a_stream_at_once_and_for_good() {
    let asked = FlowEntry::new(1_000_000 * SECOND, false);
    let (_, answered) = judge(asked, 1_000_000 * SECOND, Datagram, &TIMEOUTS, Ingress);
    let answered = answered.expect("the answer is noted within the same nanosecond");
    assert!(answered.is_answered());
    let (_, later) = judge(answered, 1_000_100 * SECOND, Datagram, &TIMEOUTS, Egress);
    assert!(later.expect("it is stale").is_answered());
    let (_, asked_again) = judge(asked, 1_000_010 * SECOND, Datagram, &TIMEOUTS, Egress);
    assert!(!asked_again.expect("it is stale").is_answered(), "what leaves is no answer");
    let (_, group) = judge(asked, 1_000_000 * SECOND, Group, &TIMEOUTS, Ingress);
    assert_eq!(group, None, "a request to many stays as it is");
}

#[test]
fn a_clock_that_lags_behind_an_entry_counts_as_no_time_at_all() {
    assert_eq!(judged(THEN, 1_000_000 * SECOND - 1, Group, Egress), (true, false));
}

#[test]
fn a_flow_from_before_the_boot_is_as_old_as_it_is() {
    let before = FlowEntry::new(0_u64.wrapping_sub(100 * SECOND), true);
    assert_eq!(judged(before, 80 * SECOND, Datagram, Egress), (true, true));
    assert_eq!(judged(before, 80 * SECOND + 1, Datagram, Egress), (false, false));
}

/// A resolver's whole afternoon.
#[test]
fn answered_datagrams_push_no_connection_out_however_many_they_are() {
    const DATAGRAMS: u32 = 150_000;
    fn play(ip: Family) -> Result<()> {
        let mut kernel = Kernel::load(Namespace::enter()?, Force::ForGood)?;
        let connection = row("the connection")
            .sent(ip.between(HOST, SERVER).tcp(45_000, 443).syn())
            .receives(ip.between(SERVER, HOST).tcp(443, 45_000).ack(), Reason::Reply);
        ensure!(kernel.is_answer_after_datagrams(&connection, DATAGRAMS)?, "{ip}: the connection is forgotten");
        Ok(())
    }
    for ip in Family::BOTH {
        // A separate thread, because it moves into other namespaces.
        thread::spawn(move || play(ip)).join().expect("the thread ends").expect("the connection is known");
    }
}
