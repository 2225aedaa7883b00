//! The case table through `decide` and `track` on the host.

use std::collections::BTreeSet;

use fw_common::Reason;
use fw_tests::{cases, model::Model, packet::eth, report::Failures, row::row};

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

/// Such packets do not fit into `BPF_PROG_TEST_RUN`. The least that is joined is a byte longer than a length can say.
#[test]
fn an_ipv6_packet_that_linux_joined_beyond_its_length_is_judged_by_its_ports() {
    const MOST: usize = 65_535;
    let judged = |port: u16, payload: usize| {
        // Hop-by-hop options and the TCP header.
        let data = vec![0; payload - 8 - 20];
        let frame = eth().ipv6().payload_len(0).hop_by_hop().tcp(40_000, port).ack().payload(&data);
        let row = row("a joined packet").allow("22/tcp").receives(frame, Reason::Allowed);
        Model::play(&row).expect("the policy is small").decision.reason()
    };
    assert_eq!(judged(22, MOST + 1), Reason::Allowed);
    assert_eq!(judged(23, MOST + 1), Reason::ClosedPort);
    assert_eq!(judged(22, 200_000), Reason::Allowed);
    assert_eq!(judged(22, MOST), Reason::Malformed, "from a wire");
}
