//! The allow grammar: what is accepted and as what, and what is refused and with which words.
#![cfg(feature = "std")]

use std::net::IpAddr;

use fw_common::{
    PortProtocol::{self, Sctp, Tcp, Udp},
    Reason,
    grammar::{Fault, Rule, SpecError, parse},
    wire::{ethernet::Link, ipv4, ipv6},
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
        // Somebody sends from a part of each.
        ("22/tcp@[::]/0", "22/tcp@[::]/0"),
        ("22/tcp@0.0.0.0/7", "22/tcp@0.0.0.0/7"),
        ("22/tcp@126.0.0.0/7", "22/tcp@126.0.0.0/7"),
        ("22/tcp@224.0.0.0/3", "22/tcp@224.0.0.0/3"),
        ("22/tcp@255.255.255.254/31", "22/tcp@255.255.255.254/31"),
        ("22/tcp@[::]/126", "22/tcp@[::]/126"),
        ("22/tcp@[::fffe:0:0]/95", "22/tcp@[::fffe:0:0]/95"),
        ("22/tcp@[fe00::]/7", "22/tcp@[fe00::]/7"),
        // A DHCP client has no address yet.
        ("67/udp@0.0.0.0", "67/udp@0.0.0.0/32"),
        ("67/udp@0.0.0.0/8", "67/udp@0.0.0.0/8"),
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
    assert_eq!(fault("all"), Fault::AllToEveryone);
    assert_eq!(fault("all/tcp@10.0.0.1"), Fault::AllOf("1-65535/tcp@10.0.0.1".to_owned()));
    assert!(matches!(fault("all@127.0.0.1"), Fault::NoSender { .. }));
    assert_eq!(fault("all@10.0.0"), Fault::Network("10.0.0".to_owned()));
    assert_eq!(fault("80:90/tcp"), Fault::Colon("80-90/tcp".to_owned()));
    assert_eq!(fault("80:90@192.168.1.0/24"), Fault::Colon("80-90@192.168.1.0/24".to_owned()));
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
        ["", "10.0.0.0/33", "10.0.0/8", "10.0.0.0/", "[2001:db8::/32", "[2001:db8::]/129", "[10.0.0.1]", "lans"]
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

#[test]
fn a_network_that_nobody_sends_from_is_refused_with_what_to_write_instead() {
    const ZERO: &str = "only DHCP clients use 0.0.0.0, to 67/udp; leave the network out for everyone, or write @0.0.0.0/0 for all of IPv4";
    const UNSPECIFIED: &str =
        "no host has that address; leave the network out for everyone, or write @[::]/0 for all of IPv6";
    const LOOPBACK: &str = "loopback addresses stay on this machine, where nothing is filtered; remove this piece";
    const MULTICAST: &str =
        "multicast addresses are destinations; write the senders' network, for example @192.168.1.0/24";
    for (spec, why) in [
        ("22@0.0.0.0", ZERO),
        ("22@0.0.0.0/8", ZERO),
        ("22@0.255.255.255", ZERO),
        ("67@0.0.0.0", ZERO),
        ("67/tcp@0.0.0.0", ZERO),
        ("67/udp@0.0.0.1", ZERO),
        ("66-67/udp@0.0.0.0", ZERO),
        ("22@127.0.0.0/8", LOOPBACK),
        ("22@127.0.0.1", LOOPBACK),
        ("22@127.255.255.255", LOOPBACK),
        ("5353/udp@224.0.0.251", MULTICAST),
        ("22@224.0.0.0/4", MULTICAST),
        ("22@239.255.255.255", MULTICAST),
        (
            "22@255.255.255.255",
            "the broadcast address is a destination; write the senders' network, for example @192.168.1.0/24",
        ),
        ("22@[::]", UNSPECIFIED),
        ("22@[::]/127", UNSPECIFIED),
        ("22@[::1]", LOOPBACK),
        ("ssh@[ff00::]/8", MULTICAST),
        ("5353/udp@[ff02::fb]", MULTICAST),
        ("22@[::ffff:192.0.2.0]/120", "it means IPv4 addresses; write @192.0.2.0/24"),
        ("22@[::ffff:192.0.2.7]", "it means an IPv4 address; write @192.0.2.7"),
        ("22@[::ffff:0:0]/96", "it means IPv4 addresses; write @0.0.0.0/0"),
        ("22@[::ffff:127.0.0.1]", LOOPBACK),
    ] {
        let (_, network) = spec.split_once('@').expect("a network");
        let error = parse(spec, services).expect_err(spec);
        assert_eq!(error.to_string(), format!("`{spec}`: no host sends from {network}: {why}"));
    }
}

/// Whether the wire parser drops what an address sends, to port 22 as to any.
fn is_martian(source: IpAddr) -> bool {
    let link = Link { ether_type: 0, network: 0, multicast: false };
    match source {
        IpAddr::V4(source) => {
            let mut header = [0; ipv4::HEADER];
            header[0] = 0x45;
            header[3] = 20;
            header[ipv4::SOURCE..][..4].copy_from_slice(&source.octets());
            let packet = ipv4::parse(&header[..], &link);
            matches!(packet, Err(Reason::Martian)) || packet.is_ok_and(|packet| packet.from_this_network)
        }
        IpAddr::V6(source) => {
            let mut header = [0; ipv6::HEADER];
            header[0] = 0x60;
            header[6] = Tcp.number();
            header[ipv6::SOURCE..][..16].copy_from_slice(&source.octets());
            matches!(ipv6::parse(&header[..], &link), Err(Reason::Martian))
        }
    }
}

/// The addresses at which anything could change: those around the ends of what the parser drops, and one of each /8.
#[test]
fn the_addresses_that_are_refused_are_those_that_the_filter_drops() {
    let ends = ["0.0.0.0", "0.255.255.255", "126.255.255.255", "127.0.0.0", "127.255.255.255", "128.0.0.0"];
    let more = ["223.255.255.255", "224.0.0.0", "239.255.255.255", "240.0.0.0", "255.255.255.254", "255.255.255.255"];
    let ipv6 = [
        "::1",
        "::2",
        "::fffe:ffff:ffff",
        "::ffff:0:0",
        "::ffff:7f00:1",
        "::ffff:ffff:ffff",
        "::1:0:0:0",
        "64:ff9b::1",
    ];
    let high = ["2001:db8::1", "fe80::1", "fec0::1", "feff:ffff::1", "ff00::", "ff02::1", "ffff:ffff::1"];
    let listed = [&ends[..], &more, &ipv6, &high].concat().into_iter().map(|text| text.parse().expect("an address"));
    let all_of_ipv4 = (0..=255).map(|first| IpAddr::from([first, 1, 2, 3]));
    for source in listed.chain(all_of_ipv4) {
        let spec = if source.is_ipv4() { format!("22@{source}") } else { format!("22@[{source}]") };
        assert_eq!(parse(&spec, services).is_err(), is_martian(source), "{source}");
    }
    // No host sends from it, and the parser need not ask.
    assert!(parse("22@[::]", services).is_err() && !is_martian("::".parse().expect("an address")));
}
