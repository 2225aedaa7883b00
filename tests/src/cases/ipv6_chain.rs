//! IPv6 extension header chains (RFC 8200, RFC 5095, RFC 7045).

use fw_common::{
    PortProtocol::{Tcp, Udp},
    Reason::{Allowed, ClosedPort, ClosedProtocol, HeaderChain, Protocol, SourceRoute, Truncated},
};

use crate::{
    packet::{Layer, Stack, eth},
    row::{Row, row},
};

pub(super) fn rows() -> Vec<Row> {
    [walked(), lengths(), depth(), order(), routing(), ends(), cut()].concat()
}

type Chain = fn() -> Stack<Box<dyn Layer>>;

/// Each extension header by itself, and mixtures.
fn chains() -> [(&'static str, Chain); 14] {
    [
        ("hop-by-hop options", || eth().ipv6().hop_by_hop().erased()),
        ("hop-by-hop options with router alert", || eth().ipv6().router_alert().erased()),
        ("destination options", || eth().ipv6().destination_options().erased()),
        ("the longest destination options", || eth().ipv6().long_destination_options(64).erased()),
        ("routing type 2", || eth().ipv6().routing(2).erased()),
        ("routing type 4, segment routing", || eth().ipv6().routing(4).erased()),
        ("a routing type that nobody knows", || eth().ipv6().routing(200).erased()),
        ("an authentication header", || eth().ipv6().authentication().erased()),
        ("a mobility header", || eth().ipv6().mobility().erased()),
        ("two destination options", || eth().ipv6().destination_options().destination_options().erased()),
        ("the order that RFC 8200 recommends", || {
            let ip = eth().ipv6().hop_by_hop().destination_options().routing(2);
            ip.fragment(0, false).authentication().destination_options().erased()
        }),
        ("another order", || eth().ipv6().mobility().authentication().routing(2).destination_options().erased()),
        ("hop-by-hop options behind a VLAN tag", || eth().vlan(5).ipv6().hop_by_hop().erased()),
        ("two authentication headers", || eth().ipv6().authentication().authentication().erased()),
    ]
}

fn walked() -> Vec<Row> {
    let mut rows = Vec::new();
    for (name, chain) in chains() {
        rows.push(
            row(format!("an allowed TCP port behind {name} is allowed"))
                .allow("22/tcp")
                .receives(chain().tcp(40_000, 22).syn(), Allowed)
                .under(Tcp, 22),
        );
        rows.push(
            row(format!("a closed TCP port behind {name} is closed"))
                .allow("22/tcp")
                .receives(chain().tcp(40_000, 9125).syn(), ClosedPort)
                .under(Tcp, 9125),
        );
        rows.push(
            row(format!("a closed UDP port behind {name} is closed"))
                .allow("22/tcp")
                .receives(chain().udp(40_000, 22), ClosedPort)
                .under(Udp, 22),
        );
        rows.push(row(format!("ICMPv6 behind {name} passes")).receives(chain().icmpv6(128, 0), Protocol));
        rows.push(
            row(format!("a tunnel behind {name} is closed"))
                .allow("22/tcp")
                .receives(chain().ipv4().tcp(40_000, 22).syn(), ClosedProtocol),
        );
    }
    rows
}

/// Bodies that look like a SYN to port 22 or 23 where a reader with wrong units would look.
fn lengths() -> Vec<Row> {
    let syn = |port: u8| [0x9c, 0x40, 0, port, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0xff, 0xff, 0, 0, 0, 0];
    let body = |len: u8, port: u8| {
        let mut body = vec![6, len, 1, 4, 0, 0, 0, 0];
        body.extend(syn(port));
        body.resize(32, 0);
        body
    };
    // Behind a routing header's type stand the segments left.
    let mut routing = body(3, 22);
    routing[3] = 0;
    vec![
        row("destination options are counted in eight bytes, not counting the first eight")
            .allow("22/tcp")
            .receives(eth().ipv6().raw(60, &body(3, 22)).payload(&syn(23)), ClosedPort)
            .under(Tcp, 23),
        row("the length of destination options is believed")
            .allow("22/tcp")
            .receives(eth().ipv6().raw(60, &body(0, 22)).payload(&syn(23)), Allowed)
            .under(Tcp, 22),
        row("an authentication header is counted in four bytes, less two")
            .allow("22/tcp")
            .receives(eth().ipv6().raw(51, &body(6, 22)).payload(&syn(23)), ClosedPort)
            .under(Tcp, 23),
        row("the length of an authentication header is believed")
            .allow("22/tcp")
            .receives(eth().ipv6().raw(51, &body(0, 22)).payload(&syn(23)), Allowed)
            .under(Tcp, 22),
        row("an odd number of four bytes in an authentication header is believed")
            .allow("22/tcp")
            .receives(eth().ipv6().raw(51, &[6, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).payload(&syn(23)), ClosedPort)
            .under(Tcp, 23),
        row("a mobility header is counted in eight bytes, not counting the first eight")
            .allow("22/tcp")
            .receives(eth().ipv6().raw(135, &body(3, 22)).payload(&syn(23)), ClosedPort)
            .under(Tcp, 23),
        row("a routing header is counted in eight bytes, not counting the first eight")
            .allow("22/tcp")
            .receives(eth().ipv6().raw(43, &routing).payload(&syn(23)), ClosedPort)
            .under(Tcp, 23),
        row("the reserved byte of a fragment header is no length")
            .allow("22/tcp")
            .receives(eth().ipv6().fragment(0, false).header_len(9).tcp(40_000, 23).syn(), ClosedPort)
            .under(Tcp, 23),
    ]
}

fn depth() -> Vec<Row> {
    let deep = |count: usize, first: fn() -> Stack<Box<dyn Layer>>| {
        (1..count).fold(first(), |stack, _| stack.destination_options().erased())
    };
    let hop_by_hop: Chain = || eth().ipv6().hop_by_hop().erased();
    let options: Chain = || eth().ipv6().destination_options().erased();
    vec![
        row("an allowed port behind eight extension headers is allowed")
            .allow("22")
            .receives(deep(8, options).tcp(40_000, 22).syn(), Allowed)
            .under(Tcp, 22),
        row("a closed port behind eight extension headers is closed")
            .allow("22")
            .receives(deep(8, hop_by_hop).udp(40_000, 9125), ClosedPort)
            .under(Udp, 9125),
        row("ICMPv6 behind eight extension headers passes").receives(deep(8, hop_by_hop).icmpv6(128, 0), Protocol),
        row("an allowed port behind nine extension headers is too deep")
            .allow("22")
            .receives(deep(9, options).tcp(40_000, 22).syn(), HeaderChain),
        row("ICMPv6 behind nine extension headers is too deep")
            .receives(deep(9, hop_by_hop).icmpv6(128, 0), HeaderChain),
        row("an allowed port behind 520 bytes of destination options is too deep")
            .allow("22")
            .receives(eth().ipv6().long_destination_options(65).tcp(40_000, 22).syn(), HeaderChain),
        row("ICMPv6 behind 520 bytes of two headers is too deep")
            .receives(eth().ipv6().hop_by_hop().long_destination_options(64).icmpv6(128, 0), HeaderChain),
        row("an allowed port behind twenty extension headers is too deep")
            .allow("22")
            .receives(deep(20, options).tcp(40_000, 22).syn(), HeaderChain),
    ]
}

fn order() -> Vec<Row> {
    let drops = |name: &str, stack: Stack<Box<dyn Layer>>| {
        row(name).allow("22").receives(stack.tcp(40_000, 22).syn(), HeaderChain)
    };
    vec![
        drops("two hop-by-hop options drop", eth().ipv6().hop_by_hop().hop_by_hop().erased()),
        drops(
            "hop-by-hop options behind destination options drop",
            eth().ipv6().destination_options().hop_by_hop().erased(),
        ),
        drops("hop-by-hop options behind a routing header drop", eth().ipv6().routing(2).hop_by_hop().erased()),
        drops(
            "hop-by-hop options behind an authentication header drop",
            eth().ipv6().authentication().hop_by_hop().erased(),
        ),
        drops(
            "hop-by-hop options behind a fragment header drop",
            eth().ipv6().fragment(0, false).hop_by_hop().erased(),
        ),
    ]
}

fn routing() -> Vec<Row> {
    let drops = |name: &str, stack: Stack<Box<dyn Layer>>| {
        row(name).allow("22").receives(stack.tcp(40_000, 22).syn(), SourceRoute)
    };
    let mut rows = vec![
        drops("routing type 0 is a source route", eth().ipv6().routing(0).erased()),
        drops("routing type 0 behind hop-by-hop options is one", eth().ipv6().hop_by_hop().routing(0).erased()),
        drops("routing type 0 behind another routing header is one", eth().ipv6().routing(2).routing(0).erased()),
        drops("routing type 0 in a first fragment is one", eth().ipv6().fragment(0, true).routing(0).erased()),
        row("ICMPv6 behind routing type 0 is one").receives(eth().ipv6().routing(0).icmpv6(128, 0), SourceRoute),
        drops("routing type 2 with a segment left is one", eth().ipv6().routing_on(2, 1).erased()),
        drops("routing type 4 with segments left is one", eth().ipv6().routing_on(4, 2).erased()),
        drops("a routing type that nobody knows with a segment left is one", eth().ipv6().routing_on(200, 1).erased()),
        row("ICMPv6 behind routing type 4 with a segment left is one")
            .receives(eth().ipv6().routing_on(4, 1).icmpv6(128, 0), SourceRoute),
        row("routing type 0 to a closed port is counted as one")
            .receives(eth().ipv6().routing(0).udp(40_000, 9125), SourceRoute),
    ];
    for kind in [1, 3, 255] {
        rows.push(
            row(format!("routing type {kind} without segments left is judged by the transport"))
                .allow("22")
                .receives(eth().ipv6().routing(kind).tcp(40_000, 22).syn(), Allowed)
                .under(Tcp, 22),
        );
    }
    rows
}

fn ends() -> Vec<Row> {
    let mut rows = Vec::new();
    for (number, name) in [(139, "HIP"), (140, "Shim6"), (253, "experiment 253"), (254, "experiment 254")] {
        rows.push(
            row(format!("{name} is an extension header that is not known"))
                .allow("22")
                .receives(eth().ipv6().common_extension(number).tcp(40_000, 22).syn(), HeaderChain),
        );
        rows.push(
            row(format!("{name} behind hop-by-hop options is not known either"))
                .allow("22")
                .receives(eth().ipv6().hop_by_hop().common_extension(number).tcp(40_000, 22).syn(), HeaderChain),
        );
    }
    rows.extend([
        row("no next header drops").receives(eth().ipv6().raw(59, &[0; 20]), HeaderChain),
        row("no next header behind destination options drops")
            .receives(eth().ipv6().destination_options().raw(59, &[0; 20]), HeaderChain),
        row("no next header in a first fragment drops")
            .receives(eth().ipv6().fragment(0, true).raw(59, &[0; 24]), HeaderChain),
        row("a number that is no extension header is a closed protocol")
            .receives(eth().ipv6().raw(200, &[0; 20]), ClosedProtocol),
    ]);
    rows
}

fn cut() -> Vec<Row> {
    let drops = |name: &str, frame: Vec<u8>| row(name).allow("22").receives(frame, Truncated);
    let syn = || eth().ipv6().destination_options().tcp(40_000, 22).syn();
    vec![
        drops("destination options without a byte are truncated", eth().ipv6().next_header(60).build()),
        drops("half of the destination options is truncated", eth().ipv6().destination_options().only(4).build()),
        drops(
            "destination options without their last byte are truncated",
            eth().ipv6().destination_options().only(7).build(),
        ),
        drops(
            "destination options longer than the packet are truncated",
            eth().ipv6().destination_options().header_len(3).tcp(40_000, 22).syn().into(),
        ),
        drops(
            "destination options of the greatest length in a small packet are truncated",
            eth().ipv6().destination_options().header_len(255).tcp(40_000, 22).syn().into(),
        ),
        drops(
            "an authentication header longer than the packet is truncated",
            eth().ipv6().authentication().header_len(255).tcp(40_000, 22).syn().into(),
        ),
        drops(
            "destination options that end with the packet leave no ports",
            eth().ipv6().destination_options().next_header(6).build(),
        ),
        drops(
            "destination options behind the payload length are not read",
            eth().ipv6().payload_len(7).destination_options().tcp(40_000, 22).syn().into(),
        ),
        drops("ports behind the payload length and extension headers are not read", syn().only(13).build()),
        drops("a chain whose second header is missing is truncated", eth().ipv6().hop_by_hop().next_header(43).build()),
    ]
}
