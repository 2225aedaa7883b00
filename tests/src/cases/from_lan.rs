//! Ports that are open to the senders on the interface's link.

use fw_common::{
    PortProtocol::Tcp,
    Reason::{Allowed, ClosedPort, Limited, Reply},
};

use super::each::{both, every_transport, rule};
use crate::{
    packet::eth,
    row::{Row, row},
    world::{Family, HOST, OTHER, PEER, SERVER},
};

fn syn(ip: Family, from: crate::world::Station) -> Vec<u8> {
    ip.between(from, HOST).tcp(40_000, 445).syn().build()
}

fn peer(ip: Family) -> &'static str {
    ip.pick("192.0.2.77", "[2001:db8::77]")
}

pub(super) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for (from, reason) in [(PEER, Allowed), (SERVER, ClosedPort)] {
        rows.extend(every_transport(
            &format!("a port that is open to the link is {reason} from {}", from.v4),
            |it, ip, protocol| {
                let frame = ip.between(from, HOST).ports(protocol, 40_000, 445);
                it.allow(&format!("{}@lan", rule("445", protocol))).receives(frame, reason).under(protocol, 445)
            },
        ));
    }
    for (name, allowed, refused, from, reason) in [
        ("a refusal to the link keeps a neighbour out", "445", "445@lan", PEER, ClosedPort),
        ("a refusal to the link keeps nobody else out", "445", "445@lan", SERVER, Allowed),
        ("a refusal to the link outweighs a rule for a neighbour", "445@PEER", "445@lan", PEER, ClosedPort),
        ("a refusal to one neighbour narrows a rule for the link", "445@lan", "445@PEER", PEER, ClosedPort),
        ("a refusal to one neighbour leaves the link to the others", "445@lan", "445@PEER", OTHER, Allowed),
    ] {
        rows.extend(both(name, |it, ip| {
            let spec = |text: &str| text.replace("PEER", peer(ip));
            it.allow(&spec(allowed)).refuse(&spec(refused)).receives(syn(ip, from), reason).under(Tcp, 445)
        }));
    }
    rows.extend(both("a rule for a network counts beside one for the link", |it, ip| {
        let far = ip.pick("445@203.0.113.0/24", "445@[2001:db8:f::]/48");
        it.allow("445@lan").allow(far).receives(syn(ip, SERVER), Allowed).under(Tcp, 445)
    }));
    for (name, limit, allowed, from, reason) in [
        ("a rule for the link lifts a limit for everyone there", "445/tcp=1/30s", &["445/tcp@lan"][..], PEER, Allowed),
        ("a rule for the link lifts no limit elsewhere", "445/tcp=1/30s", &["445/tcp@lan"], SERVER, Limited),
        ("a limit for the link holds back a neighbour", "445/tcp=1/30s@lan", &[], PEER, Limited),
    ] {
        rows.extend(both(name, |it, ip| {
            let it = allowed.iter().fold(it.limit(limit), |it, rule| it.allow(rule));
            it.received_ago(1, syn(ip, from)).receives(syn(ip, from), reason).under(Tcp, 445)
        }));
    }
    rows.extend(both("a limit for the link opens the port to nobody else", |it, ip| {
        it.limit("445/tcp=1/30s@lan").receives(syn(ip, SERVER), ClosedPort).under(Tcp, 445)
    }));
    rows.extend(both("a rule for the link with an end has ended", |it, ip| {
        it.allow_until(1, "445@lan").receives(syn(ip, PEER), ClosedPort).under(Tcp, 445)
    }));
    rows.push(
        row("a link-local sender is on the link")
            .allow("445@lan")
            .receives(eth().ipv6().from("fe80::77").tcp(40_000, 445).syn(), Allowed)
            .under(Tcp, 445),
    );
    rows.extend(both("from a port that is open to the link a datagram to elsewhere makes a flow", |it, ip| {
        it.allow("53/udp@lan")
            .sent(ip.between(HOST, SERVER).udp(53, 53))
            .receives(ip.between(SERVER, HOST).udp(53, 53), Reply)
            .remembering(1)
    }));
    rows.extend(both("from a port that is open to the link a datagram to a neighbour makes none", |it, ip| {
        it.allow("53/udp@lan")
            .sent(ip.between(HOST, PEER).udp(53, 53))
            .receives(ip.between(PEER, HOST).udp(53, 53), Allowed)
            .under(fw_common::PortProtocol::Udp, 53)
            .remembering(0)
    }));
    rows
}
