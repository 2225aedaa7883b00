//! IPv4 fragments (RFC 791, RFC 1858, RFC 3128).

use fw_common::{
    PortProtocol::{self, Dccp, Sctp, Tcp, Udp, UdpLite},
    Reason::{Allowed, ClosedPort, ClosedProtocol, Forwarded, Fragment, Malformed, Protocol, Reply, TinyFragment},
};

use super::each::rule;
use crate::{
    packet::eth,
    row::{Row, row},
    world::{CONTAINER, Family, HOST, SERVER},
};

pub(super) fn rows() -> Vec<Row> {
    [first(), tiny(), later(), other_protocols()].concat()
}

fn first() -> Vec<Row> {
    let mut rows = Vec::new();
    for protocol in PortProtocol::ALL {
        rows.push(
            row(format!("a first fragment to an allowed {protocol} port is allowed"))
                .allow(&rule("22", protocol))
                .receives(eth().ipv4().more_fragments().ports(protocol, 40_000, 22).only(least(protocol)), Allowed)
                .under(protocol, 22),
        );
        rows.push(
            row(format!("a first fragment to a closed {protocol} port is closed"))
                .allow(&rule("22", protocol))
                .receives(eth().ipv4().more_fragments().ports(protocol, 40_000, 23).only(least(protocol)), ClosedPort)
                .under(protocol, 23),
        );
    }
    rows.push(
        row("a first fragment to an allowed port of a container is forwarded")
            .allow("22")
            .receives(eth().ipv4().to(CONTAINER.v4).more_fragments().udp(40_000, 22), Forwarded)
            .under(Udp, 22),
    );
    rows.push(
        row("the first fragment of a reply is a reply")
            .sent(Family::V4.between(HOST, SERVER).udp(45_000, 53))
            .receives(eth().ipv4().from(SERVER.v4).more_fragments().udp(53, 45_000).payload(&[0; 16]), Reply),
    );
    rows.push(
        row("a first fragment with a TCP data offset below 5 is malformed")
            .allow("22")
            .receives(eth().ipv4().more_fragments().tcp(40_000, 22).data_offset(4), Malformed),
    );
    rows
}

/// The least that a first fragment can hold with its ports, in units of eight bytes: for TCP also the flags.
const fn least(protocol: PortProtocol) -> usize {
    match protocol {
        Tcp => 16,
        Udp | Sctp | Dccp | UdpLite => 8,
    }
}

fn tiny() -> Vec<Row> {
    let mut rows = Vec::new();
    for (protocol, len) in
        [(Tcp, 13), (Tcp, 8), (Tcp, 4), (Tcp, 0), (Udp, 3), (Udp, 0), (Sctp, 3), (Dccp, 2), (UdpLite, 1)]
    {
        rows.push(
            row(format!("a first fragment with {len} bytes of {protocol} is tiny"))
                .allow(&rule("22", protocol))
                .receives(eth().ipv4().more_fragments().ports(protocol, 40_000, 22).only(len), TinyFragment),
        );
    }
    rows.push(
        row("a TCP piece at offset 1 is tiny").receives(eth().ipv4().fragment_offset(1).raw(6, &[0; 12]), TinyFragment),
    );
    rows.push(
        row("a TCP piece at offset 1 with more to follow is tiny")
            .allow("22")
            .receives(eth().ipv4().fragment_offset(1).more_fragments().raw(6, &[0; 24]), TinyFragment),
    );
    rows.push(
        row("an empty TCP piece at offset 1 is tiny")
            .receives(eth().ipv4().fragment_offset(1).raw(6, &[]), TinyFragment),
    );
    rows.push(
        row("the evil bit does not hide a TCP piece at offset 1")
            .receives(eth().ipv4().evil().dont_fragment().fragment_offset(1).raw(6, &[0; 12]), TinyFragment),
    );
    rows
}

fn later() -> Vec<Row> {
    let mut rows = vec![
        row("a TCP piece at offset 2 passes").receives(eth().ipv4().fragment_offset(2).raw(6, &[0; 8]), Fragment),
        row("a TCP piece at offset 257 passes").receives(eth().ipv4().fragment_offset(257).raw(6, &[0; 8]), Fragment),
        row("a TCP piece at offset 4097 passes").receives(eth().ipv4().fragment_offset(4097).raw(6, &[0; 8]), Fragment),
        row("a UDP piece at offset 1 passes").receives(eth().ipv4().fragment_offset(1).raw(17, &[0; 8]), Fragment),
        row("the last fragment of a datagram to a closed port passes: without its first one it is nothing")
            .allow("22")
            .receives(eth().ipv4().fragment_offset(185).udp(40_000, 9125), Fragment),
        row("a middle fragment passes")
            .receives(eth().ipv4().fragment_offset(185).more_fragments().raw(17, &[0; 64]), Fragment),
        row("a fragment at the greatest offset passes")
            .receives(eth().ipv4().fragment_offset(8191).raw(17, &[0; 7]), Fragment),
        row("a later fragment without a byte passes")
            .receives(eth().ipv4().fragment_offset(185).raw(17, &[]), Fragment),
        row("a later fragment behind two tags passes")
            .receives(eth().service_vlan(7).vlan(5).ipv4().fragment_offset(185).raw(17, &[0; 8]), Fragment),
        row("a later fragment behind options passes")
            .receives(eth().ipv4().options(&[1; 4]).fragment_offset(185).raw(17, &[0; 8]), Fragment),
        row("a later fragment longer than its frame is malformed")
            .receives(eth().ipv4().fragment_offset(185).raw(17, &[0; 8]).cut(40), Malformed),
    ];
    for protocol in [Sctp, Dccp, UdpLite] {
        rows.push(
            row(format!("a later fragment of {protocol} passes"))
                .receives(eth().ipv4().fragment_offset(1).raw(protocol.number(), &[0; 8]), Fragment),
        );
    }
    rows
}

fn other_protocols() -> Vec<Row> {
    vec![
        row("a first fragment of ICMP passes").receives(eth().ipv4().more_fragments().icmp(8, 0), Protocol),
        row("a later fragment of ICMP passes").receives(eth().ipv4().fragment_offset(1).raw(1, &[0; 8]), Fragment),
        row("a later fragment of IGMP passes").receives(eth().ipv4().fragment_offset(1).raw(2, &[0; 8]), Fragment),
        row("a first fragment of a closed tunnel is closed")
            .receives(eth().ipv4().more_fragments().gre().ipv4(), ClosedProtocol),
        row("a later fragment of a closed tunnel is closed")
            .receives(eth().ipv4().fragment_offset(3).raw(47, &[0; 8]), ClosedProtocol),
        row("a later fragment of ICMPv6 in IPv4 is closed")
            .receives(eth().ipv4().fragment_offset(3).raw(58, &[0; 8]), ClosedProtocol),
        row("a first fragment of an allowed tunnel passes")
            .allow_proto(47)
            .receives(eth().ipv4().more_fragments().gre().ipv4(), Protocol),
        row("a later fragment of an allowed tunnel passes")
            .allow_proto(47)
            .receives(eth().ipv4().fragment_offset(3).raw(47, &[0; 8]), Fragment),
        row("a later fragment of another tunnel than the allowed one is closed")
            .allow_proto(47)
            .receives(eth().ipv4().fragment_offset(3).raw(50, &[0; 8]), ClosedProtocol),
    ]
}
