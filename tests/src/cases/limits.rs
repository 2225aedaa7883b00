//! Limits: so many connections of each sender, so many pings of all.

use fw_common::{
    PortProtocol::Tcp,
    Reason::{Allowed, Banned, ClosedPort, Fragment, Limited, Protocol},
};

use super::each::both;
use crate::{
    packet::eth,
    row::{Row, Scene, row},
    world::{CONTAINER, Family, HOST, OTHER, PEER, SERVER, Station},
};

/// The limit of most rows.
const ONE: &str = "22/tcp=1/30s";

fn syn(ip: Family, from: u16) -> Vec<u8> {
    ip.between(PEER, HOST).tcp(from, 22).syn().build()
}

fn syn_from(ip: Family, station: Station) -> Vec<u8> {
    ip.between(station, HOST).tcp(40_000, 22).syn().build()
}

/// A scene in which PEER opened so many connections in the last seconds.
fn opened(it: Scene, ip: Family, count: u16, ago: u64) -> Scene {
    (0..count).fold(it, |it, n| it.received_ago(ago, syn(ip, 40_000 + n)))
}

/// A packet of ICMP or of `ICMPv6`, with a type and code of each.
fn icmp(ip: Family, from: Station, v4: (u8, u8), v6: (u8, u8)) -> Vec<u8> {
    match ip {
        Family::V4 => ip.between(from, HOST).icmp(v4.0, v4.1).build(),
        Family::V6 => ip.between(from, HOST).icmpv6(v6.0, v6.1).build(),
    }
}

fn ping(ip: Family) -> Vec<u8> {
    icmp(ip, PEER, (8, 0), (128, 0))
}

pub(super) fn rows() -> Vec<Row> {
    [connections(), senders(), around(), pings()].concat()
}

fn connections() -> Vec<Row> {
    let mut rows = Vec::new();
    for (before, ago, reason) in [(0, 1, Allowed), (1, 1, Allowed), (2, 1, Limited), (5, 29, Limited), (5, 31, Allowed)]
    {
        let name =
            format!("with a limit of 2 in 30 s, after {before} connections {ago} s ago the next one is {reason}");
        rows.extend(both(name, |it, ip| {
            opened(it.limit("22/tcp=2/30s"), ip, before, ago).receives(syn(ip, 41_000), reason).under(Tcp, 22)
        }));
    }
    rows.extend(both("what is dropped does not prolong a limit", |it, ip| {
        let it = opened(it.limit(ONE), ip, 1, 31);
        opened(it, ip, 3, 20).receives(syn(ip, 41_000), Allowed).under(Tcp, 22)
    }));
    rows.extend(both("a limit does not hold back a connection's other packets", |it, ip| {
        opened(it.limit(ONE), ip, 3, 1).receives(ip.between(PEER, HOST).tcp(40_000, 22).ack(), Allowed).under(Tcp, 22)
    }));
    rows.extend(both("a limit of one port holds back none of another", |it, ip| {
        opened(it.limit(ONE).limit("23/tcp=1/30s"), ip, 3, 1)
            .receives(ip.between(PEER, HOST).tcp(40_000, 23).syn(), Allowed)
            .under(Tcp, 23)
    }));
    rows.extend(both("a limit is for TCP alone", |it, ip| {
        it.limit(ONE)
            .receives(ip.between(PEER, HOST).udp(40_000, 22), ClosedPort)
            .under(fw_common::PortProtocol::Udp, 22)
    }));
    rows.extend(both("a limited connection in a tagged frame is counted too", |it, ip| {
        let tagged = ip.on(eth().vlan(3), PEER, HOST).tcp(41_000, 22).syn().build();
        opened(it.limit(ONE), ip, 1, 1).receives(tagged, Limited).under(Tcp, 22)
    }));
    rows
}

fn senders() -> Vec<Row> {
    let mut rows = Vec::new();
    for (name, from) in
        [("a limit counts each sender by itself", SERVER), ("neighbours have limits of their own", OTHER)]
    {
        rows.extend(both(name, |it, ip| {
            opened(it.limit(ONE), ip, 3, 1).receives(syn_from(ip, from), Allowed).under(Tcp, 22)
        }));
    }
    for (name, from, reason) in [
        ("IPv6 senders that are not on the link share the limit of their /64", "2001:db8:f::10", Limited),
        ("IPv6 senders of another /64 have another limit", "2001:db8:f:1::9", Allowed),
    ] {
        let syn = |from: &str| eth().ipv6().from(from).tcp(40_000, 22).syn();
        rows.push(row(name).limit(ONE).received_ago(1, syn(SERVER.v6)).receives(syn(from), reason).under(Tcp, 22));
    }
    rows
}

/// A rule that is added for a sender.
type Rule = fn(Scene, &str) -> Scene;

/// Beside other rules.
fn around() -> Vec<Row> {
    let link = |ip: Family| ip.pick("192.0.2.0/24", "[2001:db8::]/64");
    let peer = |ip: Family| ip.pick("192.0.2.77", "[2001:db8::77]");
    let mut rows = both("a limit for a network opens the port to nobody else", |it, ip| {
        it.limit(&format!("{ONE}@{}", link(ip))).receives(syn_from(ip, SERVER), ClosedPort).under(Tcp, 22)
    });
    rows.extend(both("a limit for a network holds back a sender in it, beside a rule for everyone", |it, ip| {
        let it = it.allow("22").limit(&format!("{ONE}@{}", link(ip)));
        opened(it, ip, 1, 1).receives(syn(ip, 41_000), Limited).under(Tcp, 22)
    }));
    let rules: [(&str, Rule, _); 4] = [
        ("a rule for a sender lifts a limit for everyone", |it, peer| it.allow(peer), Allowed),
        (
            "a rule for a sender with an end lifts a limit until then",
            |it, peer| it.allow_until(u64::MAX - 1, peer),
            Allowed,
        ),
        ("a rule for a sender that has ended lifts no limit", |it, peer| it.allow_until(1, peer), Limited),
        ("a refused sender is refused before it is limited", |it, peer| it.refuse(peer), ClosedPort),
    ];
    for (name, rule, reason) in rules {
        rows.extend(both(name, |it, ip| {
            let it = rule(it.limit(ONE), &format!("22/tcp@{}", peer(ip)));
            opened(it, ip, 3, 1).receives(syn(ip, 41_000), reason).under(Tcp, 22)
        }));
    }
    rows.extend(both("a banned sender is banned before it is limited", |it, ip| {
        let network = ip.pick("192.0.2.77/32", "2001:db8::77/128");
        opened(it.limit(ONE).bans(network), ip, 3, 1).receives(syn(ip, 41_000), Banned)
    }));
    rows.extend(both("what would be routed on is not counted", |it, ip| {
        let on = ip.between(PEER, CONTAINER).tcp(40_000, 22).syn().build();
        let it = (0..3).fold(it.limit(ONE), |it, _| it.received_ago(1, on.clone()));
        it.receives(syn(ip, 41_000), Allowed).under(Tcp, 22)
    }));
    rows
}

fn pings() -> Vec<Row> {
    let flood = |it: Scene, ip: Family| (0..3).fold(it.limit("ping=2/10s"), |it, _| it.received_ago(1, ping(ip)));
    let mut rows = both("a ping above the limit is limited", |it, ip| flood(it, ip).receives(ping(ip), Limited));
    rows.extend(both("after its time a ping passes", |it, ip| {
        it.limit("ping=1/10s").received_ago(11, ping(ip)).received_ago(11, ping(ip)).receives(ping(ip), Protocol)
    }));
    rows.extend(both("a ping within the limit passes", |it, ip| {
        it.limit("ping=2/10s").received_ago(1, ping(ip)).receives(ping(ip), Protocol)
    }));
    for (name, from, v4, v6, reason) in [
        ("the limit of pings is for all senders together", SERVER, (8, 0), (128, 0), Limited),
        ("other ICMP is not held back", PEER, (3, 4), (2, 0), Protocol),
        ("an echo reply is not held back", PEER, (0, 0), (129, 0), Protocol),
    ] {
        rows.extend(both(name, |it, ip| flood(it, ip).receives(icmp(ip, from, v4, v6), reason)));
    }
    rows.extend(both("a ping behind options or extension headers is limited too", |it, ip| {
        let link = eth().from(PEER.mac).to(HOST.mac);
        let frame = match ip {
            Family::V4 => link.ipv4().from(PEER.v4).to(HOST.v4).options(&[148, 4, 0, 0]).icmp(8, 0).build(),
            Family::V6 => link.ipv6().from(PEER.v6).to(HOST.v6).destination_options().icmpv6(128, 0).build(),
        };
        flood(it, ip).receives(frame, Limited)
    }));
    rows.push(
        row("a later fragment of a ping is not held back")
            .limit("ping=1/10s")
            .received_ago(1, ping(Family::V4))
            .receives(eth().ipv4().from(PEER.v4).to(HOST.v4).fragment_offset(100).icmp(8, 0), Fragment),
    );
    rows
}
