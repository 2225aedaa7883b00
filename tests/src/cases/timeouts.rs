//! How long flows are remembered: TCP, SCTP and DCCP 124 minutes without a packet, UDP and UDP-Lite 180 seconds.
//!
//! The loaded program's clock goes on while a row is played, so rows keep a second's distance from the limit.

use fw_common::{
    PortProtocol::{self, Tcp, Udp, UdpLite},
    Reason::{ClosedPort, Reply},
};

use super::each::{both, every_transport};
use crate::{
    packet::{Layer, Stack},
    row::Row,
    world::{Family, HOST, SERVER},
};

pub(super) fn rows() -> Vec<Row> {
    [limits(), refreshed(), set()].concat()
}

/// Seconds without a packet.
const fn limit(protocol: PortProtocol) -> u64 {
    match protocol {
        Udp | UdpLite => 180,
        _ => 124 * 60,
    }
}

fn request(ip: Family, protocol: PortProtocol) -> Stack<Box<dyn Layer>> {
    match protocol {
        Tcp => ip.between(HOST, SERVER).tcp(45_000, 443).syn().erased(),
        other => ip.between(HOST, SERVER).ports(other, 45_000, 443),
    }
}

fn answer(ip: Family, protocol: PortProtocol) -> Stack<Box<dyn Layer>> {
    ip.between(SERVER, HOST).ports(protocol, 443, 45_000)
}

/// Timeouts as the policy sets them.
fn set() -> Vec<Row> {
    const QUARTER: u32 = 900;
    let mut rows = both("a battery device may answer after a quarter of an hour where the policy says so", |it, ip| {
        it.udp_timeouts(QUARTER, QUARTER)
            .sent_ago((QUARTER - 2).into(), request(ip, Udp))
            .receives(answer(ip, Udp), Reply)
    });
    rows.extend(both("a UDP flow is forgotten after the policy's timeout", |it, ip| {
        it.udp_timeouts(30, 180).sent_ago(31, request(ip, Udp)).receives(answer(ip, Udp), ClosedPort).under(Udp, 45_000)
    }));
    rows.extend(both("an answered UDP flow lives as long as the policy lets streams", |it, ip| {
        it.udp_timeouts(30, 180)
            .sent_ago(188, request(ip, Udp))
            .received_ago(178, answer(ip, Udp))
            .receives(answer(ip, Udp), Reply)
    }));
    rows.extend(both("an answered UDP flow stays a stream when more leaves", |it, ip| {
        it.udp_timeouts(30, 180)
            .sent_ago(300, request(ip, Udp))
            .received_ago(299, answer(ip, Udp))
            .sent_ago(170, request(ip, Udp))
            .receives(answer(ip, Udp), Reply)
    }));
    rows.extend(both("a UDP flow that more leaves by is no stream without an answer", |it, ip| {
        it.udp_timeouts(30, 180)
            .sent_ago(60, request(ip, Udp))
            .sent_ago(40, request(ip, Udp))
            .receives(answer(ip, Udp), ClosedPort)
            .under(Udp, 45_000)
    }));
    rows.extend(both("a TCP flow lives as long as the policy says", |it, ip| {
        it.tcp_timeout(86_400).sent_ago(86_398, request(ip, Tcp)).receives(answer(ip, Tcp), Reply)
    }));
    rows.extend(both("a TCP flow is forgotten after the policy's timeout", |it, ip| {
        it.tcp_timeout(300).sent_ago(301, request(ip, Tcp)).receives(answer(ip, Tcp), ClosedPort).under(Tcp, 45_000)
    }));
    rows
}

fn limits() -> Vec<Row> {
    let mut rows = every_transport("a flow is remembered until its timeout", |it, ip, protocol| {
        it.sent_ago(limit(protocol) - 2, request(ip, protocol)).receives(answer(ip, protocol), Reply)
    });
    rows.extend(every_transport("a flow is forgotten after its timeout", |it, ip, protocol| {
        it.sent_ago(limit(protocol) + 1, request(ip, protocol))
            .receives(answer(ip, protocol), ClosedPort)
            .under(protocol, 45_000)
    }));
    rows
}

fn refreshed() -> Vec<Row> {
    let mut rows = every_transport("what leaves prolongs a flow", |it, ip, protocol| {
        let half = limit(protocol) * 2 / 3;
        it.sent_ago(2 * half, request(ip, protocol))
            .sent_ago(half, ip.between(HOST, SERVER).ports(protocol, 45_000, 443))
            .receives(answer(ip, protocol), Reply)
    });
    rows.extend(every_transport("what comes in prolongs a flow", |it, ip, protocol| {
        let half = limit(protocol) * 2 / 3;
        it.sent_ago(2 * half, request(ip, protocol))
            .received_ago(half, answer(ip, protocol))
            .receives(answer(ip, protocol), Reply)
    }));
    rows.extend(every_transport("a prolonged flow is forgotten in the end", |it, ip, protocol| {
        let limit = limit(protocol);
        it.sent_ago(limit + 11, request(ip, protocol))
            .received_ago(limit + 1, answer(ip, protocol))
            .receives(answer(ip, protocol), ClosedPort)
            .under(protocol, 45_000)
    }));
    rows.extend(every_transport("what comes in too late does not revive a flow", |it, ip, protocol| {
        let limit = limit(protocol);
        it.sent_ago(limit + 11, request(ip, protocol))
            .received_ago(9, answer(ip, protocol))
            .receives(answer(ip, protocol), ClosedPort)
            .under(protocol, 45_000)
    }));
    rows.extend(both("a packet of a dead connection does not revive it by leaving", |it, ip| {
        it.sent_ago(limit(Tcp) + 11, request(ip, Tcp))
            .sent_ago(9, ip.between(HOST, SERVER).tcp(45_000, 443).ack())
            .receives(answer(ip, Tcp), ClosedPort)
            .under(Tcp, 45_000)
    }));
    rows.extend(both("a new connection with the ports of a dead one is remembered", |it, ip| {
        it.sent_ago(limit(Tcp) + 11, request(ip, Tcp)).sent_ago(9, request(ip, Tcp)).receives(answer(ip, Tcp), Reply)
    }));
    rows.extend(both("a datagram with the ports of a dead flow opens it again", |it, ip| {
        it.sent_ago(limit(Udp) + 11, request(ip, Udp)).sent_ago(9, request(ip, Udp)).receives(answer(ip, Udp), Reply)
    }));
    rows.extend(both("what is no reply does not prolong a flow", |it, ip| {
        it.sent_ago(200, request(ip, Udp))
            .received_ago(100, ip.between(SERVER, HOST).udp(444, 45_000))
            .receives(answer(ip, Udp), ClosedPort)
            .under(Udp, 45_000)
    }));
    rows
}
