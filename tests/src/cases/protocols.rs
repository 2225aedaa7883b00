//! IP protocols without ports.

use fw_common::{
    PortProtocol::Tcp,
    Reason::{ClosedPort, ClosedProtocol, Forwarded, Martian, Protocol, Reply},
};

use super::each::both;
use crate::{
    packet::eth,
    row::{Row, row},
    world::{CONTAINER, Family, HOST, PEER, SERVER},
};

pub(super) fn rows() -> Vec<Row> {
    [control(), other_family(), closed(), inside_tunnels(), allowed(), begun_here()].concat()
}

/// Tunnels that this host opens: answered from the same address by the same protocol, and by nothing else.
fn begun_here() -> Vec<Row> {
    const SIX_IN_FOUR: u8 = 41;
    const GRE: u8 = 47;
    const ESP: u8 = 50;
    const LIMIT: u64 = 600;
    let mut rows = Vec::new();
    for (name, number) in [("6in4", SIX_IN_FOUR), ("GRE", GRE), ("ESP", ESP)] {
        let out = move |ip: Family| ip.between(HOST, SERVER).raw(number, &[7; 20]);
        let back = move |ip: Family| ip.between(SERVER, HOST).raw(number, &[8; 20]);
        rows.extend(both(format!("{name} that this host begins is answered"), |it, ip| {
            it.sent(out(ip)).receives(back(ip), Reply).remembering(1)
        }));
        rows.extend(both(format!("{name} is answered for ten minutes"), |it, ip| {
            it.sent_ago(LIMIT - 2, out(ip)).receives(back(ip), Reply)
        }));
        rows.extend(both(format!("{name} is forgotten after ten minutes"), |it, ip| {
            it.sent_ago(LIMIT + 1, out(ip)).receives(back(ip), ClosedProtocol)
        }));
        rows.extend(both(format!("{name} from another address is no answer"), |it, ip| {
            it.sent(out(ip)).receives(ip.between(PEER, HOST).raw(number, &[8; 20]), ClosedProtocol)
        }));
        rows.extend(both(format!("another protocol does not answer {name}"), |it, ip| {
            it.sent(out(ip)).receives(ip.between(SERVER, HOST).raw(99, &[8; 20]), ClosedProtocol)
        }));
        rows.extend(both(format!("what answers prolongs {name}"), |it, ip| {
            it.sent_ago(LIMIT + 300, out(ip)).received_ago(LIMIT - 50, back(ip)).receives(back(ip), Reply)
        }));
    }
    rows.extend(both("a protocol without ports that goes to a group is not answered", |it, ip| {
        let group = ip.pick("224.0.0.18", "ff02::12");
        let vrrp = match ip {
            Family::V4 => eth().ipv4().from(HOST.v4).to(group).raw(112, &[7; 20]).erased(),
            Family::V6 => eth().ipv6().from(HOST.v6).to(group).raw(112, &[7; 20]).erased(),
        };
        it.sent(vrrp).receives(ip.between(SERVER, HOST).raw(112, &[8; 20]), ClosedProtocol).remembering(0)
    }));
    rows.extend(both("ICMP makes no flow", |it, ip| {
        let echo = ip.between(HOST, SERVER).raw(ip.pick(1, 58), &[8, 0, 0, 0, 0, 0, 0, 0]);
        it.sent(echo).receives(ip.between(SERVER, HOST).raw(ESP, &[8; 20]), ClosedProtocol).remembering(0)
    }));
    rows.extend(both("a tunnel that is begun here opens no port", |it, ip| {
        it.sent(ip.between(HOST, SERVER).raw(GRE, &[7; 20]))
            .receives(ip.between(SERVER, HOST).tcp(40_000, 22).syn(), ClosedPort)
            .under(Tcp, 22)
    }));
    rows
}

fn control() -> Vec<Row> {
    let mut rows = Vec::new();
    for (name, kind, code) in [
        ("an echo request", 8, 0),
        ("an echo reply", 0, 0),
        ("fragmentation needed", 3, 4),
        ("port unreachable", 3, 3),
        ("time exceeded", 11, 0),
        ("a redirect", 5, 1),
    ] {
        rows.push(
            row(format!("ICMP: {name} passes")).receives(eth().ipv4().icmp(kind, code).payload(&[0; 28]), Protocol),
        );
    }
    for (name, to, kind) in [
        ("an echo request", HOST.v6, 128),
        ("an echo reply", HOST.v6, 129),
        ("packet too big", HOST.v6, 2),
        ("a router solicitation", "ff02::2", 133),
        ("a router advertisement", "ff02::1", 134),
        ("a neighbour solicitation", "ff02::1:ff00:2", 135),
        ("a neighbour advertisement", HOST.v6, 136),
    ] {
        let frame = eth().ipv6().from("fe80::77").to(to).hop_limit(255).icmpv6(kind, 0).payload(&[0; 20]);
        rows.push(row(format!("ICMPv6: {name} passes")).receives(frame, Protocol));
    }
    let mld = |kind: u8| eth().ipv6().from("fe80::77").to("ff02::16").hop_limit(1).router_alert().icmpv6(kind, 0);
    rows.extend([
        row("an MLD query behind router alert passes").receives(mld(130).payload(&[0; 16]), Protocol),
        row("an MLDv2 report behind router alert passes").receives(mld(143).payload(&[0; 16]), Protocol),
        row("an IGMP query passes")
            .receives(eth().ipv4().to("224.0.0.1").options(&[148, 4, 0, 0]).igmp(0x11, [0; 4]), Protocol),
        row("an IGMP query of a snooping switch, which has no address, passes").receives(
            eth().ipv4().from("0.0.0.0").to("224.0.0.1").options(&[148, 4, 0, 0]).igmp(0x11, [0; 4]),
            Protocol,
        ),
        row("an echo request from 0.0.0.0 is no IGMP")
            .receives(eth().ipv4().from("0.0.0.0").to("224.0.0.1").raw(1, &[8, 0, 0xf7, 0xff, 0, 0, 0, 0]), Martian),
        row("an IGMP report passes").receives(eth().ipv4().to("239.1.2.3").igmp(0x16, [239, 1, 2, 3]), Protocol),
        row("ICMP behind two tags passes").receives(eth().service_vlan(7).vlan(5).ipv4().icmp(8, 0), Protocol),
    ]);
    rows.extend(both("ICMP to a container passes: path MTU discovery is end to end", |it, ip| {
        it.receives(ip.between(SERVER, CONTAINER).raw(ip.pick(1, 58), &[3, 4, 0, 0, 0, 0, 0, 0]), Protocol)
    }));
    rows
}

fn other_family() -> Vec<Row> {
    vec![
        row("ICMPv6 in IPv4 is closed").receives(eth().ipv4().icmpv6(128, 0), ClosedProtocol),
        row("ICMP in IPv6 is closed").receives(eth().ipv6().icmp(8, 0), ClosedProtocol),
        row("IGMP in IPv6 is closed").receives(eth().ipv6().igmp(0x16, [239, 1, 2, 3]), ClosedProtocol),
        row("IPv6 extension headers are no headers in IPv4: hop-by-hop options")
            .allow("22")
            .receives(eth().ipv4().hop_by_hop().tcp(40_000, 22).syn(), ClosedProtocol),
        row("IPv6 extension headers are no headers in IPv4: a fragment header")
            .allow("22")
            .receives(eth().ipv4().fragment(0, false).tcp(40_000, 22).syn(), ClosedProtocol),
        row("an authentication header is not walked in IPv4")
            .allow("22")
            .receives(eth().ipv4().authentication().tcp(40_000, 22).syn(), ClosedProtocol),
    ]
}

/// Numbers and names of protocols that are closed in either family.
const CLOSED: [(u8, &str); 14] = [
    (4, "IPIP"),
    (41, "6in4"),
    (46, "RSVP"),
    (47, "GRE"),
    (50, "ESP"),
    (88, "EIGRP"),
    (89, "OSPF"),
    (97, "EtherIP"),
    (103, "PIM"),
    (112, "VRRP"),
    (115, "L2TP"),
    (137, "MPLS in IP"),
    (200, "a number that nobody has"),
    (255, "the last number"),
];

fn closed() -> Vec<Row> {
    let mut rows = Vec::new();
    for (number, name) in CLOSED {
        rows.extend(both(format!("{name} is a closed protocol"), |it, ip| {
            it.allow("1-65535").receives(ip.between(PEER, HOST).raw(number, &[0; 40]), ClosedProtocol)
        }));
    }
    rows
}

fn inside_tunnels() -> Vec<Row> {
    let mut rows = both("an allowed port inside IPv4 is not looked for", |it, ip| {
        let frame = ip.between(PEER, HOST).ipv4().tcp(40_000, 22).syn();
        it.allow("22").receives(frame, ClosedProtocol)
    });
    rows.extend(both("an allowed port inside IPv6 is not looked for", |it, ip| {
        let frame = ip.between(PEER, HOST).ipv6().tcp(40_000, 22).syn();
        it.allow("22").receives(frame, ClosedProtocol)
    }));
    rows.extend(both("an allowed port inside GRE is not looked for", |it, ip| {
        let frame = ip.between(PEER, HOST).gre().ipv4().tcp(40_000, 22).syn();
        it.allow("22").receives(frame, ClosedProtocol)
    }));
    rows.extend(both("ICMP inside a tunnel is closed with it", |it, ip| {
        it.receives(ip.between(PEER, HOST).ipv4().icmp(8, 0), ClosedProtocol)
    }));
    rows.extend(both("ESP behind nothing is closed", |it, ip| {
        it.receives(ip.between(PEER, HOST).esp(), ClosedProtocol)
    }));
    rows
}

fn allowed() -> Vec<Row> {
    let mut rows = Vec::new();
    // One for each word of the bit map, and both ends.
    for number in [4, 41, 47, 50, 63, 64, 115, 128, 191, 192, 255] {
        rows.extend(both(format!("protocol {number} passes when it is allowed"), |it, ip| {
            it.allow_proto(number).receives(ip.between(PEER, HOST).raw(number, &[0; 40]), Protocol)
        }));
        rows.extend(both(format!("protocol {number} is closed when others are allowed"), |it, ip| {
            let others = [number - 1, number ^ 64, number.wrapping_add(128)];
            let it = others.into_iter().fold(it, crate::row::Scene::allow_proto);
            it.receives(ip.between(PEER, HOST).raw(number, &[0; 40]), ClosedProtocol)
        }));
    }
    rows.push(
        row("an authentication header in IPv4 passes when it is allowed")
            .allow_proto(51)
            .receives(eth().ipv4().authentication().tcp(40_000, 22).syn(), Protocol),
    );
    rows.extend(both("an allowed protocol opens no port", |it, ip| {
        it.allow_proto(47).receives(ip.between(PEER, HOST).tcp(40_000, 22).syn(), ClosedPort).under(Tcp, 22)
    }));
    rows.extend(both("an allowed protocol to a container is forwarded", |it, ip| {
        it.allow_proto(47).receives(ip.between(PEER, CONTAINER).gre().ipv4(), Forwarded)
    }));
    rows.extend(both("an allowed protocol to a container passes on a router", |it, ip| {
        it.allow_proto(47).forward_pass().receives(ip.between(PEER, CONTAINER).gre().ipv4(), Protocol)
    }));
    rows.extend(both("a closed protocol to a container is closed on a router", |it, ip| {
        it.allow_proto(47).forward_pass().receives(ip.between(PEER, CONTAINER).esp(), ClosedProtocol)
    }));
    rows
}
