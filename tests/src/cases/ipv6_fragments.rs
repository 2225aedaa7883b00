//! IPv6 fragments (RFC 8200, 4.5; RFC 6946; RFC 7112).

use fw_common::{
    PortProtocol::{self, Tcp, Udp},
    Reason::{
        Allowed, ClosedPort, ClosedProtocol, Fragment, HeaderChain, Malformed, Protocol, Reply, TinyFragment, Truncated,
    },
};

use super::each::rule;
use crate::{
    packet::eth,
    row::{Row, row},
    world::{Family, HOST, SERVER},
};

pub(super) fn rows() -> Vec<Row> {
    [first(), tiny(), later(), nested()].concat()
}

fn first() -> Vec<Row> {
    let mut rows = Vec::new();
    for (name, more) in [("a first IPv6 fragment", true), ("an atomic fragment", false)] {
        for protocol in PortProtocol::ALL {
            rows.push(
                row(format!("{name} to an allowed {protocol} port is allowed"))
                    .allow(&rule("22", protocol))
                    .receives(eth().ipv6().fragment(0, more).ports(protocol, 40_000, 22), Allowed)
                    .under(protocol, 22),
            );
            rows.push(
                row(format!("{name} to a closed {protocol} port is closed"))
                    .allow(&rule("22", protocol))
                    .receives(eth().ipv6().fragment(0, more).ports(protocol, 40_000, 23), ClosedPort)
                    .under(protocol, 23),
            );
        }
        rows.push(
            row(format!("{name} of ICMPv6 passes")).receives(eth().ipv6().fragment(0, more).icmpv6(128, 0), Protocol),
        );
        rows.push(
            row(format!("{name} of a tunnel is closed"))
                .receives(eth().ipv6().fragment(0, more).ipv4().tcp(40_000, 22).syn(), ClosedProtocol),
        );
        rows.push(
            row(format!("{name} to a closed port behind more headers is closed"))
                .allow("22")
                .receives(
                    eth().ipv6().hop_by_hop().fragment(0, more).destination_options().tcp(40_000, 23).syn(),
                    ClosedPort,
                )
                .under(Tcp, 23),
        );
    }
    rows.push(
        row("the first fragment of an IPv6 reply is a reply")
            .sent(Family::V6.between(HOST, SERVER).udp(45_000, 53))
            .receives(eth().ipv6().from(SERVER.v6).fragment(0, true).udp(53, 45_000).payload(&[0; 16]), Reply),
    );
    rows
}

fn tiny() -> Vec<Row> {
    let mut rows = Vec::new();
    for (protocol, len) in [(Tcp, 13), (Tcp, 8), (Tcp, 0), (Udp, 3), (Udp, 0), (PortProtocol::Sctp, 3)] {
        rows.push(
            row(format!("a first IPv6 fragment with {len} bytes of {protocol} is tiny"))
                .allow(&rule("22", protocol))
                .receives(eth().ipv6().fragment(0, true).ports(protocol, 40_000, 22).only(len), TinyFragment),
        );
    }
    rows.extend([
        row("an atomic fragment without its ports is tiny")
            .allow("22")
            .receives(eth().ipv6().fragment(0, false).tcp(40_000, 22).only(8), TinyFragment),
        row("a first fragment that ends inside its chain is tiny")
            .allow("22")
            .receives(eth().ipv6().fragment(0, true).destination_options().only(4), TinyFragment),
        row("a first fragment that ends with its chain is tiny")
            .allow("22")
            .receives(eth().ipv6().fragment(0, true).destination_options().next_header(6), TinyFragment),
        row("a first fragment that ends where its next header would start is tiny")
            .allow("22")
            .receives(eth().ipv6().fragment(0, true).destination_options().next_header(60), TinyFragment),
        row("a first fragment whose options point past its end is tiny")
            .allow("22")
            .receives(eth().ipv6().fragment(0, true).destination_options().header_len(9).tcp(40_000, 22), TinyFragment),
    ]);
    rows
}

fn later() -> Vec<Row> {
    let mut rows = Vec::new();
    for (number, name) in [
        (6, "TCP"),
        (17, "UDP"),
        (58, "ICMPv6"),
        (47, "GRE"),
        (59, "no next header"),
        (0, "hop-by-hop options"),
        (44, "another fragment header"),
        (139, "HIP"),
        (43, "a routing header"),
    ] {
        rows.push(
            row(format!("a later fragment that claims {name} passes"))
                .receives(eth().ipv6().fragment(1, false).raw(number, &[0; 8]), Fragment),
        );
    }
    rows.extend([
        row("a middle IPv6 fragment passes").receives(eth().ipv6().fragment(185, true).raw(17, &[0; 64]), Fragment),
        row("a fragment at the greatest IPv6 offset passes")
            .receives(eth().ipv6().fragment(8191, false).raw(17, &[0; 8]), Fragment),
        row("a later IPv6 fragment without a byte passes")
            .receives(eth().ipv6().fragment(185, false).raw(17, &[]), Fragment),
        row("a later fragment behind hop-by-hop options passes")
            .receives(eth().ipv6().hop_by_hop().fragment(185, false).raw(17, &[0; 8]), Fragment),
        row("a later fragment to a closed port passes: without its first one it is nothing")
            .allow("22")
            .receives(eth().ipv6().fragment(185, false).udp(40_000, 9125), Fragment),
        row("a later IPv6 fragment longer than its frame is malformed")
            .receives(eth().ipv6().fragment(185, false).raw(17, &[0; 8]).cut(68), Malformed),
        row("a fragment header without its last byte is truncated")
            .receives(eth().ipv6().fragment(185, false).only(7), Truncated),
        row("a fragment header without its offset is truncated")
            .receives(eth().ipv6().fragment(185, false).only(2), Truncated),
    ]);
    rows
}

fn nested() -> Vec<Row> {
    vec![
        row("a fragment header in a first fragment drops")
            .allow("22")
            .receives(eth().ipv6().fragment(0, true).fragment(0, true).tcp(40_000, 22).syn(), HeaderChain),
        row("a fragment header in an atomic fragment drops")
            .allow("22")
            .receives(eth().ipv6().fragment(0, false).fragment(0, false).tcp(40_000, 22).syn(), HeaderChain),
        row("a later fragment header in an atomic fragment drops")
            .receives(eth().ipv6().fragment(0, false).fragment(9, false).raw(17, &[0; 8]), HeaderChain),
        row("a fragment header behind options in an atomic fragment drops").receives(
            eth().ipv6().fragment(0, false).destination_options().fragment(0, false).udp(40_000, 22),
            HeaderChain,
        ),
    ]
}
