//! mDNS from its own port, and the other services that ask many from theirs.

use fw_common::{
    PortProtocol::Udp,
    Reason::{ClosedPort, Reply},
};

use super::each::both;
use crate::{
    packet::{Layer, Payload, Stack, eth},
    row::{Row, row},
    world::{Family, HOST, MDNS, OTHER, PEER, SERVER, Station, VLAN, VLAN_HOST},
};

/// The flags of a DNS message (RFC 1035, 4.1.1), its second word: an answer that speaks for its zone, as mDNS's are.
const ANSWER: [u8; 12] = [0, 0, 0x84, 0, 0, 0, 0, 1, 0, 0, 0, 0];
const QUESTION: [u8; 12] = [0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];

pub(super) fn rows() -> Vec<Row> {
    [answers(), near_misses(), limits(), services()].concat()
}

fn question(ip: Family) -> Stack<Payload> {
    ip.between(HOST, MDNS).udp(5353, 5353).payload(&QUESTION)
}

/// An IP header with this TTL or hop limit.
fn hops(ip: Family, from: Station, to: Station, hops: u8) -> Stack<Box<dyn Layer>> {
    let link = eth().from(from.mac).to(to.mac);
    match ip {
        Family::V4 => link.ipv4().from(from.v4).to(to.v4).ttl(hops).erased(),
        Family::V6 => link.ipv6().from(from.v6).to(to.v6).hop_limit(hops).erased(),
    }
}

fn answer(ip: Family, to: Station, ttl: u8) -> Stack<Payload> {
    hops(ip, PEER, to, ttl).udp(5353, 5353).payload(&ANSWER)
}

fn answers() -> Vec<Row> {
    let mut rows = both("an mDNS answer to the group is a reply to an mDNS question", |it, ip| {
        it.sent(question(ip)).receives(answer(ip, MDNS, 255), Reply).remembering(1)
    });
    rows.extend(both("an mDNS answer to the group is a reply whatever its TTL", |it, ip| {
        it.sent(question(ip)).receives(answer(ip, MDNS, 64), Reply)
    }));
    rows.extend(both("an mDNS answer to this host that no router passed on is a reply", |it, ip| {
        it.sent(question(ip)).receives(answer(ip, HOST, 255), Reply).remembering(1)
    }));
    rows.extend(both("everyone on the link may answer an mDNS question", |it, ip| {
        let other = hops(ip, OTHER, MDNS, 255).udp(5353, 5353).payload(&ANSWER);
        it.sent_ago(2, question(ip)).received_ago(1, answer(ip, MDNS, 255)).receives(other, Reply)
    }));
    rows.extend(both("an mDNS answer behind options or extension headers is a reply", |it, ip| {
        let behind = match ip {
            Family::V4 => eth().ipv4().to(MDNS.v4).options(&[148, 4, 0, 0]).erased(),
            Family::V6 => eth().ipv6().to(MDNS.v6).destination_options().long_destination_options(60).erased(),
        };
        it.sent(question(ip)).receives(behind.udp(5353, 5353).payload(&ANSWER), Reply)
    }));
    rows.extend(both("an mDNS question and its answer may be in the same VLAN", |it, ip| {
        let tagged = |from, to, message: &[u8]| ip.on(eth().vlan(VLAN), from, to).udp(5353, 5353).payload(message);
        it.sent(tagged(VLAN_HOST, MDNS, &QUESTION)).receives(tagged(PEER, MDNS, &ANSWER), Reply)
    }));
    rows
}

fn near_misses() -> Vec<Row> {
    let mut rows = Vec::new();
    let mut closed = |name: &str, frame: fn(Family) -> Vec<u8>| {
        rows.extend(both(name, |it, ip| {
            it.sent(question(ip)).receives(frame(ip), ClosedPort).under(Udp, 5353).remembering(1)
        }));
    };
    closed("an mDNS answer to this host that a router passed on is closed", |ip| answer(ip, HOST, 254).build());
    closed("an mDNS question of another host is closed", |ip| {
        hops(ip, PEER, MDNS, 255).udp(5353, 5353).payload(&QUESTION).build()
    });
    closed("an mDNS answer from another port is closed", |ip| {
        hops(ip, PEER, HOST, 255).udp(5354, 5353).payload(&ANSWER).build()
    });
    closed("an mDNS answer that ends before its flags is closed", |ip| {
        hops(ip, PEER, MDNS, 255).udp(5353, 5353).payload(&ANSWER[..3]).trailer(&ANSWER)
    });
    closed("an mDNS answer over the other family is closed", |ip| answer(ip.other(), MDNS, 255).build());
    rows.extend(both("an mDNS answer that nobody asked for is closed", |it, ip| {
        it.receives(answer(ip, MDNS, 255), ClosedPort).under(Udp, 5353)
    }));
    rows.extend(both("an mDNS announcement of this host opens nothing", |it, ip| {
        it.sent(ip.between(HOST, MDNS).udp(5353, 5353).payload(&ANSWER))
            .receives(answer(ip, MDNS, 255), ClosedPort)
            .under(Udp, 5353)
            .remembering(0)
    }));
    rows.extend(both("an mDNS question makes no server off the link a peer", |it, ip| {
        let answer = ip.between(SERVER, HOST).udp(5353, 5353).payload(&ANSWER);
        it.sent(question(ip)).receives(answer, ClosedPort).under(Udp, 5353)
    }));
    rows.extend(both("an mDNS question to one host is answered by that one, whatever the TTL", |it, ip| {
        let question = ip.between(HOST, SERVER).udp(5353, 5353).payload(&QUESTION);
        it.sent(question).receives(ip.between(SERVER, HOST).udp(5353, 5353).payload(&ANSWER), Reply)
    }));
    rows
}

fn limits() -> Vec<Row> {
    const MINUTE: u64 = 60;
    let answer = |ip| answer(ip, MDNS, 255);
    let mut rows = both("mDNS answers are awaited for 65 minutes", |it, ip| {
        it.sent_ago(64 * MINUTE, question(ip)).receives(answer(ip), Reply)
    });
    rows.extend(both("an mDNS answer after 65 minutes is too late", |it, ip| {
        it.sent_ago(66 * MINUTE, question(ip)).receives(answer(ip), ClosedPort).under(Udp, 5353)
    }));
    rows.extend(both("mDNS answers do not prolong the wait", |it, ip| {
        it.sent_ago(80 * MINUTE, question(ip))
            .received_ago(40 * MINUTE, answer(ip))
            .receives(answer(ip), ClosedPort)
            .under(Udp, 5353)
    }));
    rows.extend(both("another mDNS question prolongs the wait", |it, ip| {
        it.sent_ago(80 * MINUTE, question(ip))
            .sent_ago(40 * MINUTE, question(ip))
            .receives(answer(ip), Reply)
            .remembering(1)
    }));
    rows
}

fn services() -> Vec<Row> {
    let mut rows = Vec::new();
    for port in [137, 138, 1900, 3702, 5355] {
        rows.extend(both(format!("what a service sends to many from its own port {port} opens nothing"), |it, ip| {
            it.sent(ip.between(HOST, MDNS).udp(port, port))
                .receives(ip.between(PEER, HOST).udp(port, port), ClosedPort)
                .under(Udp, port)
                .remembering(0)
        }));
        rows.extend(both(format!("what a client sends to many at port {port} is answered"), |it, ip| {
            it.sent(ip.between(HOST, MDNS).udp(45_000, port))
                .receives(ip.between(PEER, HOST).udp(port, 45_000), Reply)
                .remembering(1)
        }));
    }
    rows.extend(both("what is like an mDNS question over UDP-Lite opens nothing", |it, ip| {
        it.sent(ip.between(HOST, MDNS).udp_lite(5353, 5353).payload(&QUESTION))
            .receives(answer(ip, MDNS, 255), ClosedPort)
            .under(Udp, 5353)
            .remembering(0)
    }));
    rows.extend(both("other ports that ask many from the same port are clients'", |it, ip| {
        it.sent(ip.between(HOST, MDNS).udp(47_808, 47_808)).receives(ip.between(PEER, HOST).udp(47_808, 47_808), Reply)
    }));
    rows.push(
        row("a datagram from a service's own port to one host is answered by that one")
            .sent(eth().from(HOST.mac).to(PEER.mac).ipv4().from(HOST.v4).to(PEER.v4).udp(137, 137))
            .receives(eth().ipv4().udp(137, 137), Reply),
    );
    rows
}
