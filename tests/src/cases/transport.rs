//! Transport headers: flags, lengths and lies.

use fw_common::{
    PortProtocol::{Tcp, Udp},
    Reason::{Allowed, ClosedPort, Malformed, Truncated},
};

use super::each::{both, every_transport, rule};
use crate::{
    row::Row,
    world::{HOST, PEER},
};

pub(super) fn rows() -> Vec<Row> {
    [flags(), cut(), tcp_data_offset(), udp_length(), payload()].concat()
}

fn flags() -> Vec<Row> {
    const FLAGS: [(&str, u8); 14] = [
        ("SYN", 0x02),
        ("SYN with ECE and CWR", 0xc2),
        ("SYN and ACK", 0x12),
        ("ACK", 0x10),
        ("ACK and PSH", 0x18),
        ("FIN", 0x01),
        ("FIN and ACK", 0x11),
        ("no flag at all", 0x00),
        ("FIN, PSH and URG (XMAS)", 0x29),
        ("SYN and FIN", 0x03),
        ("SYN and RST", 0x06),
        ("RST", 0x04),
        ("RST and ACK", 0x14),
        ("every flag", 0xff),
    ];
    let mut rows = Vec::new();
    for (name, bits) in FLAGS {
        rows.extend(both(format!("TCP with {name} to a closed port is closed"), |it, ip| {
            let frame = ip.between(PEER, HOST).tcp(40_000, 9125).flags(bits);
            it.allow("22").receives(frame, ClosedPort).under(Tcp, 9125)
        }));
        rows.extend(both(format!("TCP with {name} to an allowed port is allowed"), |it, ip| {
            let frame = ip.between(PEER, HOST).tcp(40_000, 22).flags(bits);
            it.allow("22").receives(frame, Allowed).under(Tcp, 22)
        }));
    }
    rows
}

fn cut() -> Vec<Row> {
    let mut rows = Vec::new();
    for len in [0, 3] {
        rows.extend(every_transport(&format!("{len} bytes are too short for ports"), |it, ip, protocol| {
            let frame = ip.between(PEER, HOST).ports(protocol, 40_000, 22).only(len);
            it.allow(&rule("22", protocol)).receives(frame, Truncated)
        }));
    }
    for (name, len) in [("TCP without its flags is truncated", 13), ("TCP with its ports alone is truncated", 4)] {
        rows.extend(both(name, |it, ip| {
            it.allow("22").receives(ip.between(PEER, HOST).tcp(40_000, 22).only(len), Truncated)
        }));
    }
    rows.extend(both("UDP with its ports alone is judged by them", |it, ip| {
        it.allow("22").receives(ip.between(PEER, HOST).udp(40_000, 23).only(4), ClosedPort).under(Udp, 23)
    }));
    rows
}

fn tcp_data_offset() -> Vec<Row> {
    let mut rows = Vec::new();
    for words in 0..5 {
        rows.extend(both(format!("a TCP data offset of {words} is malformed"), |it, ip| {
            it.allow("22").receives(ip.between(PEER, HOST).tcp(40_000, 22).syn().data_offset(words), Malformed)
        }));
    }
    rows.extend(both("a TCP data offset past the packet's end is the stack's business", |it, ip| {
        let frame = ip.between(PEER, HOST).tcp(40_000, 22).syn().data_offset(15);
        it.allow("22").receives(frame, Allowed).under(Tcp, 22)
    }));
    rows.extend(both("a TCP data offset below 5 to a closed port is malformed", |it, ip| {
        it.allow("22").receives(ip.between(PEER, HOST).tcp(40_000, 23).syn().data_offset(4), Malformed)
    }));
    rows.extend(both("TCP options make no difference", |it, ip| {
        let frame = ip.between(PEER, HOST).tcp(40_000, 22).syn().options(&[2, 4, 5, 0xb4, 4, 2, 1, 1]);
        it.allow("22").receives(frame, Allowed).under(Tcp, 22)
    }));
    rows.extend(both("a wrong TCP checksum opens no closed port", |it, ip| {
        let frame = ip.between(PEER, HOST).tcp(40_000, 23).syn().bad_checksum();
        it.allow("22").receives(frame, ClosedPort).under(Tcp, 23)
    }));
    rows
}

fn udp_length() -> Vec<Row> {
    let mut rows = Vec::new();
    for len in [0, 7, 9, 65_535] {
        rows.extend(both(format!("a UDP length of {len} keeps no allowed port shut"), |it, ip| {
            let frame = ip.between(PEER, HOST).udp(40_000, 53).len_field(len);
            it.allow("53").receives(frame, Allowed).under(Udp, 53)
        }));
        rows.extend(both(format!("a UDP length of {len} opens no closed port"), |it, ip| {
            let frame = ip.between(PEER, HOST).udp(40_000, 54).len_field(len);
            it.allow("53").receives(frame, ClosedPort).under(Udp, 54)
        }));
    }
    rows
}

fn payload() -> Vec<Row> {
    let mut rows = every_transport("payload makes no difference", |it, ip, protocol| {
        let frame = ip.between(PEER, HOST).ports(protocol, 40_000, 23).payload(&[0x16; 1000]);
        it.allow(&rule("22", protocol)).receives(frame, ClosedPort).under(protocol, 23)
    });
    rows.extend(both("a frame of an odd length is judged like any other", |it, ip| {
        let frame = ip.between(PEER, HOST).udp(40_000, 53).payload(&[0; 7]);
        it.allow("53").receives(frame, Allowed).under(Udp, 53)
    }));
    rows
}
