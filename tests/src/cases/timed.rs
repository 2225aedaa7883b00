//! Ports that are open until some time.

use fw_common::{
    PortProtocol::Tcp,
    Reason::{Allowed, ClosedPort, Reply},
};

use super::each::{both, every_transport, rule};
use crate::{
    row::Row,
    world::{Family, HOST, OTHER, PEER, SERVER, Station},
};

/// Just after the machine started.
const LONG_AGO: u64 = 1;
/// The last moment that is not for ever.
const LATER: u64 = u64::MAX - 1;

fn link(ip: Family) -> &'static str {
    ip.pick("192.0.2.0/24", "[2001:db8::]/64")
}

fn peer(ip: Family) -> &'static str {
    ip.pick("192.0.2.77", "[2001:db8::77]")
}

fn syn(ip: Family, from: Station) -> Vec<u8> {
    ip.between(from, HOST).tcp(40_000, 8096).syn().build()
}

pub(super) fn rows() -> Vec<Row> {
    let at = |network: &str| format!("8096/tcp@{network}");
    let mut rows = Vec::new();
    for (end, reason) in [(LATER, Allowed), (LONG_AGO, ClosedPort)] {
        rows.extend(every_transport(
            &format!("a port with an end is {reason} at the time {end}"),
            |it, ip, protocol| {
                let frame = ip.between(SERVER, HOST).ports(protocol, 40_000, 8096);
                it.allow_until(end, &rule("8096", protocol)).receives(frame, reason).under(protocol, 8096)
            },
        ));
        rows.extend(both(format!("a port with an end for a network is {reason} at the time {end}"), |it, ip| {
            it.allow_until(end, &at(link(ip))).receives(syn(ip, PEER), reason).under(Tcp, 8096)
        }));
    }
    rows.extend(both("a port with an end for a network is closed outside it", |it, ip| {
        it.allow_until(LATER, &at(link(ip))).receives(syn(ip, SERVER), ClosedPort).under(Tcp, 8096)
    }));
    for (wide, narrow, reason) in
        [(LATER, LONG_AGO, Allowed), (LONG_AGO, LATER, Allowed), (LONG_AGO, LONG_AGO, ClosedPort)]
    {
        let name = format!("of two ends for networks around a sender the later one counts: {wide} and {narrow}");
        rows.extend(both(name, |it, ip| {
            it.allow_until(wide, &at(link(ip)))
                .allow_until(narrow, &at(peer(ip)))
                .receives(syn(ip, PEER), reason)
                .under(Tcp, 8096)
        }));
    }
    rows.extend(both("a part that has ended closes nothing that is open for ever", |it, ip| {
        it.allow("8096/tcp@0.0.0.0/0")
            .allow("8096/tcp@[::]/0")
            .allow_until(LONG_AGO, &at(peer(ip)))
            .receives(syn(ip, PEER), Allowed)
            .under(Tcp, 8096)
    }));
    rows.extend(both("an end for one sender opens nothing to its neighbour", |it, ip| {
        it.allow_until(LATER, &at(peer(ip))).receives(syn(ip, OTHER), ClosedPort).under(Tcp, 8096)
    }));
    rows.extend(both("after the end of its port a server's answer from there is a reply", |it, ip| {
        it.allow_until(LONG_AGO, "8096/udp")
            .sent(ip.between(HOST, SERVER).udp(8096, 53))
            .receives(ip.between(SERVER, HOST).udp(53, 8096), Reply)
            .remembering(1)
    }));
    rows
}
