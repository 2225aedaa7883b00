//! The IPv6 header: lengths, addresses, and fields that make no difference.

use fw_common::{
    PortProtocol::{Tcp, Udp},
    Reason::{self, Allowed, ClosedPort, HeaderChain, Malformed, Martian, Protocol, Truncated},
};

use crate::{
    packet::{Ipv6, Stack, eth},
    row::{Row, row},
};

pub(super) fn rows() -> Vec<Row> {
    [lengths(), martian_sources(), martian_destinations(), no_difference()].concat()
}

/// A SYN to port 22, which is allowed, under a header that is told something. It has 20 bytes of payload.
fn ssh(name: &str, change: impl FnOnce(Stack<Ipv6>) -> Stack<Ipv6>, reason: Reason) -> Row {
    let row = row(name).allow("22/tcp").receives(change(eth().ipv6()).tcp(40_000, 22).syn(), reason);
    if reason == Allowed { row.under(Tcp, 22) } else { row }
}

fn lengths() -> Vec<Row> {
    vec![
        ssh("an IPv6 payload length that ends with the frame is allowed", |ip| ip.payload_len(20), Allowed),
        ssh("an IPv6 payload length one beyond the frame is malformed", |ip| ip.payload_len(21), Malformed),
        ssh("the greatest IPv6 payload length in a small frame is malformed", |ip| ip.payload_len(65_535), Malformed),
        ssh("an IPv6 payload length of 0 leaves no ports", |ip| ip.payload_len(0), Truncated),
        ssh("TCP flags behind the payload length are not flags", |ip| ip.payload_len(13), Truncated),
        row("ICMPv6 longer than its frame is malformed").receives(eth().ipv6().icmpv6(128, 0).cut(58), Malformed),
        row("an IPv6 frame that lost its last byte is malformed")
            .allow("22")
            .receives(eth().ipv6().tcp(40_000, 22).syn().cut(73), Malformed),
        row("ports behind the IPv6 payload length are padding, not ports")
            .allow("53/udp")
            .receives(eth().ipv6().payload_len(3).udp(40_000, 53), Truncated),
        row("an IPv6 payload length that just covers the ports covers them")
            .allow("53/udp")
            .receives(eth().ipv6().payload_len(4).udp(40_000, 53), Allowed)
            .under(Udp, 53),
        row("padding behind an IPv6 packet to a closed port makes no difference")
            .allow("53/udp")
            .receives(eth().ipv6().udp(40_000, 54).trailer(&[0, 53, 0, 53]), ClosedPort)
            .under(Udp, 54),
        row("padding behind an IPv6 packet to an allowed port makes no difference")
            .allow("53/udp")
            .receives(eth().ipv6().udp(40_000, 53).trailer(&[0; 4]), Allowed)
            .under(Udp, 53),
        row("a jumbogram is malformed")
            .allow("22")
            .receives(eth().ipv6().payload_len(0).hop_by_hop().tcp(40_000, 22).syn(), Malformed),
        row("an empty jumbogram is malformed").receives(eth().ipv6().payload_len(0).hop_by_hop(), Malformed),
        row("a payload length of 0 without hop-by-hop options is no jumbogram, and has no options either")
            .receives(eth().ipv6().payload_len(0).destination_options().tcp(40_000, 22), Truncated),
        row("an IPv6 header and nothing behind it ends in no transport").receives(eth().ipv6(), HeaderChain),
    ]
}

fn martian_sources() -> Vec<Row> {
    let mut rows = Vec::new();
    for source in ["::1", "ff00::", "ff02::1", "ffff::1", "::ffff:192.0.2.77", "::ffff:127.0.0.1", "::ffff:0.0.0.0"] {
        rows.push(
            row(format!("TCP from {source} to an allowed port is martian"))
                .allow("22")
                .receives(eth().ipv6().from(source).tcp(40_000, 22).syn(), Martian),
        );
    }
    for source in [
        "::2",
        "::",
        "::1:0:0:1",
        "1::1",
        "0:1::1",
        "feff::1",
        "fe80::77",
        "fd00::1",
        "64:ff9b::192.0.2.77",
        "::ffff:0:192.0.2.77",
        "::fffe:192.0.2.77",
        "::1:ffff:192.0.2.77",
        "::192.0.2.77",
        "::1:0:1",
    ] {
        rows.push(
            row(format!("TCP from {source} to an allowed port is allowed"))
                .allow("22")
                .receives(eth().ipv6().from(source).tcp(40_000, 22).syn(), Allowed)
                .under(Tcp, 22),
        );
    }
    rows.extend([
        row("UDP from a mapped address is martian, which Linux would deliver")
            .allow("53")
            .receives(eth().ipv6().from("::ffff:192.0.2.77").udp(40_000, 53), Martian),
        row("ICMPv6 from ::1 is martian").receives(eth().ipv6().from("::1").icmpv6(128, 0), Martian),
        row("a neighbour solicitation for duplicate address detection passes, from ::")
            .receives(eth().ipv6().from("::").to("ff02::1:ff00:2").hop_limit(255).icmpv6(135, 0), Protocol),
        row("a later fragment from ::1 is martian")
            .receives(eth().ipv6().from("::1").fragment(8, true).raw(17, &[0; 8]), Martian),
        row("a martian with a broken chain is martian")
            .receives(eth().ipv6().from("::1").hop_by_hop().hop_by_hop(), Martian),
    ]);
    rows
}

fn martian_destinations() -> Vec<Row> {
    let mut rows = Vec::new();
    for destination in ["::1", "::ffff:192.0.2.2", "::ffff:127.0.0.1"] {
        rows.push(
            row(format!("TCP to {destination} at an allowed port is martian"))
                .allow("22")
                .receives(eth().ipv6().to(destination).tcp(40_000, 22).syn(), Martian),
        );
    }
    for destination in ["::2", "::fffe:192.0.2.2", "::ffff:0:192.0.2.2"] {
        rows.push(
            row(format!("TCP to {destination} at an allowed port is allowed on a router"))
                .allow("22")
                .forward_pass()
                .receives(eth().ipv6().to(destination).tcp(40_000, 22).syn(), Allowed)
                .under(Tcp, 22),
        );
    }
    rows.push(row("ICMPv6 to ::1 is martian").receives(eth().ipv6().to("::1").icmpv6(128, 0), Martian));
    rows
}

/// A change to a header.
type Change = fn(Stack<Ipv6>) -> Stack<Ipv6>;

fn no_difference() -> Vec<Row> {
    let with: [(&str, Change); 5] = [
        ("every bit of the traffic class", |ip| ip.traffic_class(0xff)),
        ("every bit of the flow label", |ip| ip.flow_label(0xf_ffff)),
        ("a hop limit of 0", |ip| ip.hop_limit(0)),
        ("a hop limit of 1", |ip| ip.hop_limit(1)),
        ("a hop limit of 255", |ip| ip.hop_limit(255)),
    ];
    let mut rows = Vec::new();
    for (name, change) in with {
        rows.push(ssh(&format!("{name} keeps no allowed port shut"), change, Allowed));
        rows.push(
            row(format!("{name} opens no closed port"))
                .allow("22/tcp")
                .receives(change(eth().ipv6()).tcp(40_000, 23).syn(), ClosedPort)
                .under(Tcp, 23),
        );
    }
    rows
}
