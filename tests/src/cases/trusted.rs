//! A trusted host: every port of every protocol with ports, and nothing else.

use fw_common::{
    PortProtocol::Tcp,
    Reason::{Allowed, ClosedPort, ClosedProtocol, Forwarded, Martian},
};

use super::each::{both, every_transport};
use crate::{
    packet::eth,
    row::{Row, row},
    world::{CONTAINER, Family, HOST, OTHER, PEER},
};

/// Every port for PEER.
fn all(ip: Family) -> String {
    ip.pick(format!("all@{}", PEER.v4), format!("all@[{}]", PEER.v6))
}

pub(super) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for port in [1, 9125, 65_535] {
        rows.extend(every_transport(&format!("port {port} is open to a trusted host"), |it, ip, protocol| {
            let frame = ip.between(PEER, HOST).ports(protocol, 40_000, port);
            it.allow(&all(ip)).receives(frame, Allowed).under(protocol, port)
        }));
    }
    rows.extend(every_transport("a port is closed to the neighbour of a trusted host", |it, ip, protocol| {
        let frame = ip.between(OTHER, HOST).ports(protocol, 40_000, 9125);
        it.allow(&all(ip)).receives(frame, ClosedPort).under(protocol, 9125)
    }));
    rows.extend(every_transport("port 0 is closed to a trusted host", |it, ip, protocol| {
        let frame = ip.between(PEER, HOST).ports(protocol, 40_000, 0);
        it.allow(&all(ip)).receives(frame, ClosedPort).under(protocol, 0)
    }));
    rows.extend(both("a trusted host's tunnel is closed", |it, ip| {
        it.allow(&all(ip)).receives(ip.between(PEER, HOST).gre(), ClosedProtocol)
    }));
    rows.extend(every_transport("a trusted host's packet is not routed on", |it, ip, protocol| {
        let frame = ip.between(PEER, CONTAINER).ports(protocol, 40_000, 80);
        it.allow(&all(ip)).receives(frame, Forwarded).under(protocol, 80)
    }));
    rows.extend(both("a trusted host of one family is none of the other", |it, ip| {
        let other = ip.pick(Family::V6, Family::V4);
        it.allow(&all(other)).receives(ip.between(PEER, HOST).tcp(40_000, 9125).syn(), ClosedPort).under(Tcp, 9125)
    }));
    rows.extend(both("a port that is open to everyone is open beside a trusted host", |it, ip| {
        it.allow("22").allow(&all(ip)).receives(ip.between(OTHER, HOST).tcp(40_000, 22).syn(), Allowed).under(Tcp, 22)
    }));
    rows.push(
        row("a martian from trusted networks is still one")
            .allow("all@0.0.0.0/0")
            .receives(eth().ipv4().from("127.0.0.1").tcp(40_000, 22).syn(), Martian),
    );
    rows
}
