//! Datagrams to many, and their answers (mDNS, SSDP, `NetBIOS`).

use fw_common::{
    PortProtocol::{Tcp, Udp, UdpLite},
    Reason::{Allowed, ClosedPort, Reply},
};

use super::each::both;
use crate::{
    packet::{Stack, Udp as UdpHeader, eth},
    row::{Row, row},
    world::{
        ALL_NODES, BRIDGE, BROADCAST_MAC, CONTAINER, Family, HOST, IN_VLAN, MDNS, OTHER, PEER, SERVER,
        SUBNET_BROADCAST, VLAN, VLAN_HOST,
    },
};

pub(super) fn rows() -> Vec<Row> {
    [answers(), near_misses(), limits(), broadcast(), unsolicited()].concat()
}

/// A one-shot mDNS query (RFC 6762, 5.1).
fn query(ip: Family) -> Stack<UdpHeader> {
    ip.between(HOST, MDNS).udp(45_000, 5353)
}

fn answers() -> Vec<Row> {
    let mut rows = both("a neighbour's answer to a multicast query is a reply", |it, ip| {
        it.sent(query(ip)).receives(ip.between(PEER, HOST).udp(5353, 45_000), Reply).remembering(1)
    });
    rows.extend(both("everyone may answer a multicast query", |it, ip| {
        it.sent_ago(2, query(ip))
            .received_ago(1, ip.between(PEER, HOST).udp(5353, 45_000))
            .receives(ip.between(OTHER, HOST).udp(5353, 45_000), Reply)
    }));
    rows.extend(both("an SSDP search is answered", |it, ip| {
        let search = match ip {
            Family::V4 => eth()
                .from(HOST.mac)
                .to([1, 0, 0x5e, 0x7f, 0xff, 0xfa])
                .ipv4()
                .from(HOST.v4)
                .to("239.255.255.250")
                .udp(45_000, 1900),
            Family::V6 => {
                eth().from(HOST.mac).to([0x33, 0x33, 0, 0, 0, 0xc]).ipv6().from(HOST.v6).to("ff02::c").udp(45_000, 1900)
            }
        };
        it.sent(search).receives(ip.between(PEER, HOST).udp(1900, 45_000), Reply)
    }));
    rows.extend(both("the address in the packet makes a group, whatever the MAC address", |it, ip| {
        let query = ip.on(eth().from(HOST.mac).to(PEER.mac), HOST, MDNS).udp(45_000, 5353);
        it.sent(query).receives(ip.between(PEER, HOST).udp(5353, 45_000), Reply)
    }));
    rows.extend(both("a UDP-Lite datagram to a group is answered", |it, ip| {
        it.sent(ip.between(HOST, MDNS).udp_lite(45_000, 5353))
            .receives(ip.between(PEER, HOST).udp_lite(5353, 45_000), Reply)
    }));
    rows.extend(both("an answer from another port than was asked is a reply", |it, ip| {
        it.sent(query(ip)).receives(ip.between(PEER, HOST).udp(49_152, 45_000), Reply).remembering(1)
    }));
    rows.extend(both("a neighbour in the same VLAN answers", |it, ip| {
        it.sent(ip.on(eth().vlan(VLAN), VLAN_HOST, MDNS).udp(45_000, 5353))
            .receives(ip.on(eth().vlan(VLAN), IN_VLAN, VLAN_HOST).udp(5353, 45_000), Reply)
    }));
    // The kernel answers for interfaces that forward alone.
    rows.extend(both("anyone answers a host that does not route, which cannot tell who is on the link", |it, ip| {
        it.not_a_router().sent(query(ip)).receives(ip.between(SERVER, HOST).udp(5353, 45_000), Reply)
    }));
    rows.push(
        row("a neighbour answers from its link-local address")
            .sent(query(Family::V6))
            .receives(eth().ipv6().from("fe80::77").to(HOST.v6).udp(5353, 45_000), Reply),
    );
    rows.extend(both("a query from an allowed port records nothing", |it, ip| {
        let answer = ip.between(PEER, HOST).udp(5353, 5353);
        it.allow("5353/udp")
            .sent(ip.between(HOST, MDNS).udp(5353, 5353).payload(&[0; 12]))
            .receives(answer, Allowed)
            .under(Udp, 5353)
            .remembering(0)
    }));
    rows.extend(both("an answer that is one fragment of many is a reply", |it, ip| {
        let answer = match ip {
            Family::V4 => eth().ipv4().more_fragments().udp(5353, 45_000).payload(&[0; 16]),
            Family::V6 => eth().ipv6().fragment(0, true).udp(5353, 45_000).payload(&[0; 16]),
        };
        it.sent(query(ip)).receives(answer, Reply)
    }));
    rows
}

fn near_misses() -> Vec<Row> {
    let mut rows = Vec::new();
    for (name, from, to, port) in [
        ("an answer from behind the router is closed", SERVER, HOST, 45_000),
        ("an answer from somebody behind another interface is closed", CONTAINER, HOST, 45_000),
        ("an answer from this host's own address is closed", HOST, HOST, 45_000),
        ("an answer to another port than asked is closed", PEER, HOST, 45_001),
        ("an answer to another address than asked is closed", PEER, BRIDGE, 45_000),
        ("an answer to the group is closed", PEER, MDNS, 5353),
        ("an answer to the group at the asking port is closed", PEER, MDNS, 45_000),
    ] {
        rows.extend(both(name, |it, ip| {
            let answer = ip.between(from, to).udp(5353, port);
            it.sent(query(ip)).receives(answer, ClosedPort).under(Udp, port).remembering(1)
        }));
    }
    rows.extend(both("an answer from a VLAN by somebody who is not in it is closed", |it, ip| {
        let answer = ip.on(eth().vlan(VLAN), PEER, HOST).udp(5353, 45_000);
        it.sent(query(ip)).receives(answer, ClosedPort).under(Udp, 45_000).remembering(1)
    }));
    rows.extend(both("an answer of the other family is closed", |it, ip| {
        let answer = ip.other().between(PEER, HOST).udp(5353, 45_000);
        it.sent(query(ip)).receives(answer, ClosedPort).under(Udp, 45_000).remembering(1)
    }));
    rows.extend(both("TCP does not answer a multicast query", |it, ip| {
        let answer = ip.between(PEER, HOST).tcp(5353, 45_000).syn().ack();
        it.sent(query(ip)).receives(answer, ClosedPort).under(Tcp, 45_000)
    }));
    rows.extend(both("UDP-Lite does not answer a multicast query", |it, ip| {
        let answer = ip.between(PEER, HOST).udp_lite(5353, 45_000);
        it.sent(query(ip)).receives(answer, ClosedPort).under(UdpLite, 45_000)
    }));
    rows.extend(both("a query to one neighbour is not answered by all", |it, ip| {
        let query = ip.between(HOST, PEER).udp(45_000, 5353);
        it.sent(query).receives(ip.between(OTHER, HOST).udp(5353, 45_000), ClosedPort).under(Udp, 45_000)
    }));
    rows.extend(both("a SYN to a group opens nothing", |it, ip| {
        let syn = ip.between(HOST, MDNS).tcp(45_000, 80).syn();
        it.sent(syn)
            .receives(ip.between(PEER, HOST).tcp(80, 45_000).syn().ack(), ClosedPort)
            .under(Tcp, 45_000)
            .remembering(0)
    }));
    // Clusters and gateways in pairs have one.
    for (name, mac) in [("the broadcast", BROADCAST_MAC), ("a group's", ALL_NODES.mac)] {
        rows.extend(both(
            format!("a SYN in a frame to {name} MAC address opens a connection to its one peer"),
            |it, ip| {
                let syn = ip.on(eth().from(HOST.mac).to(mac), HOST, SERVER).tcp(45_000, 80).syn();
                it.sent(syn).receives(ip.between(SERVER, HOST).tcp(80, 45_000).syn().ack(), Reply).remembering(1)
            },
        ));
    }
    rows.extend(both("nobody else answers a SYN in a frame to the broadcast MAC address", |it, ip| {
        let syn = ip.on(eth().from(HOST.mac).to(BROADCAST_MAC), HOST, SERVER).tcp(45_000, 80).syn();
        it.sent(syn)
            .receives(ip.between(PEER, HOST).tcp(80, 45_000).syn().ack(), ClosedPort)
            .under(Tcp, 45_000)
            .remembering(1)
    }));
    rows
}

fn limits() -> Vec<Row> {
    let answer = |ip: Family| ip.between(PEER, HOST).udp(5353, 45_000);
    let mut rows = both("an answer to a multicast query is awaited for 10 seconds", |it, ip| {
        it.sent_ago(8, query(ip)).receives(answer(ip), Reply)
    });
    rows.extend(both("an answer to a multicast query after 10 seconds is too late", |it, ip| {
        it.sent_ago(11, query(ip)).receives(answer(ip), ClosedPort).under(Udp, 45_000)
    }));
    rows.extend(both("answers do not prolong the wait", |it, ip| {
        it.sent_ago(12, query(ip)).received_ago(6, answer(ip)).receives(answer(ip), ClosedPort).under(Udp, 45_000)
    }));
    rows.extend(both("another query prolongs the wait", |it, ip| {
        it.sent_ago(12, query(ip)).sent_ago(6, query(ip)).receives(answer(ip), Reply).remembering(1)
    }));
    rows.extend(both("a query after the wait begins another", |it, ip| {
        it.sent_ago(60, query(ip)).sent_ago(6, query(ip)).receives(answer(ip), Reply)
    }));
    rows
}

fn broadcast() -> Vec<Row> {
    let to_subnet =
        |mac: [u8; 6]| eth().from(HOST.mac).to(mac).ipv4().from(HOST.v4).to(SUBNET_BROADCAST).udp(45_000, 137);
    let answer = || eth().ipv4().udp(137, 45_000);
    let limited = eth().from(HOST.mac).to(BROADCAST_MAC).ipv4().from(HOST.v4).to("255.255.255.255");
    vec![
        row("a subnet's broadcast is known by its MAC address, and answered by everyone")
            .sent(to_subnet(BROADCAST_MAC))
            .receives(answer(), Reply)
            .remembering(1),
        row("without that MAC address it is an address like any other")
            .sent(to_subnet(PEER.mac))
            .receives(answer(), ClosedPort)
            .under(Udp, 45_000)
            .remembering(1),
        row("an answer to a subnet's broadcast from another port is a reply")
            .sent(to_subnet(BROADCAST_MAC))
            .receives(eth().ipv4().udp(138, 45_000), Reply),
        row("an answer to a subnet's broadcast from behind the router is closed")
            .sent(to_subnet(BROADCAST_MAC))
            .receives(eth().ipv4().from(SERVER.v4).udp(137, 45_000), ClosedPort)
            .under(Udp, 45_000),
        row("an answer to a subnet's broadcast is too late after 11 seconds")
            .sent_ago(11, to_subnet(BROADCAST_MAC))
            .receives(answer(), ClosedPort)
            .under(Udp, 45_000),
        row("a limited broadcast is answered by everyone").sent(limited.udp(45_000, 137)).receives(answer(), Reply),
        row("a limited broadcast is known by its address, whatever the MAC address")
            .sent(eth().from(HOST.mac).to(PEER.mac).ipv4().from(HOST.v4).to("255.255.255.255").udp(45_000, 137))
            .receives(answer(), Reply),
        row("the address below the limited broadcast is an address like any other")
            .sent(eth().from(HOST.mac).to(PEER.mac).ipv4().from(HOST.v4).to("255.255.255.254").udp(45_000, 137))
            .receives(answer(), ClosedPort)
            .under(Udp, 45_000),
        row("the address below the groups is an address like any other")
            .sent(eth().from(HOST.mac).to(PEER.mac).ipv4().from(HOST.v4).to("223.255.255.255").udp(45_000, 137))
            .receives(answer(), ClosedPort)
            .under(Udp, 45_000),
        row("the last group is one")
            .sent(eth().from(HOST.mac).to(PEER.mac).ipv4().from(HOST.v4).to("239.255.255.255").udp(45_000, 137))
            .receives(answer(), Reply),
        row("the address above the groups is an address like any other")
            .sent(eth().from(HOST.mac).to(PEER.mac).ipv4().from(HOST.v4).to("240.0.0.1").udp(45_000, 137))
            .receives(answer(), ClosedPort)
            .under(Udp, 45_000),
    ]
}

/// Packets that are not replies.
fn unsolicited() -> Vec<Row> {
    let mut rows = both("mDNS is closed unless it is allowed", |it, ip| {
        it.allow("22").receives(ip.between(PEER, MDNS).udp(5353, 5353), ClosedPort).under(Udp, 5353)
    });
    rows.extend(both("mDNS is allowed when it is", |it, ip| {
        it.allow("5353/udp").receives(ip.between(PEER, MDNS).udp(5353, 5353), Allowed).under(Udp, 5353)
    }));
    rows.extend(both("mDNS allowed over TCP is closed over UDP", |it, ip| {
        it.allow("5353/tcp").receives(ip.between(PEER, MDNS).udp(5353, 5353), ClosedPort).under(Udp, 5353)
    }));
    for (name, to) in [("a subnet's broadcast", SUBNET_BROADCAST), ("the limited broadcast", "255.255.255.255")] {
        let frame = move |port: u16| eth().to(BROADCAST_MAC).ipv4().to(to).udp(137, port);
        rows.push(row(format!("{name} to a closed port is closed")).receives(frame(137), ClosedPort).under(Udp, 137));
        rows.push(
            row(format!("{name} to an allowed port is allowed"))
                .allow("137/udp")
                .receives(frame(137), Allowed)
                .under(Udp, 137),
        );
    }
    rows
}
