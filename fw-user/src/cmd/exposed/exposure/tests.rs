//! Tests of the exposure with an invented network, filters and endpoints.

use fw_common::PortProtocol;
use rtnetlink::packet_route::link::LinkLayerType;

use crate::{
    cmd::exposed::exposure::*,
    host::{interface::Interface, processes::Process},
    kernel::{maps::counters::Counters, meta::Mode},
    policy_text,
};

const ETH0: u32 = 2;
const ETH1: u32 = 3;
const DOCKER0: u32 = 4;
const BR0: u32 = 6;
const VLAN: u32 = 9;
const WG0: u32 = 11;

fn interface(name: &str, index: u32, kind: Option<&str>, master: Option<u32>, below: Option<u32>) -> Interface {
    let layer = match name {
        "lo" => LinkLayerType::Loopback,
        "wg0" => LinkLayerType::None,
        _ => LinkLayerType::Ether,
    };
    let kind = kind.map(ToOwned::to_owned);
    Interface { name: name.into(), index, layer, kind, master, below, ..Interface::default() }
}

/// Two cables, Docker's bridge with a container, a bridge of two more cables and a virtual machine, a VLAN on one of them, a tunnel.
fn network() -> Network {
    let net = |index, text: &str| (index, text.parse().expect("a network"));
    Network {
        interfaces: vec![
            interface("lo", 1, None, None, None),
            interface("eth0", ETH0, None, None, None),
            interface("eth1", ETH1, None, None, None),
            interface("docker0", DOCKER0, Some("bridge"), None, None),
            interface("veth1", 5, Some("veth"), Some(DOCKER0), None),
            interface("br0", BR0, Some("bridge"), None, None),
            interface("eth2", 7, None, Some(BR0), None),
            interface("eth3", 13, None, Some(BR0), None),
            interface("tap0", 8, Some("tun"), Some(BR0), None),
            interface("eth2.5", VLAN, Some("vlan"), None, Some(7)),
            interface("cali1", 10, Some("veth"), None, None),
            interface("wg0", WG0, None, None, None),
            interface("dummy0", 12, Some("dummy"), None, None),
        ],
        addresses: vec![
            net(1, "127.0.0.1/8"),
            net(ETH0, "192.0.2.1/24"),
            net(ETH0, "fe80::1/64"),
            net(ETH1, "198.51.100.1/24"),
            net(DOCKER0, "172.17.0.1/16"),
            net(BR0, "10.6.0.1/24"),
            net(VLAN, "10.5.0.1/24"),
            net(10, "fe80::2/64"),
            net(WG0, "10.9.0.1/24"),
            net(12, "203.0.113.1/32"),
        ],
        is_initial_namespace: true,
        ..Network::default()
    }
}

/// A filter that refuses some entries as well.
fn refusing(deny: &str, mut filter: Filter) -> Filter {
    if let Filter::Ours(ruling) = &mut filter {
        for entry in policy_text::typed(&[deny.to_owned()]).expect("entries") {
            assert!(ruling.policy.add_refusal(entry, None), "{entry:?} is open");
        }
    }
    filter
}

fn ours(allow: &str, monitors: bool, counted: &[(PortProtocol, u16, u64)]) -> Filter {
    let mut counters = Counters::default();
    for &(protocol, port, dropped) in counted {
        counters.ports.set((protocol, port), PortCounter { passed: 1, dropped });
    }
    Filter::Ours(Box::new(Ruling {
        policy: Policy::new(policy_text::rules(&[allow.to_owned()]).expect("an allow list")),
        monitors,
        mode: Mode::Native,
        counters,
    }))
}

fn filters(on: &[(&str, Filter)]) -> Filters {
    on.iter().map(|(name, filter)| ((*name).to_owned(), filter.clone())).collect()
}

fn endpoint(text: &str, name: &str) -> Endpoint {
    let (local, protocol) = text.split_once('/').expect("ADDRESS:PORT/PROTOCOL");
    Endpoint {
        protocol: if protocol == "udp" { PortProtocol::Udp } else { PortProtocol::Tcp },
        local: local.parse().expect("an end"),
        only_ipv6: false,
        device: 0,
        target: Target::Process(Process { pid: 7, name: name.to_owned(), uid: 0 }),
    }
}

fn judge(filters: &Filters, endpoints: &[Endpoint], named: &[&str]) -> Exposure {
    let named: Vec<String> = named.iter().map(|&name| name.to_owned()).collect();
    let facts = ExposureFacts {
        network: &network(),
        filters: filters.clone(),
        endpoints,
        chosen_by_kernel: 32_768..=60_999,
        files: &[],
    };
    facts.judge(&named)
}

/// The reach of the only port, as `eth0 open, eth1 closed`.
fn reach(filters: &Filters, endpoint: Endpoint, named: &[&str]) -> String {
    let exposure = judge(filters, &[endpoint], named);
    assert_eq!(exposure.ports.len(), 1);
    match &exposure.ports[0].reach {
        Reach::Local => "local".to_owned(),
        Reach::Only(name) => format!("only {name}"),
        Reach::By(states) => {
            states.iter().map(|(name, state)| format!("{name} {}", state.name())).collect::<Vec<_>>().join(", ")
        }
    }
}

#[test]
fn a_network_comes_in_by_what_has_a_cable_and_an_address() {
    let judges = |filters: &Filters, named: &[&str]| -> Vec<String> {
        let exposure = judge(filters, &[], named);
        let judges =
            |path: &IngressPath| path.judges.iter().map(|judge| judge.clone().unwrap_or_default()).collect::<Vec<_>>();
        exposure.paths.iter().map(|path| format!("{}: {}", path.name, judges(path).join("+"))).collect()
    };
    let filter = || ours("22", false, &[]);
    let all = ["eth0: ", "eth1: ", "br0: ", "eth2.5: ", "wg0: "];
    assert_eq!(judges(&filters(&[]), &[]), all);
    let on_eth0 = filters(&[("eth0", filter())]);
    assert_eq!(judges(&on_eth0, &[]), ["eth0: eth0", "eth1: ", "br0: ", "eth2.5: ", "wg0: "]);
    assert_eq!(judges(&on_eth0, &["eth1", "docker0"]), ["eth1: ", "docker0: "]);
    // The interface below judges for the one above, except the cable of a virtual machine.
    let on_eth2 = filters(&[("eth2", filter())]);
    assert_eq!(judges(&on_eth2, &[]), ["eth0: ", "eth1: ", "br0: +eth2", "eth2.5: eth2", "wg0: "]);
    let on_br0 = filters(&[("br0", filter())]);
    assert_eq!(judges(&on_br0, &[]), ["eth0: ", "eth1: ", "br0: br0", "eth2.5: ", "wg0: "]);
    // A filter there means that the owner wants it listed.
    let on_docker0 = filters(&[("docker0", filter())]);
    assert_eq!(judges(&on_docker0, &[]), ["eth0: ", "eth1: ", "docker0: docker0", "br0: ", "eth2.5: ", "wg0: "]);
}

#[test]
fn a_port_is_as_open_as_the_rules_say() {
    let on = |filter| filters(&[("eth0", filter)]);
    let rows = [
        (filters(&[]), "0.0.0.0:80/tcp", "eth0 open"),
        (on(ours("80", false, &[])), "0.0.0.0:80/tcp", "eth0 open"),
        (on(ours("80/udp", false, &[])), "0.0.0.0:80/tcp", "eth0 closed"),
        (on(ours("22", false, &[])), "0.0.0.0:80/tcp", "eth0 closed"),
        (on(ours("22", true, &[])), "0.0.0.0:80/tcp", "eth0 monitored"),
        (on(ours("80", true, &[])), "0.0.0.0:80/tcp", "eth0 open"),
        (on(ours("80@192.0.2.0/24", false, &[])), "0.0.0.0:80/tcp", "eth0 open to some"),
        (on(ours("80@192.0.2.0/24", false, &[])), "[::]:80/tcp", "eth0 open to some"),
        (on(ours("80@[2001:db8::]/32", false, &[])), "0.0.0.0:80/tcp", "eth0 closed"),
        (on(ours("80@192.0.2.0/24", false, &[])), "[fe80::1]:80/tcp", "eth0 closed"),
        (on(ours("80@192.0.2.0/24", true, &[])), "0.0.0.0:80/tcp", "eth0 monitored"),
        (on(Filter::Unknown("another".to_owned())), "0.0.0.0:80/tcp", "eth0 unknown"),
    ];
    for (filters, text, expected) in rows {
        assert_eq!(reach(&filters, endpoint(text, "nginx"), &["eth0"]), expected, "{text} {filters:?}");
    }
    let only_ipv6 = Endpoint { only_ipv6: true, ..endpoint("[::]:80/tcp", "nginx") };
    assert_eq!(reach(&on(ours("80@192.0.2.0/24", false, &[])), only_ipv6, &["eth0"]), "eth0 closed");
}

#[test]
fn a_port_concerns_the_interfaces_that_lead_to_it() {
    let on_eth0 = filters(&[("eth0", ours("22", false, &[]))]);
    let rows = [
        ("0.0.0.0:80/tcp", 0, "eth0 closed, eth1 open, br0 open, eth2.5 open, wg0 open"),
        ("192.0.2.1:80/tcp", 0, "eth0 closed"),
        ("198.51.100.1:80/tcp", 0, "eth1 open"),
        ("127.0.0.53:53/udp", 0, "local"),
        ("[::1]:80/tcp", 0, "local"),
        ("172.17.0.1:53/udp", 0, "only docker0"),
        ("10.9.0.1:53/udp", 0, "wg0 open"),
        // An address of the whole host, however it is reached; an unassigned address, which may be assigned later.
        ("203.0.113.1:80/tcp", 0, "eth0 closed, eth1 open, br0 open, eth2.5 open, wg0 open"),
        ("203.0.113.77:80/tcp", 0, "eth0 closed, eth1 open, br0 open, eth2.5 open, wg0 open"),
        ("224.0.0.251:5353/udp", 0, "eth0 closed, eth1 open, br0 open, eth2.5 open, wg0 open"),
        ("0.0.0.0:67/udp", DOCKER0, "only docker0"),
        ("0.0.0.0:67/udp", ETH1, "eth1 open"),
        ("0.0.0.0:67/udp", BR0, "br0 open"),
        ("0.0.0.0:67/udp", 1, "local"),
    ];
    for (text, device, expected) in rows {
        let endpoint = Endpoint { device, ..endpoint(text, "server") };
        assert_eq!(reach(&on_eth0, endpoint, &[]), expected, "{text} {device}");
    }
    // With one interface named, the others are elsewhere.
    assert_eq!(reach(&on_eth0, endpoint("198.51.100.1:80/tcp", "server"), &["eth0"]), "only eth1");
}

#[test]
fn what_no_filter_judges_on_a_part_of_the_way_is_open() {
    let filtered = filters(&[("eth2", ours("22", false, &[]))]);
    assert_eq!(reach(&filtered, endpoint("10.6.0.1:80/tcp", "server"), &[]), "br0 open");
    assert_eq!(reach(&filtered, endpoint("10.5.0.1:80/tcp", "server"), &[]), "eth2.5 closed");
    let both = filters(&[("eth2", ours("80@192.0.2.0/24", false, &[])), ("eth3", ours("80@10.0.0.0/8", false, &[]))]);
    let exposure = judge(&both, &[endpoint("10.6.0.1:80/tcp", "server")], &["br0"]);
    let networks = ["10.0.0.0/8", "192.0.2.0/24"].map(|text| text.parse().expect("a network"));
    let open = PortState::OpenTo { networks: networks.to_vec(), except: Vec::new() };
    assert_eq!(exposure.ports[0].reach.worst(), Some(&open));
}

#[test]
fn refusals_are_excepted_from_what_is_open() {
    let closed = |allow: &str, deny: &str| refusing(deny, ours(allow, false, &[]));
    let rows = [
        (closed("80", "80@192.0.2.0/24"), "0.0.0.0:80/tcp", "open to most, [] except [192.0.2.0/24]"),
        (closed("80", "80/udp@192.0.2.0/24"), "0.0.0.0:80/tcp", "open, [] except []"),
        (closed("80", "80@192.0.2.0/24"), "[::1:2]:80/tcp", "open, [] except []"),
        (closed("80", "80@[2001:db8::]/32"), "0.0.0.0:80/tcp", "open, [] except []"),
        (closed("80", "80@[2001:db8::]/32"), "[::]:80/tcp", "open to most, [] except [2001:db8::/32]"),
        (
            closed("80@10.0.0.0/8", "80@10.1.0.0/16"),
            "0.0.0.0:80/tcp",
            "open to some, [10.0.0.0/8] except [10.1.0.0/16]",
        ),
        (closed("80,80@10.1.2.0/24", "80@10.1.0.0/16"), "0.0.0.0:80/tcp", "open to most, [] except [10.1.0.0/16]"),
        // A filter that only monitors drops nothing.
        (refusing("80@192.0.2.0/24", ours("80", true, &[])), "0.0.0.0:80/tcp", "open, [] except []"),
    ];
    for (filter, text, expected) in rows {
        let exposure = judge(&filters(&[("eth0", filter)]), &[endpoint(text, "nginx")], &["eth0"]);
        assert_eq!(worst(&exposure), expected, "{text}");
    }
}

#[test]
fn what_one_part_of_the_way_refuses_may_come_in_by_the_other() {
    let by_both = |one, other| {
        let filters = filters(&[("eth2", one), ("eth3", other)]);
        worst(&judge(&filters, &[endpoint("10.6.0.1:80/tcp", "server")], &["br0"]))
    };
    let most = |deny: &str| refusing(deny, ours("80", false, &[]));
    let plain = |allow: &str| ours(allow, false, &[]);
    assert_eq!(by_both(most("80@10.1.0.0/16"), plain("80")), "open, [] except []");
    assert_eq!(by_both(most("80@10.1.0.0/16"), plain("22")), "open to most, [] except [10.1.0.0/16]");
    assert_eq!(by_both(most("80@10.1.0.0/16"), plain("80@10.1.2.3")), "open, [] except []");
    assert_eq!(by_both(most("80@10.1.0.0/16"), plain("80@10.2.0.0/16")), "open to most, [] except [10.1.0.0/16]");
    assert_eq!(by_both(most("80@10.1.0.0/16"), most("80@10.0.0.0/8")), "open to most, [] except [10.1.0.0/16]");
    let some = refusing("80@10.1.0.0/16", plain("80@10.0.0.0/8"));
    assert_eq!(
        by_both(some, plain("80@192.0.2.0/24")),
        "open to some, [10.0.0.0/8, 192.0.2.0/24] except [10.1.0.0/16]"
    );
}

/// The most open state of the only port, with its networks.
fn worst(exposure: &Exposure) -> String {
    assert_eq!(exposure.ports.len(), 1);
    let state = exposure.ports[0].reach.worst().expect("a state");
    format!("{}, {:?} except {:?}", state.name(), state.networks(), state.except())
}

#[test]
fn one_who_serves_at_many_addresses_stands_once() {
    let open = [
        endpoint("0.0.0.0:53/udp", "dnsmasq"),
        endpoint("[::]:53/udp", "dnsmasq"),
        endpoint("127.0.0.1:53/udp", "dnsmasq"),
        endpoint("0.0.0.0:53/tcp", "dnsmasq"),
        endpoint("127.0.0.1:53/udp", "another"),
    ];
    let exposure = judge(&filters(&[]), &open, &["eth0"]);
    let found: Vec<(String, usize)> = exposure
        .ports
        .iter()
        .map(|port| (format!("{} {}", port.endpoint.protocol, port.endpoint.target), port.addresses.len()))
        .collect();
    let expected = [("tcp dnsmasq", 1), ("udp dnsmasq", 2), ("udp another", 1)];
    assert_eq!(found, expected.map(|(name, addresses)| (name.to_owned(), addresses)));
}

#[test]
fn the_most_open_comes_first() {
    let on_eth0 = filters(&[("eth0", ours("22,443@192.0.2.0/24", false, &[]))]);
    let open = ["127.0.0.1:1/tcp", "172.17.0.1:2/tcp", "0.0.0.0:3/tcp", "0.0.0.0:443/tcp", "0.0.0.0:22/tcp"]
        .map(|text| endpoint(text, "server"));
    let exposure = judge(&on_eth0, &open, &["eth0"]);
    let ports: Vec<u16> = exposure.ports.iter().map(|port| port.endpoint.local.port()).collect();
    assert_eq!(ports, [22, 443, 3, 2, 1]);
}

#[test]
fn packets_are_counted_once_for_each_filter() {
    let tcp = PortProtocol::Tcp;
    let two = filters(&[
        ("eth0", ours("22", false, &[(tcp, 80, 5)])),
        ("eth1", ours("22", false, &[(tcp, 80, 2), (tcp, 81, 9)])),
    ]);
    let counted = |filters: &Filters, named: &[&str]| {
        judge(filters, &[endpoint("0.0.0.0:80/tcp", "server")], named).ports[0].counted
    };
    assert_eq!(counted(&two, &[]), Some(PortCounter { passed: 2, dropped: 7 }));
    assert_eq!(counted(&two, &["eth0"]), Some(PortCounter { passed: 1, dropped: 5 }));
    assert_eq!(counted(&filters(&[("eth0", ours("22", false, &[]))]), &[]), Some(PortCounter::default()));
    assert_eq!(counted(&filters(&[]), &[]), None);
}

#[test]
fn a_port_that_the_kernel_chose_is_a_clients_unless_a_rule_opens_it() {
    let nothing = filters(&[]);
    let client = |filters: &Filters, endpoint: Endpoint| judge(filters, &[endpoint], &["eth0"]).ports[0].is_of_client;
    assert!(client(&nothing, endpoint("0.0.0.0:41234/udp", "avahi")));
    assert!(!client(&nothing, endpoint("0.0.0.0:41234/tcp", "server")));
    assert!(!client(&nothing, endpoint("0.0.0.0:5353/udp", "avahi")));
    let kernel = Endpoint { target: Target::Unseen, ..endpoint("0.0.0.0:51820/udp", "") };
    assert!(!client(&nothing, kernel), "WireGuard");
    let allowed = filters(&[("eth0", ours("41641/udp@192.0.2.0/24", false, &[]))]);
    assert!(!client(&allowed, endpoint("0.0.0.0:41641/udp", "tailscaled")));
}

#[test]
fn what_is_open_and_not_served_is_left_over() {
    let unused = |allow: &str, open: &[&str]| {
        let open: Vec<Endpoint> = open.iter().map(|text| endpoint(text, "server")).collect();
        let exposure = judge(&filters(&[("eth0", ours(allow, false, &[]))]), &open, &["eth0"]);
        let rules = exposure.unused.iter().flat_map(|unused| unused.policy.rules());
        rules.map(|rule| rule.to_string()).collect::<Vec<_>>().join(",")
    };
    let rows: [(&str, &[&str], &str); 7] = [
        ("22/tcp", &["0.0.0.0:22/tcp"], ""),
        ("22", &["0.0.0.0:22/tcp"], "22/udp"),
        ("443/tcp", &[], "443/tcp"),
        ("6000-6010/udp", &["0.0.0.0:6001/udp"], "6000/udp,6002-6010/udp"),
        ("80/tcp@192.0.2.0/24", &["0.0.0.0:80/tcp"], ""),
        // The network does not reach these.
        ("631/tcp", &["127.0.0.1:631/tcp"], "631/tcp"),
        ("80/tcp", &["198.51.100.1:80/tcp"], "80/tcp"),
    ];
    for (allow, open, expected) in rows {
        assert_eq!(unused(allow, open), expected, "{allow} {open:?}");
    }
}
