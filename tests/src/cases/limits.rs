//! Limits: so many connections of each sender, so many pings of all.

use fw_common::{
    PortProtocol::Tcp,
    Reason::{Allowed, Banned, ClosedPort, Fragment, Limited, Protocol},
};

use super::each::both;
use crate::{
    packet::eth,
    row::{Row, Scene, row},
    world::{CONTAINER, Family, HOST, OTHER, PEER, SERVER},
};

fn syn(ip: Family, from: u16) -> Vec<u8> {
    ip.between(PEER, HOST).tcp(from, 22).syn().build()
}

/// A scene in which PEER opened so many connections in the last seconds.
fn opened(it: Scene, ip: Family, count: u16, ago: u64) -> Scene {
    (0..count).fold(it, |it, n| it.received_ago(ago, syn(ip, 40_000 + n)))
}

fn ping(ip: Family) -> Vec<u8> {
    match ip {
        Family::V4 => ip.between(PEER, HOST).icmp(8, 0).build(),
        Family::V6 => ip.between(PEER, HOST).icmpv6(128, 0).build(),
    }
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
        let it = opened(it.limit("22/tcp=1/30s"), ip, 1, 31);
        opened(it, ip, 3, 20).receives(syn(ip, 41_000), Allowed).under(Tcp, 22)
    }));
    rows.extend(both("a limit does not hold back a connection's other packets", |it, ip| {
        opened(it.limit("22/tcp=1/30s"), ip, 3, 1)
            .receives(ip.between(PEER, HOST).tcp(40_000, 22).ack(), Allowed)
            .under(Tcp, 22)
    }));
    rows.extend(both("a limit of one port holds back none of another", |it, ip| {
        opened(it.limit("22/tcp=1/30s").limit("23/tcp=1/30s"), ip, 3, 1)
            .receives(ip.between(PEER, HOST).tcp(40_000, 23).syn(), Allowed)
            .under(Tcp, 23)
    }));
    rows.extend(both("a limit is for TCP alone", |it, ip| {
        it.limit("22/tcp=1/30s")
            .receives(ip.between(PEER, HOST).udp(40_000, 22), ClosedPort)
            .under(fw_common::PortProtocol::Udp, 22)
    }));
    rows.extend(both("a limited connection in a tagged frame is counted too", |it, ip| {
        let tagged = ip.on(eth().vlan(3), PEER, HOST).tcp(41_000, 22).syn().build();
        opened(it.limit("22/tcp=1/30s"), ip, 1, 1).receives(tagged, Limited).under(Tcp, 22)
    }));
    rows
}

fn senders() -> Vec<Row> {
    let mut rows = both("a limit counts each sender by itself", |it, ip| {
        opened(it.limit("22/tcp=1/30s"), ip, 3, 1)
            .receives(ip.between(SERVER, HOST).tcp(40_000, 22).syn(), Allowed)
            .under(Tcp, 22)
    });
    rows.extend(both("neighbours have limits of their own", |it, ip| {
        opened(it.limit("22/tcp=1/30s"), ip, 3, 1)
            .receives(ip.between(OTHER, HOST).tcp(40_000, 22).syn(), Allowed)
            .under(Tcp, 22)
    }));
    for (name, from, reason) in [
        ("IPv6 senders that are not on the link share the limit of their /64", "2001:db8:f::10", Limited),
        ("IPv6 senders of another /64 have another limit", "2001:db8:f:1::9", Allowed),
    ] {
        let syn = |from: &str| eth().ipv6().from(from).tcp(40_000, 22).syn();
        rows.push(
            row(name).limit("22/tcp=1/30s").received_ago(1, syn(SERVER.v6)).receives(syn(from), reason).under(Tcp, 22),
        );
    }
    rows
}

/// Beside other rules.
fn around() -> Vec<Row> {
    let link = |ip: Family| ip.pick("192.0.2.0/24", "[2001:db8::]/64");
    let peer = |ip: Family| ip.pick("192.0.2.77", "[2001:db8::77]");
    let mut rows = both("a limit for a network opens the port to nobody else", |it, ip| {
        it.limit(&format!("22/tcp=1/30s@{}", link(ip)))
            .receives(ip.between(SERVER, HOST).tcp(40_000, 22).syn(), ClosedPort)
            .under(Tcp, 22)
    });
    rows.extend(both("a limit for a network holds back a sender in it, beside a rule for everyone", |it, ip| {
        let it = it.allow("22").limit(&format!("22/tcp=1/30s@{}", link(ip)));
        opened(it, ip, 1, 1).receives(syn(ip, 41_000), Limited).under(Tcp, 22)
    }));
    rows.extend(both("a rule for a sender lifts a limit for everyone", |it, ip| {
        let it = it.limit("22/tcp=1/30s").allow(&format!("22/tcp@{}", peer(ip)));
        opened(it, ip, 3, 1).receives(syn(ip, 41_000), Allowed).under(Tcp, 22)
    }));
    rows.extend(both("a rule for a sender with an end lifts a limit until then", |it, ip| {
        let it = it.limit("22/tcp=1/30s").allow_until(u64::MAX - 1, &format!("22/tcp@{}", peer(ip)));
        opened(it, ip, 3, 1).receives(syn(ip, 41_000), Allowed).under(Tcp, 22)
    }));
    rows.extend(both("a rule for a sender that has ended lifts no limit", |it, ip| {
        let it = it.limit("22/tcp=1/30s").allow_until(1, &format!("22/tcp@{}", peer(ip)));
        opened(it, ip, 3, 1).receives(syn(ip, 41_000), Limited).under(Tcp, 22)
    }));
    rows.extend(both("a refused sender is refused before it is limited", |it, ip| {
        let it = it.limit("22/tcp=1/30s").refuse(&format!("22/tcp@{}", peer(ip)));
        opened(it, ip, 3, 1).receives(syn(ip, 41_000), ClosedPort).under(Tcp, 22)
    }));
    rows.extend(both("a banned sender is banned before it is limited", |it, ip| {
        let network = ip.pick("192.0.2.77/32", "2001:db8::77/128");
        opened(it.limit("22/tcp=1/30s").bans(network), ip, 3, 1).receives(syn(ip, 41_000), Banned)
    }));
    rows.extend(both("what would be routed on is not counted", |it, ip| {
        let on = ip.between(PEER, CONTAINER).tcp(40_000, 22).syn().build();
        let it = (0..3).fold(it.limit("22/tcp=1/30s"), |it, _| it.received_ago(1, on.clone()));
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
    rows.extend(both("the limit of pings is for all senders together", |it, ip| {
        let other = match ip {
            Family::V4 => ip.between(SERVER, HOST).icmp(8, 0).build(),
            Family::V6 => ip.between(SERVER, HOST).icmpv6(128, 0).build(),
        };
        flood(it, ip).receives(other, Limited)
    }));
    rows.extend(both("other ICMP is not held back", |it, ip| {
        let unreachable = match ip {
            Family::V4 => ip.between(PEER, HOST).icmp(3, 4).build(),
            Family::V6 => ip.between(PEER, HOST).icmpv6(2, 0).build(),
        };
        flood(it, ip).receives(unreachable, Protocol)
    }));
    rows.extend(both("an echo reply is not held back", |it, ip| {
        let reply = match ip {
            Family::V4 => ip.between(PEER, HOST).icmp(0, 0).build(),
            Family::V6 => ip.between(PEER, HOST).icmpv6(129, 0).build(),
        };
        flood(it, ip).receives(reply, Protocol)
    }));
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
