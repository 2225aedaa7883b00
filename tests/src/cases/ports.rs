//! Ports, as the policy names them.

use fw_common::{
    PortProtocol::{self, Sctp, Tcp, Udp},
    Reason::{Allowed, ClosedPort},
};

use super::each::{both, every_transport, rule};
use crate::{
    row::Row,
    world::{HOST, PEER},
};

pub(super) fn rows() -> Vec<Row> {
    [one_port(), other_transports(), bare(), ranges(), extremes(), source_ports()].concat()
}

fn one_port() -> Vec<Row> {
    let mut rows = every_transport("an allowed port is allowed", |it, ip, protocol| {
        let frame = ip.between(PEER, HOST).ports(protocol, 40_000, 22);
        it.allow(&rule("22", protocol)).receives(frame, Allowed).under(protocol, 22)
    });
    for (name, port) in [
        ("the port below an allowed one is closed", 21),
        ("the port above an allowed one is closed", 23),
        ("an allowed port with its bytes swapped is closed", 22 << 8),
        ("an allowed port on the next page is closed", 256 + 22),
        ("an allowed port with its highest bit set is closed", 0x8000 + 22),
    ] {
        rows.extend(every_transport(name, |it, ip, protocol| {
            let frame = ip.between(PEER, HOST).ports(protocol, 40_000, port);
            it.allow(&rule("22", protocol)).receives(frame, ClosedPort).under(protocol, port)
        }));
    }
    rows.extend(every_transport("without a rule every port is closed", |it, ip, protocol| {
        it.receives(ip.between(PEER, HOST).ports(protocol, 40_000, 22), ClosedPort).under(protocol, 22)
    }));
    rows
}

fn other_transports() -> Vec<Row> {
    every_transport("a port that is allowed to all other transports is closed", |it, ip, protocol| {
        let others = PortProtocol::ALL.into_iter().filter(|&other| other != protocol);
        let frame = ip.between(PEER, HOST).ports(protocol, 40_000, 22);
        others.fold(it, |it, other| it.allow(&rule("22", other))).receives(frame, ClosedPort).under(protocol, 22)
    })
}

fn bare() -> Vec<Row> {
    every_transport("a bare port means TCP and UDP", |it, ip, protocol| {
        let reason = if matches!(protocol, Tcp | Udp) { Allowed } else { ClosedPort };
        it.allow("443").receives(ip.between(PEER, HOST).ports(protocol, 40_000, 443), reason).under(protocol, 443)
    })
}

fn ranges() -> Vec<Row> {
    let mut rows = Vec::new();
    for (port, reason) in
        [(8191, ClosedPort), (8192, Allowed), (8200, Allowed), (8447, Allowed), (8448, Allowed), (8449, ClosedPort)]
    {
        rows.extend(both(format!("with 8192-8448 open, {port} is {reason}"), |it, ip| {
            let frame = ip.between(PEER, HOST).tcp(40_000, port).syn();
            it.allow("8192-8448/tcp").receives(frame, reason).under(Tcp, port)
        }));
    }
    rows
}

fn extremes() -> Vec<Row> {
    let mut rows = Vec::new();
    for port in [1, 255, 256, 32_767, 32_768, 65_280, 65_535] {
        rows.extend(both(format!("port {port} can be allowed"), |it, ip| {
            let frame = ip.between(PEER, HOST).udp(40_000, port);
            it.allow(&rule(&port.to_string(), Udp)).receives(frame, Allowed).under(Udp, port)
        }));
        rows.extend(both(format!("port {port} can be the only one that is closed"), |it, ip| {
            let it = if port > 1 { it.allow(&format!("1-{}/udp", port - 1)) } else { it };
            let it = if port < 65_535 { it.allow(&format!("{}-65535/udp", port + 1)) } else { it };
            it.receives(ip.between(PEER, HOST).udp(40_000, port), ClosedPort).under(Udp, port)
        }));
    }
    rows.extend(every_transport("destination port 0 is closed even when every port is open", |it, ip, protocol| {
        let frame = ip.between(PEER, HOST).ports(protocol, 40_000, 0);
        it.allow(&rule("1-65535", protocol)).receives(frame, ClosedPort).under(protocol, 0)
    }));
    rows.extend(every_transport("the highest port is open when every port is", |it, ip, protocol| {
        let frame = ip.between(PEER, HOST).ports(protocol, 40_000, 65_535);
        it.allow(&rule("1-65535", protocol)).receives(frame, Allowed).under(protocol, 65_535)
    }));
    rows
}

fn source_ports() -> Vec<Row> {
    let mut rows = Vec::new();
    for source in [0, 20, 22, 53, 67, 80, 123, 443, 547, 5353] {
        rows.extend(both(format!("UDP from port {source} to a closed port is closed"), |it, ip| {
            it.allow("22").allow("53").receives(ip.between(PEER, HOST).udp(source, 9125), ClosedPort).under(Udp, 9125)
        }));
    }
    rows.extend(every_transport("source port 0 keeps no allowed port shut", |it, ip, protocol| {
        let frame = ip.between(PEER, HOST).ports(protocol, 0, 22);
        it.allow(&rule("22", protocol)).receives(frame, Allowed).under(protocol, 22)
    }));
    rows.extend(both("SCTP from an allowed port to a closed one is closed", |it, ip| {
        it.allow("22/sctp").receives(ip.between(PEER, HOST).sctp(22, 23), ClosedPort).under(Sctp, 23)
    }));
    rows
}
