//! The case table through `decide` and `track` on the host.

use std::collections::BTreeSet;

use fw_common::Reason;
use fw_tests::{
    cases,
    model::Model,
    packet::{Layer, Stack, eth},
    report::Failures,
    row::row,
};

/// Headers of any kind.
type Erased = Stack<Box<dyn Layer>>;

#[test]
fn every_row_is_judged_as_the_table_says() {
    let mut failures = Failures::default();
    for row in cases::all() {
        let outcome = Model::play(&row).expect("policies of rows are small");
        failures.compare(&row, "the model", &outcome);
    }
    failures.panic_if_any();
}

#[test]
fn every_row_has_a_name_of_its_own() {
    let mut names = BTreeSet::new();
    let twice: Vec<_> =
        cases::all().into_iter().map(|row| row.name).filter(|name| !names.insert(name.clone())).collect();
    assert_eq!(twice, [""; 0], "names of two rows");
}

#[test]
fn every_reason_is_expected_by_some_row() {
    let expected: BTreeSet<Reason> = cases::all().iter().map(|row| row.reason).collect();
    assert_eq!(expected, cases::reasons().collect());
}

/// Such packets do not fit into `BPF_PROG_TEST_RUN`. The least that is joined is a byte longer than a length can say; a length of 0 says so, in
/// IPv6 with a jumbo option or, in later kernels, without.
#[test]
fn packets_that_linux_joined_beyond_their_length_are_judged_by_their_ports() {
    const MOST: usize = 65_535;
    const TCP: usize = 20;
    let judged = |frame: Erased, port: u16, length: usize| {
        let frame = frame.tcp(40_000, port).ack().payload(&vec![0; length - TCP]);
        let row = row("a joined packet").allow("22/tcp").receives(frame, Reason::Allowed);
        Model::play(&row).expect("the policy is small").decision.reason()
    };
    let v6 = || eth().ipv6().payload_len(0);
    // The part of the counted length before the TCP header.
    let shapes: [(&str, &dyn Fn() -> Erased, usize); 3] = [
        ("IPv6 with a jumbo option", &|| v6().hop_by_hop().erased(), 8),
        ("IPv6", &|| v6().erased(), 0),
        ("IPv4", &|| eth().ipv4().total_len(0).erased(), 20),
    ];
    for (name, frame, headers) in shapes {
        assert_eq!(judged(frame(), 22, MOST + 1 - headers), Reason::Allowed, "{name}");
        assert_eq!(judged(frame(), 23, MOST + 1 - headers), Reason::ClosedPort, "{name}");
        assert_eq!(judged(frame(), 22, 200_000), Reason::Allowed, "{name}");
        let from_a_wire = judged(frame(), 22, MOST - headers);
        assert!(from_a_wire == Reason::Malformed || from_a_wire == Reason::Truncated, "{name}: {from_a_wire:?}");
    }
}
