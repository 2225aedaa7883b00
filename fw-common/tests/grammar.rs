//! The allow grammar: what is accepted and as what, and what is refused and with which words.
#![cfg(feature = "std")]

use fw_common::{
    PortProtocol::{self, Sctp, Tcp, Udp},
    grammar::{Fault, Rule, SpecError, parse},
};

/// A few lines of `/etc/services`.
fn services(name: &str) -> Vec<(PortProtocol, u16)> {
    match name {
        "ssh" => vec![(Tcp, 22)],
        "domain" => vec![(Tcp, 53), (Udp, 53)],
        "http-alt" => vec![(Tcp, 8080), (Udp, 8080)],
        "9pfs" => vec![(Tcp, 564)],
        _ => vec![],
    }
}

fn accepted(spec: &str) -> String {
    let rules = parse(spec, services).unwrap_or_else(|error| panic!("{error}"));
    rules.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

fn fault(spec: &str) -> Fault {
    let SpecError { spec: named, fault } = parse(spec, services).expect_err(spec);
    assert_eq!(named, spec, "the message names what was typed");
    fault
}

#[test]
fn a_spec_means_what_the_manual_says() {
    for (spec, rules) in [
        ("22", "22/tcp 22/udp"),
        ("1", "1/tcp 1/udp"),
        ("65535/udp", "65535/udp"),
        ("80/tcp", "80/tcp"),
        ("80/TCP", "80/tcp"),
        ("9/sctp", "9/sctp"),
        ("9/dccp", "9/dccp"),
        ("9/udplite", "9/udplite"),
        ("1-65535", "1-65535/tcp 1-65535/udp"),
        ("6000-6000/tcp", "6000/tcp"),
        ("ssh", "22/tcp"),
        ("ssh/tcp", "22/tcp"),
        ("domain", "53/tcp 53/udp"),
        ("domain/udp", "53/udp"),
        ("http-alt/tcp", "8080/tcp"),
        ("9pfs", "564/tcp"),
        ("22/tcp@192.168.1.0/24", "22/tcp@192.168.1.0/24"),
        ("22/tcp@192.168.1.7", "22/tcp@192.168.1.7/32"),
        ("22/tcp@0.0.0.0/0", "22/tcp@0.0.0.0/0"),
        ("443@[2001:db8::]/32", "443/tcp@[2001:db8::]/32 443/udp@[2001:db8::]/32"),
        ("443/tcp@[2001:db8::1]", "443/tcp@[2001:db8::1]/128"),
        ("ssh@10.0.0.0/8", "22/tcp@10.0.0.0/8"),
    ] {
        assert_eq!(accepted(spec), rules, "{spec}");
    }
}

#[test]
fn a_rule_reads_what_it_writes() {
    for text in ["22/tcp", "6000-6010/udp", "9/sctp@10.0.0.0/8", "443/tcp@[2001:db8::]/32"] {
        assert_eq!(text.parse::<Rule>().map(|rule| rule.to_string()).as_deref(), Ok(text));
    }
    assert_eq!("9/sctp".parse::<Rule>().map(|rule| rule.protocol), Ok(Sctp));
    assert_eq!("22".parse::<Rule>().map_err(|error| error.fault), Err(Fault::NoProtocol));
    assert_eq!("ssh".parse::<Rule>().map_err(|error| error.fault), Err(Fault::Service("ssh".to_owned())));
}

#[test]
fn a_port_that_is_none_is_refused() {
    for (spec, port) in [("0", "0"), ("65536", "65536"), ("70000/tcp", "70000"), ("22-70000", "70000")] {
        assert_eq!(fault(spec), Fault::Port(port.to_owned()), "{spec}");
    }
    for (spec, first, last) in [("-22", "1", "22"), ("22-/udp", "22", "65535"), ("-", "1", "65535")] {
        let (first, last) = (first.to_owned(), last.to_owned());
        assert_eq!(fault(spec), Fault::HalfRange { first, last }, "{spec}");
    }
    assert_eq!(fault("1-2-3"), Fault::Port("2-3".to_owned()));
    assert_eq!(fault("20-10"), Fault::Backwards { first: 20, last: 10 });
}

#[test]
fn a_name_that_is_none_is_refused() {
    assert_eq!(fault("shh"), Fault::Service("shh".to_owned()));
    assert_eq!(fault("ssh/udp"), Fault::ServiceProtocol { service: "ssh".to_owned(), protocol: Udp });
    for protocol in ["icmp", "", "tcp/udp", "6"] {
        assert_eq!(fault(&format!("22/{protocol}")), Fault::Protocol(protocol.to_owned()));
    }
    for spec in ["", "/tcp", "@10.0.0.0/8"] {
        assert_eq!(fault(spec), Fault::Empty, "{spec}");
    }
}

#[test]
fn a_network_that_is_none_is_refused_with_what_to_write_instead() {
    for network in
        ["", "10.0.0.0/33", "10.0.0/8", "10.0.0.0/", "[2001:db8::/32", "[2001:db8::]/129", "[10.0.0.1]", "lan"]
    {
        assert_eq!(fault(&format!("22@{network}")), Fault::Network(network.to_owned()));
    }
    assert_eq!(
        fault("22@2001:db8::/32"),
        Fault::Brackets { address: "2001:db8::".to_owned(), prefix: "/32".to_owned() }
    );
    let host_bits = parse("22@192.168.1.5/24", services).expect_err("an address where a network is wanted");
    assert_eq!(
        host_bits.to_string(),
        "`22@192.168.1.5/24`: 192.168.1.5/24 is an address inside the network 192.168.1.0/24; write that, or 192.168.1.5 alone"
    );
}
