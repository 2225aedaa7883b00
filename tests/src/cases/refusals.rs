//! Refusals: a port is open, but not to some.

use fw_common::{
    PortProtocol::{Tcp, Udp},
    Reason::{Allowed, ClosedPort, Forwarded, Reply},
};

use super::each::{both, every_transport, rule};
use crate::{
    row::Row,
    world::{CONTAINER, Family, HOST, OTHER, PEER, SERVER},
};

fn link(ip: Family) -> &'static str {
    ip.pick("192.0.2.0/24", "[2001:db8::]/64")
}

fn peer(ip: Family) -> &'static str {
    ip.pick("192.0.2.77", "[2001:db8::77]")
}

pub(super) fn rows() -> Vec<Row> {
    let mut rows = every_transport("an open port is closed to a refused sender", |it, ip, protocol| {
        let port = rule("22", protocol);
        let frame = ip.between(PEER, HOST).ports(protocol, 40_000, 22);
        it.allow(&port).refuse(&format!("{port}@{}", peer(ip))).receives(frame, ClosedPort).under(protocol, 22)
    });
    rows.extend(every_transport("an open port is open to a refused sender's neighbour", |it, ip, protocol| {
        let port = rule("22", protocol);
        let frame = ip.between(OTHER, HOST).ports(protocol, 40_000, 22);
        it.allow(&port).refuse(&format!("{port}@{}", peer(ip))).receives(frame, Allowed).under(protocol, 22)
    }));
    for (name, allowed, refused, reason) in [
        ("a refusal narrows a rule for a network", "22/tcp@LINK", "22/tcp@PEER", ClosedPort),
        ("a refusal wins over a rule for a part of its network", "22/tcp@PEER", "22/tcp@LINK", ClosedPort),
        ("a refusal of another port changes nothing", "22/tcp", "23/tcp@PEER", Allowed),
        ("a refusal of another protocol changes nothing", "22/tcp", "22/udp@PEER", Allowed),
        ("a refusal of a range closes a port in it", "22/tcp", "1-1000/tcp@PEER", ClosedPort),
        ("a refusal of every port closes each", "22/tcp", "all@PEER", ClosedPort),
    ] {
        rows.extend(both(name, |it, ip| {
            let spec = |text: &str| text.replace("LINK", link(ip)).replace("PEER", peer(ip));
            let frame = ip.between(PEER, HOST).tcp(40_000, 22).syn();
            it.allow(&spec(allowed)).refuse(&spec(refused)).receives(frame, reason).under(Tcp, 22)
        }));
    }
    rows.extend(both("a refusal of one family is none of the other", |it, ip| {
        let other = ip.pick("0.0.0.0/0", "[::]/0");
        it.allow("22/tcp@192.0.2.0/24")
            .allow("22/tcp@[2001:db8::]/64")
            .refuse(&format!("22/tcp@{}", ip.pick("[::]/0", "0.0.0.0/0")))
            .refuse(&format!("23/tcp@{other}"))
            .receives(ip.between(PEER, HOST).tcp(40_000, 22).syn(), Allowed)
            .under(Tcp, 22)
    }));
    rows.extend(both("a refused server's reply passes", |it, ip| {
        it.allow("1-65535/tcp")
            .refuse(&format!("1-65535/tcp@{}", ip.pick("203.0.113.9", "[2001:db8:f::9]")))
            .sent(ip.between(HOST, SERVER).tcp(40_000, 443).syn())
            .receives(ip.between(SERVER, HOST).tcp(443, 40_000).syn().ack(), Reply)
            .remembering(1)
    }));
    rows.extend(both("from a port that is refused to its receiver a datagram makes a flow", |it, ip| {
        it.allow("53/udp")
            .refuse(&format!("53/udp@{}", ip.pick("203.0.113.9", "[2001:db8:f::9]")))
            .sent(ip.between(HOST, SERVER).udp(53, 53))
            .receives(ip.between(SERVER, HOST).udp(53, 53), Reply)
            .remembering(1)
    }));
    rows.extend(both("a refused sender's datagram is dropped by its port", |it, ip| {
        it.allow("53/udp")
            .refuse(&format!("53/udp@{}", peer(ip)))
            .receives(ip.between(PEER, HOST).udp(40_000, 53), ClosedPort)
            .under(Udp, 53)
    }));
    rows.extend(both("what is refused to others is not routed on", |it, ip| {
        it.allow("80/tcp")
            .refuse(&format!("80/tcp@{}", peer(ip)))
            .receives(ip.between(OTHER, CONTAINER).tcp(40_000, 80).syn(), Forwarded)
            .under(Tcp, 80)
    }));
    rows
}
