//! Replies: the exact reverse of something that left.

use fw_common::{
    PortProtocol::{self, Sctp, Tcp, Udp, UdpLite},
    Reason::{Allowed, ClosedPort, Malformed, Martian, Protocol, Reply},
};

use super::each::{both, every_transport, rule};
use crate::{
    packet::{Layer, Stack, eth},
    row::{Row, row},
    world::{BRIDGE, CONTAINER, Family, HOST, OTHER, PEER, SERVER},
};

pub(super) fn rows() -> Vec<Row> {
    [exact(), near_misses(), tcp_flags(), servers(), what_left(), elsewhere()].concat()
}

/// The packets that open a flow: a SYN, or any packet of the other transports.
fn request(ip: Family, protocol: PortProtocol) -> Stack<Box<dyn Layer>> {
    match protocol {
        Tcp => ip.between(HOST, SERVER).tcp(45_000, 443).syn().erased(),
        other => ip.between(HOST, SERVER).ports(other, 45_000, 443),
    }
}

fn exact() -> Vec<Row> {
    let mut rows = every_transport("the answer to what left is a reply", |it, ip, protocol| {
        let answer = ip.between(SERVER, HOST).ports(protocol, 443, 45_000);
        it.allow("22").sent(request(ip, protocol)).receives(answer, Reply).remembering(1)
    });
    rows.extend(every_transport(
        "the answer to what left from an allowed port passes as allowed",
        |it, ip, protocol| {
            let answer = ip.between(SERVER, HOST).ports(protocol, 443, 45_000);
            it.allow(&rule("45000", protocol))
                .sent(request(ip, protocol))
                .receives(answer, Allowed)
                .under(protocol, 45_000)
        },
    ));
    rows.extend(both("a reply in a frame to the broadcast MAC address is one", |it, ip| {
        let answer = ip.on(eth().to(crate::world::BROADCAST_MAC), SERVER, HOST).udp(443, 45_000);
        it.sent(request(ip, Udp)).receives(answer, Reply)
    }));
    rows.extend(both("what leaves and comes in behind VLAN tags is tracked", |it, ip| {
        let out = ip.on(eth().from(HOST.mac).to(SERVER.mac).vlan(5), HOST, SERVER).udp(45_000, 443);
        it.sent(out).receives(ip.on(eth().vlan(5), SERVER, HOST).udp(443, 45_000), Reply)
    }));
    rows.extend(both("two flows from one port to two servers are both answered", |it, ip| {
        let other = ip.between(HOST, PEER).udp(45_000, 443);
        it.sent(request(ip, Udp)).sent(other).receives(ip.between(SERVER, HOST).udp(443, 45_000), Reply).remembering(2)
    }));
    rows
}

fn near_misses() -> Vec<Row> {
    let mut rows = Vec::new();
    let mut closed = |name: &str, answer: fn(Family, PortProtocol) -> Stack<Box<dyn Layer>>, port: u16| {
        rows.extend(every_transport(name, |it, ip, protocol| {
            it.allow("22")
                .sent(request(ip, protocol))
                .receives(answer(ip, protocol), ClosedPort)
                .under(protocol, port)
                .remembering(1)
        }));
    };
    closed("from another port it is no reply", |ip, of| ip.between(SERVER, HOST).ports(of, 444, 45_000), 45_000);
    closed("from port 0 it is no reply", |ip, of| ip.between(SERVER, HOST).ports(of, 0, 45_000), 45_000);
    closed("from another address it is no reply", |ip, of| ip.between(PEER, HOST).ports(of, 443, 45_000), 45_000);
    closed("to another port it is no reply", |ip, of| ip.between(SERVER, HOST).ports(of, 443, 45_001), 45_001);
    closed(
        "to another address of this host it is no reply",
        |ip, of| ip.between(SERVER, BRIDGE).ports(of, 443, 45_000),
        45_000,
    );
    closed("with its ports swapped it is no reply", |ip, of| ip.between(SERVER, HOST).ports(of, 45_000, 443), 443);
    closed(
        "of the other family it is no reply",
        |ip, of| ip.other().between(SERVER, HOST).ports(of, 443, 45_000),
        45_000,
    );
    closed(
        "what left, sent back as it was, is no reply",
        |ip, of| ip.between(HOST, SERVER).ports(of, 45_000, 443),
        443,
    );
    for protocol in PortProtocol::ALL {
        for answer in PortProtocol::ALL.into_iter().filter(|&answer| answer != protocol) {
            rows.extend(both(format!("{answer} does not answer {protocol}"), |it, ip| {
                let frame = ip.between(SERVER, HOST).ports(answer, 443, 45_000);
                it.sent(request(ip, protocol)).receives(frame, ClosedPort).under(answer, 45_000)
            }));
        }
    }
    // Something did leave from that port by the answer's transport, but to somebody else.
    for protocol in PortProtocol::ALL {
        for answer in PortProtocol::ALL.into_iter().filter(|&answer| answer != protocol) {
            rows.extend(both(format!("{answer} does not answer {protocol} where it answers another"), |it, ip| {
                let other = match answer {
                    Tcp => ip.between(HOST, PEER).tcp(45_000, 443).syn().erased(),
                    answer => ip.between(HOST, PEER).ports(answer, 45_000, 443),
                };
                let frame = ip.between(SERVER, HOST).ports(answer, 443, 45_000);
                it.sent(request(ip, protocol))
                    .sent(other)
                    .receives(frame, ClosedPort)
                    .under(answer, 45_000)
                    .remembering(2)
            }));
        }
    }
    rows.extend(every_transport("what left from port 0 is not answered: port 0 is closed", |it, ip, protocol| {
        let out = match protocol {
            Tcp => ip.between(HOST, SERVER).tcp(0, 443).syn().erased(),
            other => ip.between(HOST, SERVER).ports(other, 0, 443),
        };
        it.sent(out).receives(ip.between(SERVER, HOST).ports(protocol, 443, 0), ClosedPort).under(protocol, 0)
    }));
    rows
}

fn tcp_flags() -> Vec<Row> {
    let mut rows = Vec::new();
    for (name, bits) in [("SYN and ACK", 0x12), ("ACK", 0x10), ("RST", 0x04), ("FIN and ACK", 0x11), ("no flag", 0)] {
        rows.extend(both(format!("TCP with {name} answers a SYN"), |it, ip| {
            it.sent(request(ip, Tcp)).receives(ip.between(SERVER, HOST).tcp(443, 45_000).flags(bits), Reply)
        }));
    }
    for (name, bits) in [("SYN", 0x02), ("SYN and FIN", 0x03), ("SYN and RST", 0x06), ("SYN, ECE and CWR", 0xc2)] {
        rows.extend(both(format!("TCP with {name} answers nothing: it opens a connection"), |it, ip| {
            let frame = ip.between(SERVER, HOST).tcp(443, 45_000).flags(bits);
            it.sent(request(ip, Tcp)).receives(frame, ClosedPort).under(Tcp, 45_000)
        }));
    }
    for (name, bits) in [("ACK", 0x10), ("SYN and ACK", 0x12), ("FIN and ACK", 0x11), ("RST", 0x04), ("no flag", 0)] {
        rows.extend(both(format!("TCP that leaves with {name} opens no flow"), |it, ip| {
            let out = ip.between(HOST, SERVER).tcp(45_000, 443).flags(bits);
            let answer = ip.between(SERVER, HOST).tcp(443, 45_000).ack();
            it.sent(out).receives(answer, ClosedPort).under(Tcp, 45_000).remembering(0)
        }));
    }
    rows.extend(both("a reply with a TCP data offset below 5 is malformed", |it, ip| {
        let answer = ip.between(SERVER, HOST).tcp(443, 45_000).ack().data_offset(4);
        it.sent(request(ip, Tcp)).receives(answer, Malformed)
    }));
    rows
}

/// Packets of servers are not recorded: they answer packets that the policy lets in.
fn servers() -> Vec<Row> {
    let mut rows = both("the SYN-ACK of a server records nothing", |it, ip| {
        let answer = ip.between(HOST, PEER).tcp(22, 40_000).syn().ack();
        it.allow("22")
            .sent(answer)
            .receives(ip.between(PEER, HOST).tcp(40_000, 22).ack(), Allowed)
            .under(Tcp, 22)
            .remembering(0)
    });
    rows.extend(both("the SYN-ACK of a server does not let in a peer that the policy shuts out", |it, ip| {
        let it = it.allow(ip.pick("22/tcp@192.0.2.88", "22/tcp@[2001:db8::88]"));
        let answer = ip.between(HOST, PEER).tcp(22, 40_000).syn().ack();
        it.sent(answer).receives(ip.between(PEER, HOST).tcp(40_000, 22).ack(), ClosedPort).under(Tcp, 22).remembering(0)
    }));
    for protocol in [Udp, Sctp, PortProtocol::Dccp, UdpLite] {
        rows.extend(both(format!("{protocol} from an allowed port records nothing"), |it, ip| {
            let answer = ip.between(HOST, PEER).ports(protocol, 53, 40_000);
            let frame = ip.between(PEER, HOST).ports(protocol, 40_000, 53);
            it.allow(&rule("53", protocol)).sent(answer).receives(frame, Allowed).under(protocol, 53).remembering(0)
        }));
        rows.extend(both(format!("{protocol} from a port that is open to another network is recorded"), |it, ip| {
            let network = ip.pick("192.0.2.0/24", "[2001:db8::]/64");
            let it = it.allow(&format!("{}@{network}", rule("53", protocol)));
            let out = ip.between(HOST, SERVER).ports(protocol, 53, 443);
            it.sent(out).receives(ip.between(SERVER, HOST).ports(protocol, 443, 53), Reply).remembering(1)
        }));
        rows.extend(both(format!("{protocol} from a port that is open to the receiver records nothing"), |it, ip| {
            let network = ip.pick("192.0.2.0/24", "[2001:db8::]/64");
            let it = it.allow(&format!("{}@{network}", rule("53", protocol)));
            let frame = ip.between(PEER, HOST).ports(protocol, 40_000, 53);
            it.sent(ip.between(HOST, PEER).ports(protocol, 53, 40_000))
                .receives(frame, Allowed)
                .under(protocol, 53)
                .remembering(0)
        }));
    }
    rows.extend(both("a port that is allowed to another transport is no server's", |it, ip| {
        let out = ip.between(HOST, SERVER).udp(443, 443);
        it.allow("443/tcp").sent(out).receives(ip.between(SERVER, HOST).udp(443, 443), Reply).remembering(1)
    }));
    rows
}

fn what_left() -> Vec<Row> {
    let answered = |name: &str, ip: Family, out: Vec<u8>| {
        row(name).sent(out).receives(ip.between(SERVER, HOST).udp(443, 45_000), Reply).remembering(1)
    };
    let unanswered = |name: &str, ip: Family, out: Vec<u8>| {
        row(name)
            .sent(out)
            .receives(ip.between(SERVER, HOST).udp(443, 45_000), ClosedPort)
            .under(Udp, 45_000)
            .remembering(0)
    };
    let v4 = || eth().from(HOST.mac).to(SERVER.mac).ipv4().from(HOST.v4).to(SERVER.v4);
    let v6 = || eth().from(HOST.mac).to(SERVER.mac).ipv6().from(HOST.v6).to(SERVER.v6);
    let (four, six) = (Family::V4, Family::V6);
    let mut rows = vec![
        answered(
            "a first IPv4 fragment that leaves opens a flow",
            four,
            v4().more_fragments().udp(45_000, 443).payload(&[0; 16]).build(),
        ),
        answered("IPv4 options that leave hide no ports", four, v4().options(&[148, 4, 0, 0]).udp(45_000, 443).build()),
        answered(
            "a first IPv6 fragment that leaves opens a flow",
            six,
            v6().fragment(0, true).udp(45_000, 443).build(),
        ),
        answered(
            "extension headers that leave hide no ports",
            six,
            v6().hop_by_hop().destination_options().udp(45_000, 443).build(),
        ),
        unanswered(
            "a later IPv4 fragment that leaves opens no flow",
            four,
            v4().fragment_offset(3).udp(45_000, 443).build(),
        ),
        unanswered(
            "a later IPv6 fragment that leaves opens no flow",
            six,
            v6().fragment(3, false).udp(45_000, 443).build(),
        ),
        // Segments that the network card will cut apart, joined beyond what the field can say (BIG TCP).
        answered(
            "what leaves in an IPv4 packet without a total length opens a flow",
            four,
            v4().total_len(0).udp(45_000, 443).build(),
        ),
        answered(
            "what leaves in an IPv6 packet without a payload length opens a flow",
            six,
            v6().payload_len(0).udp(45_000, 443).build(),
        ),
        unanswered(
            "a UDP header in ICMP opens no flow",
            four,
            v4().icmp(3, 3).ipv4().from(SERVER.v4).to(HOST.v4).udp(443, 45_000).build(),
        ),
        row("a tunnel that leaves opens no flow for what is inside, only for the tunnel")
            .sent(v4().gre().ipv4().from(HOST.v4).to(SERVER.v4).udp(45_000, 443).build())
            .receives(four.between(SERVER, HOST).udp(443, 45_000), ClosedPort)
            .under(Udp, 45_000)
            .remembering(1),
        row("what leaves under another EtherType opens no flow")
            .sent(eth().ether_type(0x88cc).payload(&v4().udp(45_000, 443).build()[14..]))
            .receives(four.between(SERVER, HOST).udp(443, 45_000), ClosedPort)
            .under(Udp, 45_000)
            .remembering(0),
    ];
    rows.extend(both("ping needs no flow", |it, ip| {
        let kind = ip.pick((8, 0), (128, 129));
        let out = ip.between(HOST, SERVER);
        let answer = ip.between(SERVER, HOST);
        let protocol = ip.pick(1, 58);
        it.sent(out.raw(protocol, &[kind.0, 0, 0, 0, 0, 1, 0, 1]))
            .receives(answer.raw(protocol, &[kind.1, 0, 0, 0, 0, 1, 0, 1]), Protocol)
            .remembering(0)
    }));
    rows.push(
        row("a martian source is martian even where it answers")
            .sent(v4().to("127.0.0.1").udp(45_000, 443))
            .receives(eth().ipv4().from("127.0.0.1").udp(443, 45_000), Martian),
    );
    rows
}

/// Replies to containers and from neighbours.
fn elsewhere() -> Vec<Row> {
    let mut rows = both("a reply to a container that is not masqueraded is a reply", |it, ip| {
        let out = ip.between(CONTAINER, SERVER).tcp(45_000, 443).syn();
        it.sent(out).receives(ip.between(SERVER, CONTAINER).tcp(443, 45_000).syn().ack(), Reply)
    });
    rows.extend(both("a reply to a container's allowed port is a reply, though it is routed on", |it, ip| {
        let out = ip.between(CONTAINER, SERVER).tcp(45_000, 443).syn();
        it.allow("45000").sent(out).receives(ip.between(SERVER, CONTAINER).tcp(443, 45_000).syn().ack(), Reply)
    }));
    rows.extend(both("a reply from outside a rule's network is a reply", |it, ip| {
        let it = it.allow(ip.pick("45000/tcp@192.0.2.0/24", "45000/tcp@[2001:db8::]/64"));
        let out = ip.between(HOST, SERVER).tcp(45_000, 443).syn();
        it.sent(out).receives(ip.between(SERVER, HOST).tcp(443, 45_000).syn().ack(), Reply)
    }));
    rows.extend(both("a neighbour does not answer for another", |it, ip| {
        let out = ip.between(HOST, PEER).udp(45_000, 443);
        it.sent(out).receives(ip.between(OTHER, HOST).udp(443, 45_000), ClosedPort).under(Udp, 45_000)
    }));
    rows
}
