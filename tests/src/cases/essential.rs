//! Replies to a host's own DHCP client.

use fw_common::{
    PortProtocol::{self, Tcp, Udp, UdpLite},
    Reason::{Allowed, ClosedPort, Essential, TinyFragment},
};

use super::each::both;
use crate::{
    packet::eth,
    row::{Row, row},
    world::{BROADCAST_MAC, HOST, PEER, SERVER},
};

pub(super) fn rows() -> Vec<Row> {
    [dhcpv4(), dhcpv6(), guards()].concat()
}

fn dhcpv4() -> Vec<Row> {
    let closed = |source: u16, destination: u16| {
        row(format!("UDP from port {source} to port {destination} is no DHCP answer"))
            .receives(eth().ipv4().udp(source, destination), ClosedPort)
            .under(Udp, destination)
    };
    vec![
        row("a DHCP offer to this host passes").receives(eth().ipv4().udp(67, 68), Essential).under(Udp, 68),
        row("a DHCP offer to everyone passes")
            .receives(eth().to(BROADCAST_MAC).ipv4().to("255.255.255.255").udp(67, 68), Essential)
            .under(Udp, 68),
        row("a DHCP answer from a server behind a relay passes")
            .receives(eth().ipv4().from(SERVER.v4).udp(67, 68), Essential)
            .under(Udp, 68),
        row("a DHCP answer to an address that is only being offered passes")
            .receives(eth().ipv4().to("192.0.2.99").udp(67, 68), Essential)
            .under(Udp, 68),
        row("a DHCP answer to an allowed port passes as allowed")
            .allow("68/udp")
            .receives(eth().ipv4().udp(67, 68), Allowed)
            .under(Udp, 68),
        row("a DHCP answer to a port that is open to others passes all the same")
            .allow("68/udp@203.0.113.0/24")
            .receives(eth().ipv4().udp(67, 68), Essential)
            .under(Udp, 68),
        row("a first fragment of a DHCP answer without its ports is tiny")
            .receives(eth().ipv4().more_fragments().udp(67, 68).only(0), TinyFragment),
        closed(68, 67),
        closed(67, 67),
        closed(68, 68),
        closed(67, 69),
        closed(66, 68),
        closed(67, 546),
        closed(547, 546),
        closed(547, 68),
    ]
}

fn dhcpv6() -> Vec<Row> {
    let from = |source: &str| eth().ipv6().from(source).to("fe80::2");
    let mut rows = Vec::new();
    for source in ["fe80::1", "fe80::ffff:ffff:ffff:ffff", "febf:ffff::1"] {
        rows.push(
            row(format!("a DHCPv6 answer from {source} passes"))
                .receives(from(source).udp(547, 546), Essential)
                .under(Udp, 546),
        );
    }
    for source in ["2001:db8::1", "fe7f::1", "fec0::1", "fd00::1", "7e80::1", "::"] {
        rows.push(
            row(format!("a DHCPv6 answer from {source}, which is not link-local, is closed"))
                .receives(from(source).udp(547, 546), ClosedPort)
                .under(Udp, 546),
        );
    }
    for (source, destination) in [(546, 547), (546, 546), (547, 547), (547, 545), (548, 546), (67, 68)] {
        rows.push(
            row(format!("UDP from port {source} to port {destination} is no DHCPv6 answer"))
                .receives(from("fe80::1").udp(source, destination), ClosedPort)
                .under(Udp, destination),
        );
    }
    rows.push(
        row("a DHCPv6 answer to an allowed port passes as allowed")
            .allow("546/udp")
            .receives(from("fe80::1").udp(547, 546), Allowed)
            .under(Udp, 546),
    );
    rows
}

fn guards() -> Vec<Row> {
    let mut rows = Vec::new();
    // The rule keeps the port from being closed to all, which would settle it before anything else is looked at.
    for protocol in PortProtocol::ALL.into_iter().filter(|&protocol| protocol != Udp) {
        rows.push(
            row(format!("{protocol} with the ports of a DHCP answer is closed where the port is open to others"))
                .allow(&format!("68/{protocol}@203.0.113.0/24"))
                .receives(eth().ipv4().ports(protocol, 67, 68), ClosedPort)
                .under(protocol, 68),
        );
        rows.push(
            row(format!("{protocol} with the ports of a DHCPv6 answer is closed where the port is open to others"))
                .allow(&format!("546/{protocol}@[2001:db8:f::]/48"))
                .receives(eth().ipv6().from("fe80::1").ports(protocol, 547, 546), ClosedPort)
                .under(protocol, 546),
        );
    }
    rows.extend(both("TCP with the ports of a DHCP answer is closed", |it, ip| {
        let (server, client) = ip.pick((67, 68), (547, 546));
        it.receives(ip.between(PEER, HOST).tcp(server, client).syn(), ClosedPort).under(Tcp, client)
    }));
    rows.extend([
        row("TCP with the ports of a DHCPv6 answer from a link-local address is closed")
            .receives(eth().ipv6().from("fe80::1").tcp(547, 546).syn(), ClosedPort)
            .under(Tcp, 546),
        row("UDP-Lite with the ports of a DHCP answer is closed")
            .receives(eth().ipv4().udp_lite(67, 68), ClosedPort)
            .under(UdpLite, 68),
        row("UDP-Lite with the ports of a DHCPv6 answer is closed")
            .receives(eth().ipv6().from("fe80::1").udp_lite(547, 546), ClosedPort)
            .under(UdpLite, 546),
    ]);
    rows
}
