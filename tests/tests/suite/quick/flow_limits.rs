//! The limits of flows to the nanosecond, which the loaded program's clock does not stand still for.

use fw_common::{
    PortProtocol,
    flow::{
        FlowEntry, FlowKind, REFRESH_AFTER, SECOND, TIMEOUT_CONNECTION, TIMEOUT_DATAGRAM, TIMEOUT_MULTICAST, judge,
        timeout,
    },
};

const THEN: FlowEntry = FlowEntry { last_seen: 1_000_000 * SECOND };

#[test]
fn a_flow_lives_through_the_last_nanosecond_of_its_timeout_and_not_the_next() {
    for protocol in PortProtocol::ALL {
        for kind in [FlowKind::Unicast, FlowKind::Multicast] {
            let timeout = timeout(protocol, kind);
            assert!(THEN.is_alive(THEN.last_seen + timeout, timeout), "{protocol} {kind:?}");
            assert!(!THEN.is_alive(THEN.last_seen + timeout + 1, timeout), "{protocol} {kind:?}");
        }
    }
}

#[test]
fn the_timeouts_are_those_of_the_standards() {
    assert_eq!([TIMEOUT_CONNECTION, TIMEOUT_DATAGRAM, TIMEOUT_MULTICAST], [7440, 180, 10].map(|time| time * SECOND));
    let of = |kind| PortProtocol::ALL.map(|protocol| timeout(protocol, kind) / SECOND);
    // TCP, UDP, SCTP, DCCP, UDP-Lite.
    assert_eq!(of(FlowKind::Unicast), [7440, 180, 7440, 7440, 180]);
    assert_eq!(of(FlowKind::Multicast), [10; 5]);
}

#[test]
fn a_time_is_written_again_after_a_second_by_packets_that_may_prolong_a_living_flow() {
    let at = |age: u64, refresh| judge(THEN, THEN.last_seen + age, TIMEOUT_DATAGRAM, refresh);
    assert_eq!(at(REFRESH_AFTER - 1, true), (true, false));
    assert_eq!(at(REFRESH_AFTER, true), (true, true));
    assert_eq!(at(REFRESH_AFTER, false), (true, false));
    assert_eq!(at(TIMEOUT_DATAGRAM, true), (true, true));
    assert_eq!(at(TIMEOUT_DATAGRAM + 1, true), (false, false));
}

#[test]
fn a_clock_that_lags_behind_an_entry_counts_as_no_time_at_all() {
    assert_eq!(judge(THEN, THEN.last_seen - 1, TIMEOUT_MULTICAST, true), (true, false));
}

#[test]
fn a_flow_from_before_the_boot_is_as_old_as_it_is() {
    let before = FlowEntry { last_seen: 0_u64.wrapping_sub(100 * SECOND) };
    assert_eq!(judge(before, 80 * SECOND, TIMEOUT_DATAGRAM, true), (true, true));
    assert_eq!(judge(before, 80 * SECOND + 1, TIMEOUT_DATAGRAM, true), (false, false));
}
