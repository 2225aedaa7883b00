//! IPv4 addresses that do not belong on a wire.

use fw_common::{
    PortProtocol::{Tcp, Udp},
    Reason::{Allowed, ClosedPort, Martian, Protocol},
};

use crate::{
    packet::eth,
    row::{Row, row},
    world::BROADCAST_MAC,
};

pub(super) fn rows() -> Vec<Row> {
    [sources(), destinations(), this_network()].concat()
}

fn sources() -> Vec<Row> {
    let mut rows = Vec::new();
    for source in ["127.0.0.1", "127.255.255.255", "224.0.0.1", "239.255.255.255", "255.255.255.255"] {
        rows.push(
            row(format!("TCP from {source} to an allowed port is martian"))
                .allow("22")
                .receives(eth().ipv4().from(source).tcp(40_000, 22).syn(), Martian),
        );
    }
    for source in [
        "1.0.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "223.255.255.255",
        "240.0.0.1",
        "255.255.255.254",
        "254.255.255.255",
    ] {
        rows.push(
            row(format!("TCP from {source} to an allowed port is allowed"))
                .allow("22")
                .receives(eth().ipv4().from(source).tcp(40_000, 22).syn(), Allowed)
                .under(Tcp, 22),
        );
    }
    rows.extend([
        row("UDP from the loopback network is martian")
            .allow("53")
            .receives(eth().ipv4().from("127.0.0.53").udp(53, 53), Martian),
        row("ICMP from the loopback network is martian").receives(eth().ipv4().from("127.0.0.1").icmp(8, 0), Martian),
        row("an allowed tunnel from the loopback network is martian")
            .allow_proto(47)
            .receives(eth().ipv4().from("127.0.0.1").gre(), Martian),
        row("a closed tunnel from the loopback network is martian")
            .receives(eth().ipv4().from("127.0.0.1").gre(), Martian),
        row("a later fragment from the loopback network is martian")
            .receives(eth().ipv4().from("127.0.0.1").fragment_offset(3).raw(17, &[0; 8]), Martian),
        row("a martian behind a VLAN tag is one")
            .allow("22")
            .receives(eth().vlan(5).ipv4().from("127.0.0.1").tcp(40_000, 22).syn(), Martian),
    ]);
    rows
}

fn destinations() -> Vec<Row> {
    let mut rows = Vec::new();
    for destination in ["127.0.0.0", "127.0.0.1", "127.255.255.255"] {
        rows.push(
            row(format!("TCP to {destination} at an allowed port is martian"))
                .allow("22")
                .receives(eth().ipv4().to(destination).tcp(40_000, 22).syn(), Martian),
        );
    }
    for destination in ["126.255.255.255", "128.0.0.0"] {
        rows.push(
            row(format!("TCP to {destination} at an allowed port is allowed on a router"))
                .allow("22")
                .forward_pass()
                .receives(eth().ipv4().to(destination).tcp(40_000, 22).syn(), Allowed)
                .under(Tcp, 22),
        );
    }
    rows.push(
        row("ICMP to the loopback network is martian").receives(eth().ipv4().to("127.0.0.1").icmp(8, 0), Martian),
    );
    rows.push(
        row("a later fragment to the loopback network is martian")
            .receives(eth().ipv4().to("127.0.0.1").fragment_offset(3).raw(17, &[0; 8]), Martian),
    );
    rows
}

/// Sources in 0/8: a DHCP client has no other (RFC 2131, 4.1).
fn this_network() -> Vec<Row> {
    let request = || eth().to(BROADCAST_MAC).ipv4().from("0.0.0.0").to("255.255.255.255");
    vec![
        row("a DHCP request reaches an allowed DHCP server")
            .allow("67/udp")
            .receives(request().udp(68, 67), Allowed)
            .under(Udp, 67),
        row("a DHCP request to a host that serves none is closed")
            .receives(request().udp(68, 67), ClosedPort)
            .under(Udp, 67),
        row("a DHCP request outside the rule's network is closed")
            .allow("67/udp@192.0.2.0/24")
            .receives(request().udp(68, 67), ClosedPort)
            .under(Udp, 67),
        row("0.0.0.0 is martian at another allowed port")
            .allow("1-65535/udp")
            .receives(request().udp(68, 69), Martian)
            .under(Udp, 69),
        row("0.0.0.0 is martian from another port to an allowed DHCP server")
            .allow("67/udp")
            .receives(request().udp(67, 67), Martian)
            .under(Udp, 67),
        row("0.0.0.0 is martian at a closed port").receives(request().udp(40_000, 9125), Martian).under(Udp, 9125),
        row("0.0.0.0 with the ports of a DHCP answer is martian")
            .receives(request().udp(67, 68), Martian)
            .under(Udp, 68),
        row("0.0.0.0 with the ports of a DHCP request is martian over TCP")
            .allow("67")
            .receives(request().tcp(68, 67).syn(), Martian)
            .under(Tcp, 67),
        row("another source in 0/8 is martian even with the ports of a DHCP request")
            .allow("67")
            .receives(eth().ipv4().from("0.0.0.1").udp(68, 67), Martian)
            .under(Udp, 67),
        row("TCP from 0/8 to an allowed port is martian")
            .allow("22")
            .receives(eth().ipv4().from("0.1.2.3").tcp(40_000, 22).syn(), Martian)
            .under(Tcp, 22),
        row("TCP from 0/8 to a closed port is martian")
            .receives(eth().ipv4().from("0.1.2.3").tcp(40_000, 22).syn(), Martian)
            .under(Tcp, 22),
        row("TCP from 0/8 to port 0 is martian")
            .receives(eth().ipv4().from("0.1.2.3").tcp(40_000, 0).syn(), Martian)
            .under(Tcp, 0),
        row("ICMP from 0/8 is martian").receives(eth().ipv4().from("0.0.0.0").icmp(8, 0), Martian),
        row("an allowed tunnel from 0/8 is martian")
            .allow_proto(47)
            .receives(eth().ipv4().from("0.0.0.1").gre(), Martian),
        row("a later fragment from 0/8 is martian")
            .receives(eth().ipv4().from("0.0.0.0").fragment_offset(3).raw(17, &[0; 8]), Martian),
        row("a later fragment of ICMP from 0/8 is martian")
            .receives(eth().ipv4().from("0.0.0.0").fragment_offset(3).raw(1, &[0; 8]), Martian),
        row("ICMP from the network after 0/8 passes").receives(eth().ipv4().from("1.0.0.0").icmp(8, 0), Protocol),
    ]
}
