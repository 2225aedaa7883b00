//! Ports that are open to some networks.

use fw_common::{
    PortProtocol::{Tcp, Udp},
    Reason::{Allowed, ClosedPort},
};

use super::each::{both, every_transport, rule};
use crate::{
    packet::eth,
    row::{Row, row},
    world::{Family, HOST, OTHER, PEER, SERVER},
};

pub(super) fn rows() -> Vec<Row> {
    [inside_and_outside(), prefixes(), lists()].concat()
}

/// The network of the host's link.
fn link(ip: Family) -> &'static str {
    ip.pick("192.0.2.0/24", "[2001:db8::]/64")
}

fn inside_and_outside() -> Vec<Row> {
    let mut rows = every_transport("a port that is open to a network is allowed from inside it", |it, ip, protocol| {
        let frame = ip.between(PEER, HOST).ports(protocol, 40_000, 22);
        it.allow(&format!("{}@{}", rule("22", protocol), link(ip))).receives(frame, Allowed).under(protocol, 22)
    });
    rows.extend(every_transport("a port that is open to a network is closed from outside it", |it, ip, protocol| {
        let frame = ip.between(SERVER, HOST).ports(protocol, 40_000, 22);
        it.allow(&format!("{}@{}", rule("22", protocol), link(ip))).receives(frame, ClosedPort).under(protocol, 22)
    }));
    for (name, from, v4, v6, reason) in [
        ("a port that is open to one address is allowed from it", PEER, "192.0.2.77", "[2001:db8::77]", Allowed),
        (
            "a port that is open to one address is closed from its neighbour",
            PEER,
            "192.0.2.76",
            "[2001:db8::76]",
            ClosedPort,
        ),
        ("the destination's network is not the source's", SERVER, "192.0.2.2", "[2001:db8::2]", ClosedPort),
        ("a port that is open to all of one family is closed to the other", PEER, "[::]/0", "0.0.0.0/0", ClosedPort),
        ("a port that is open to all of a family is allowed to it", SERVER, "0.0.0.0/0", "[::]/0", Allowed),
    ] {
        rows.extend(both(name, |it, ip| {
            let frame = ip.between(from, HOST).tcp(40_000, 22).syn();
            it.allow(&format!("22/tcp@{}", ip.pick(v4, v6))).receives(frame, reason).under(Tcp, 22)
        }));
    }
    rows
}

fn prefixes() -> Vec<Row> {
    let mut rows = Vec::new();
    for (network, source, reason) in [
        ("203.0.113.64/26", "203.0.113.63", ClosedPort),
        ("203.0.113.64/26", "203.0.113.64", Allowed),
        ("203.0.113.64/26", "203.0.113.127", Allowed),
        ("203.0.113.64/26", "203.0.113.128", ClosedPort),
        ("203.0.113.64/26", "203.0.112.64", ClosedPort),
        ("[2001:db8:f:1000::]/52", "2001:db8:f:fff::1", ClosedPort),
        ("[2001:db8:f:1000::]/52", "2001:db8:f:1000::", Allowed),
        ("[2001:db8:f:1000::]/52", "2001:db8:f:1fff:ffff:ffff:ffff:ffff", Allowed),
        ("[2001:db8:f:1000::]/52", "2001:db8:f:2000::", ClosedPort),
        ("[2001:db8:f:1000::]/52", "2001:db8:e:1000::", ClosedPort),
    ] {
        let frame: Vec<u8> = if source.contains(':') {
            eth().ipv6().from(source).tcp(40_000, 22).syn().into()
        } else {
            eth().ipv4().from(source).tcp(40_000, 22).syn().into()
        };
        rows.push(
            row(format!("with a port open to {network}, {source} is {reason}"))
                .allow(&format!("22/tcp@{network}"))
                .receives(frame, reason)
                .under(Tcp, 22),
        );
    }
    rows
}

fn lists() -> Vec<Row> {
    let first = |ip: Family| ip.pick("22/tcp@192.0.2.77", "22/tcp@[2001:db8::77]");
    let second = |ip: Family| ip.pick("22/tcp@203.0.113.0/24", "22/tcp@[2001:db8:f::]/48");
    let mut rows = Vec::new();
    for (name, from, reason) in
        [("first", PEER, Allowed), ("second", SERVER, Allowed), ("third, unnamed", OTHER, ClosedPort)]
    {
        rows.extend(both(format!("a port that is open to two networks is {reason} to the {name}"), |it, ip| {
            let frame = ip.between(from, HOST).tcp(40_000, 22).syn();
            it.allow(first(ip)).allow(second(ip)).receives(frame, reason).under(Tcp, 22)
        }));
    }
    for (port, reason) in [(22, Allowed), (80, ClosedPort)] {
        rows.extend(both(format!("one port's network is not another's: {port} is {reason}"), |it, ip| {
            let other = ip.pick("80/tcp@203.0.113.0/24", "80/tcp@[2001:db8:f::]/48");
            let frame = ip.between(PEER, HOST).tcp(40_000, port).syn();
            it.allow(first(ip)).allow(other).receives(frame, reason).under(Tcp, port)
        }));
    }
    rows.extend(both("one transport's network is not another's", |it, ip| {
        let other = ip.pick("22/udp@203.0.113.0/24", "22/udp@[2001:db8:f::]/48");
        it.allow(first(ip)).allow(other).receives(ip.between(PEER, HOST).udp(40_000, 22), ClosedPort).under(Udp, 22)
    }));
    rows.extend(both("a port that is open to a network inside another is allowed from the larger one", |it, ip| {
        let larger = ip.pick("22/tcp@192.0.2.0/24", "22/tcp@[2001:db8::]/64");
        let frame = ip.between(OTHER, HOST).tcp(40_000, 22).syn();
        it.allow(first(ip)).allow(larger).receives(frame, Allowed).under(Tcp, 22)
    }));
    rows.extend(both("a port that is open to everyone and to a network is open to everyone", |it, ip| {
        let frame = ip.between(SERVER, HOST).tcp(40_000, 22).syn();
        it.allow(first(ip)).allow("22/tcp").receives(frame, Allowed).under(Tcp, 22)
    }));
    rows
}
