//! A decision is one word, out of which comes what was put in.

use std::collections::HashSet;

use fw_common::{Decision, PortProtocol, Reason, abi::port_index};

/// No port, and the outermost ones of each protocol.
fn ports() -> impl Iterator<Item = Option<(PortProtocol, u16)>> {
    let outermost = |protocol| [0, 1, 255, 256, u16::MAX].map(|port| Some((protocol, port)));
    [None].into_iter().chain(PortProtocol::ALL.into_iter().flat_map(outermost))
}

#[test]
fn reason_and_port_come_out_as_they_went_in() {
    for &reason in Reason::ALL {
        assert_eq!(Reason::from_number(reason as u8), Some(reason));
        for port in ports() {
            let decision = Decision::new(reason, port);
            assert_eq!((decision.reason(), decision.port()), (reason, port));
            assert_eq!((decision.number(), decision.verdict()), (reason as u8, reason.verdict()));
        }
    }
}

#[test]
fn a_port_has_its_number_and_no_port_has_none_of_a_port() {
    for port in ports() {
        let index = Decision::new(Reason::ClosedPort, port).port_index();
        match port {
            Some((protocol, port)) => assert_eq!(index, u64::from(port_index(protocol, port))),
            None => assert!(index > u64::from(u32::MAX), "{index:#x}"),
        }
    }
}

#[test]
fn no_two_kinds_of_drops_are_taken_for_one() {
    let all = Reason::ALL.iter().flat_map(|&reason| ports().map(move |port| Decision::new(reason, port).kind()));
    let all: Vec<u64> = all.collect();
    assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len());
}
