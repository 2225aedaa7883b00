//! The link layer: VLAN tags and what is not IP.

use fw_common::{
    PortProtocol::{Tcp, Udp},
    Reason::{Allowed, ClosedPort, Malformed, NotIp, Truncated, VlanDepth},
};

use super::each::both;
use crate::{
    packet::{Layer, Stack, eth},
    row::{Row, row},
    world::{ALL_NODES, BROADCAST_MAC, HOST, PEER},
};

pub(super) fn rows() -> Vec<Row> {
    [not_ip(), too_short(), tags(), too_many_tags(), wrong_version(), groups()].concat()
}

/// Ethernet and tags, the outermost first: `EtherType` and VLAN ID.
fn tagged(tags: &[(u16, u16)]) -> Stack<Box<dyn Layer>> {
    tags.iter().fold(eth().erased(), |stack, &(tag_type, id)| stack.tag(tag_type, id).erased())
}

const Q: u16 = 0x8100;
const AD: u16 = 0x88a8;

fn not_ip() -> Vec<Row> {
    let body = [0; 46];
    let other = |name: &str, ether_type: u16| row(name).receives(eth().ether_type(ether_type).payload(&body), NotIp);
    vec![
        row("an ARP request passes").receives(eth().to(BROADCAST_MAC).arp(), NotIp),
        other("LLDP passes", 0x88cc),
        other("EAPOL passes", 0x888e),
        other("PPPoE discovery passes", 0x8863),
        other("MPLS passes", 0x8847),
        other("an EtherType next to that of IPv4 passes", 0x0801),
        other("an EtherType next to that of IPv6 passes", 0x86de),
        other("an EtherType next to that of 802.1Q passes", 0x8101),
        other("an EtherType next to that of 802.1ad passes", 0x88a9),
        other("the tags of old switches pass, which Linux does not take for VLANs", 0x9100),
        other("EtherType 0 passes", 0),
        row("STP passes, with a length in the place of the EtherType")
            .receives(eth().to([0x01, 0x80, 0xc2, 0, 0, 0]).ether_type(38).payload(&[0x42, 0x42, 3, 0, 0, 0]), NotIp),
        row("an Ethernet header and nothing else passes when it is not IP").receives(eth(), NotIp),
        row("ARP behind a VLAN tag passes").receives(eth().vlan(5).ether_type(0x0806).payload(&body), NotIp),
        row("ARP behind two VLAN tags passes")
            .receives(eth().service_vlan(7).vlan(5).ether_type(0x0806).payload(&body), NotIp),
    ]
}

fn too_short() -> Vec<Row> {
    let syn = || eth().vlan(5).ipv4().tcp(40_000, 22).syn();
    let mut rows = vec![
        row("an empty frame is truncated").receives(eth().only(0), Truncated),
        row("a frame of one byte is truncated").receives(eth().only(1), Truncated),
        row("an Ethernet header without its last byte is truncated").receives(eth().only(13), Truncated),
        row("a VLAN EtherType without a tag is truncated").receives(eth().ether_type(Q), Truncated),
        row("half a VLAN tag is truncated").receives(syn().cut(16), Truncated),
        row("a VLAN tag without its last byte is truncated").receives(syn().cut(17), Truncated),
        row("a service tag and half a customer tag are truncated")
            .receives(eth().service_vlan(7).vlan(5).ipv4().cut(20), Truncated),
    ];
    rows.extend(both("an IP EtherType without a header is truncated", |it, ip| {
        it.receives(eth().ether_type(ip.pick(0x0800, 0x86dd)), Truncated)
    }));
    rows.extend(both("an IP header without its last byte is truncated", |it, ip| {
        it.receives(ip.between(PEER, HOST).cut(14 + ip.pick(19, 39)), Truncated)
    }));
    rows
}

fn tags() -> Vec<Row> {
    let stacks: [(&str, &[(u16, u16)]); 8] = [
        ("an 802.1Q tag", &[(Q, 5)]),
        ("a priority tag", &[(Q, 0)]),
        ("the reserved VLAN 4095", &[(Q, 4095)]),
        ("an 802.1ad tag", &[(AD, 5)]),
        ("an 802.1ad and an 802.1Q tag", &[(AD, 7), (Q, 5)]),
        ("two 802.1Q tags", &[(Q, 7), (Q, 5)]),
        ("two priority tags", &[(Q, 0), (Q, 0)]),
        ("two 802.1ad tags", &[(AD, 7), (AD, 0)]),
    ];
    let mut rows = Vec::new();
    for (name, tags) in stacks {
        rows.extend(both(format!("an allowed port behind {name} is allowed"), |it, ip| {
            let frame = ip.on(tagged(tags), PEER, HOST).tcp(40_000, 22).syn();
            it.allow("22/tcp").receives(frame, Allowed).under(Tcp, 22)
        }));
        rows.extend(both(format!("a closed port behind {name} is closed"), |it, ip| {
            let frame = ip.on(tagged(tags), PEER, HOST).udp(40_000, 9125);
            it.allow("22").receives(frame, ClosedPort).under(Udp, 9125)
        }));
    }
    rows.extend(both("the priority of a tag makes no difference", |it, ip| {
        let frame = ip.on(eth().vlan(5).priority(7), PEER, HOST).tcp(40_000, 9125).syn();
        it.allow("22").receives(frame, ClosedPort).under(Tcp, 9125)
    }));
    rows
}

fn too_many_tags() -> Vec<Row> {
    let stacks: [(&str, &[(u16, u16)]); 4] = [
        ("three 802.1Q tags", &[(Q, 1), (Q, 2), (Q, 3)]),
        ("three priority tags", &[(Q, 0), (Q, 0), (Q, 0)]),
        ("three 802.1ad tags", &[(AD, 1), (AD, 2), (AD, 3)]),
        ("five 802.1Q tags", &[(Q, 0), (Q, 0), (Q, 0), (Q, 0), (Q, 0)]),
    ];
    let mut rows = Vec::new();
    for (name, tags) in stacks {
        rows.extend(both(format!("an allowed port behind {name} is too deep"), |it, ip| {
            it.allow("22/tcp").receives(ip.on(tagged(tags), PEER, HOST).tcp(40_000, 22).syn(), VlanDepth)
        }));
    }
    rows.push(
        row("ARP behind three tags is too deep: what is inside is not known")
            .receives(tagged(&[(Q, 1), (Q, 2), (Q, 3)]).then(crate::packet::Raw::new(0, &[0; 46])), VlanDepth),
    );
    rows.push(
        row("the EtherType of a third tag is too deep even with nothing behind it")
            .receives(eth().vlan(1).vlan(2).ether_type(Q), VlanDepth),
    );
    rows
}

fn wrong_version() -> Vec<Row> {
    let mut rows = vec![
        row("an IPv6 packet under the EtherType of IPv4 is malformed")
            .allow("22")
            .receives(eth().ether_type(0x0800).ipv6().tcp(40_000, 22).syn(), Malformed),
        row("an IPv4 packet under the EtherType of IPv6 is malformed")
            .allow("22")
            .receives(eth().ether_type(0x86dd).ipv4().tcp(40_000, 22).syn(), Malformed),
        row("an IPv6 packet under the EtherType of IPv4 behind a tag is malformed")
            .allow("22")
            .receives(eth().vlan(5).ether_type(0x0800).ipv6().tcp(40_000, 22).syn(), Malformed),
    ];
    for version in [0, 5, 15] {
        rows.push(
            row(format!("IP version {version} under the EtherType of IPv4 is malformed"))
                .allow("22")
                .receives(eth().ipv4().version(version).tcp(40_000, 22).syn(), Malformed),
        );
    }
    for version in [0, 4, 7] {
        rows.push(
            row(format!("IP version {version} under the EtherType of IPv6 is malformed"))
                .allow("22")
                .receives(eth().ipv6().version(version).tcp(40_000, 22).syn(), Malformed),
        );
    }
    rows
}

fn groups() -> Vec<Row> {
    let mut rows = Vec::new();
    for (name, mac) in [("the broadcast", BROADCAST_MAC), ("a multicast", ALL_NODES.mac)] {
        rows.extend(both(format!("a SYN to an allowed port in a frame to {name} MAC address is allowed"), |it, ip| {
            let frame = ip.on(eth().to(mac), PEER, HOST).tcp(40_000, 22).syn();
            it.allow("22/tcp").receives(frame, Allowed).under(Tcp, 22)
        }));
        rows.extend(both(format!("a SYN to a closed port in a frame to {name} MAC address is closed"), |it, ip| {
            let frame = ip.on(eth().to(mac), PEER, HOST).tcp(40_000, 9125).syn();
            it.allow("22/tcp").receives(frame, ClosedPort).under(Tcp, 9125)
        }));
    }
    rows
}
