//! The ports that are exported. A scan touches all ports, and each would stay in Prometheus' memory as a series.

use std::cmp::Reverse;

use fw_common::{PortProtocol, abi::PortCounter, policy::Policy};

use crate::{cmd::stats::report::allowed_ports, kernel::maps::counters::Counters};

/// The most open ports of an interface that are exported; if there are more, the busiest.
pub const OPEN: usize = 64;
/// The most closed ports, the busiest.
pub const CLOSED: usize = 32;

/// The counters of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortMetrics {
    /// The transport.
    pub protocol: PortProtocol,
    /// The number.
    pub number: u16,
    /// Packets.
    pub counter: PortCounter,
}

/// The ports to export, by protocol and number. A port leaves when others are busier, and may return. Its counter continues meanwhile, so `rate()`
/// treats the gap as missed scrapes.
#[must_use]
pub fn select(policy: &Policy, counters: &Counters) -> Vec<PortMetrics> {
    let open = allowed_ports(policy);
    let port = |((protocol, number), counter)| PortMetrics { protocol, number, counter };
    let mut selected = busiest(open.iter().map(|&key| port((key, counters.ports.get(key)))).collect(), OPEN);
    let closed = counters.ports.iter().filter(|(key, _)| !open.contains(key)).map(port);
    selected.extend(busiest(closed.collect(), CLOSED));
    selected.sort_unstable_by_key(|port| (port.protocol, port.number));
    selected
}

fn busiest(mut ports: Vec<PortMetrics>, count: usize) -> Vec<PortMetrics> {
    // Among equals always the same ones, so that none comes and goes without a reason.
    let rank = |port: &PortMetrics| (Reverse(port.counter.passed + port.counter.dropped), port.protocol, port.number);
    ports.sort_unstable_by_key(rank);
    ports.truncate(count);
    ports
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy_text;

    fn policy(words: &str) -> Policy {
        Policy::new(policy_text::rules(&[words.to_owned()]).expect("the test's rules are rules"))
    }

    fn counters(ports: impl IntoIterator<Item = (u16, u64)>) -> Counters {
        let mut counters = Counters::default();
        for (port, dropped) in ports {
            counters.ports.set((PortProtocol::Tcp, port), PortCounter { passed: 0, dropped });
        }
        counters
    }

    fn numbers(ports: &[PortMetrics]) -> Vec<u16> {
        ports.iter().map(|port| port.number).collect()
    }

    #[test]
    fn open_ports_are_told_of_before_anything_comes() {
        let ports = select(&policy("22/tcp,443/tcp"), &Counters::default());
        assert_eq!(numbers(&ports), [22, 443]);
        assert!(ports.iter().all(|port| port.counter == PortCounter::default()));
    }

    #[test]
    fn a_scan_of_every_port_does_not_make_the_answer_grow() {
        let ports = select(&policy("22/tcp"), &counters((1..=u16::MAX).map(|port| (port, 1))));
        assert_eq!(ports.len(), CLOSED + 1);
    }

    #[test]
    fn an_allowed_range_does_not_either_and_its_busiest_ports_are_in() {
        let ports = select(&policy("1-65535"), &counters([(9, 1), (60_000, 5)]));
        assert_eq!(ports.len(), OPEN);
        assert!(numbers(&ports).contains(&9) && numbers(&ports).contains(&60_000), "{ports:?}");
    }

    #[test]
    fn of_closed_ports_the_busiest_are_told_of_in_the_order_of_their_numbers() {
        let scanned = (1000..2000).map(|port| (port, 1)).chain([(23, 100), (8080, 50)]);
        let ports = numbers(&select(&policy("22/tcp"), &counters(scanned)));
        assert!(ports.contains(&23) && ports.contains(&8080), "{ports:?}");
        assert!(ports.is_sorted(), "{ports:?}");
        // Those that are equally busy do not take turns.
        assert_eq!(ports.iter().filter(|port| (1000..2000).contains(*port)).max(), Some(&1029));
    }
}
