//! The packets that are judged.

use std::net::{Ipv4Addr, Ipv6Addr};

use fw_common::Verdict;
use fw_tests::packet::{Ipv4, Ipv6, Stack, eth};

/// The host that is filtered.
pub(super) const HOST4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
pub(super) const HOST6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
/// Its network.
pub(super) const NETWORK4: &str = "192.0.2.0/24";
/// Who sends.
pub(super) const PEER4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
pub(super) const PEER6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);

/// A sender that is banned where anybody is, and another one of its /24.
pub(super) const BANNED4: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
const NEIGHBOUR4: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 8);

/// The TCP port that is allowed.
pub(super) const ALLOWED: u16 = 80;
const CLOSED: u16 = 9125;
/// Whence the peer sends, and the host when it asks something of the peer.
const EPHEMERAL: u16 = 40_000;

/// The part of xdp-filter's cost for the same packet that the filter may take, if the packet is plain.
const PLAIN_GOAL: f64 = 1.0 / 3.0;
/// The same for packets with tags, extension headers or fragments.
const GENERAL_GOAL: f64 = 1.0 / 2.0;

/// A packet, and its verdict.
pub(super) struct Packet {
    pub(super) name: &'static str,
    pub(super) frame: Vec<u8>,
    pub(super) verdict: Verdict,
    /// xdp-filter knows no replies, and no later fragments.
    pub(super) xdp_filter: Verdict,
    /// The earlier outbound packet that this answers.
    pub(super) request: Option<Vec<u8>>,
    /// The part of xdp-filter's cost that the filter may take.
    pub(super) goal: f64,
}

impl Packet {
    fn dropped(name: &'static str, frame: Vec<u8>) -> Self {
        Self { name, frame, verdict: Verdict::Drop, xdp_filter: Verdict::Drop, request: None, goal: PLAIN_GOAL }
    }

    fn general(name: &'static str, frame: Vec<u8>) -> Self {
        Self { goal: GENERAL_GOAL, ..Self::dropped(name, frame) }
    }

    fn allowed(name: &'static str, frame: Vec<u8>) -> Self {
        Self { name, frame, verdict: Verdict::Pass, xdp_filter: Verdict::Pass, request: None, goal: PLAIN_GOAL }
    }

    fn reply(name: &'static str, frame: Vec<u8>, request: Vec<u8>) -> Self {
        Self {
            name,
            frame,
            verdict: Verdict::Pass,
            xdp_filter: Verdict::Drop,
            request: Some(request),
            goal: PLAIN_GOAL,
        }
    }
}

/// All packets, by the path that they take.
pub(super) fn all() -> Vec<Packet> {
    vec![
        Packet::dropped("closed TCP port, SYN, IPv4", in4().tcp(EPHEMERAL, CLOSED).syn().build()),
        Packet::dropped("closed TCP port, SYN, IPv6", in6().tcp(EPHEMERAL, CLOSED).syn().build()),
        Packet::dropped("closed UDP port, IPv4", in4().udp(EPHEMERAL, CLOSED).build()),
        Packet::dropped("closed UDP port, IPv6", in6().udp(EPHEMERAL, CLOSED).build()),
        allowed_syn4(),
        allowed_syn6(),
        tcp_reply4(),
        Packet::reply(
            "TCP reply, IPv6",
            in6().tcp(443, EPHEMERAL).ack().build(),
            out6().tcp(EPHEMERAL, 443).syn().build(),
        ),
        Packet::reply("UDP reply, IPv4", in4().udp(53, EPHEMERAL).build(), out4().udp(EPHEMERAL, 53).build()),
        Packet::reply("UDP reply, IPv6", in6().udp(53, EPHEMERAL).build(), out6().udp(EPHEMERAL, 53).build()),
        Packet::general(
            "VLAN tag, closed TCP port, IPv4",
            eth().vlan(5).ipv4().from(&PEER4.to_string()).to(&HOST4.to_string()).tcp(EPHEMERAL, CLOSED).syn().build(),
        ),
        Packet::general(
            "two extension headers, closed TCP port, IPv6",
            in6().hop_by_hop().destination_options().tcp(EPHEMERAL, CLOSED).syn().build(),
        ),
        Packet::general(
            "first fragment, closed UDP port, IPv4",
            in4().more_fragments().udp(EPHEMERAL, CLOSED).payload(&[0; 16]).build(),
        ),
        Packet {
            verdict: Verdict::Pass,
            ..Packet::general("later fragment, IPv4", in4().fragment_offset(100).raw(17, &[b'x'; 64]).build())
        },
    ]
}

/// A SYN to the allowed port.
pub(super) fn allowed_syn4() -> Packet {
    Packet::allowed("allowed TCP port, SYN, IPv4", in4().tcp(EPHEMERAL, ALLOWED).syn().build())
}

/// A later packet of the connection.
pub(super) fn allowed_ack4() -> Packet {
    Packet::allowed("allowed TCP port, ACK, IPv4", in4().tcp(EPHEMERAL, ALLOWED).ack().build())
}

/// The same of IPv6.
pub(super) fn allowed_syn6() -> Packet {
    Packet::allowed("allowed TCP port, SYN, IPv6", in6().tcp(EPHEMERAL, ALLOWED).syn().build())
}

/// A SYN of [`BANNED4`], which passes where nobody is banned.
pub(super) fn banned_syn4() -> Packet {
    Packet::allowed("of a banned sender, IPv4", from4(BANNED4).tcp(EPHEMERAL, ALLOWED).syn().build())
}

/// A SYN of [`NEIGHBOUR4`].
pub(super) fn neighbours_syn4() -> Packet {
    Packet::allowed("of a banned sender's /24, IPv4", from4(NEIGHBOUR4).tcp(EPHEMERAL, ALLOWED).syn().build())
}

/// The reply of a server.
pub(super) fn tcp_reply4() -> Packet {
    let request = out4().tcp(EPHEMERAL, 443).syn().build();
    Packet::reply("TCP reply, IPv4", in4().tcp(443, EPHEMERAL).ack().build(), request)
}

fn in4() -> Stack<Ipv4> {
    from4(PEER4)
}

fn from4(source: Ipv4Addr) -> Stack<Ipv4> {
    eth().ipv4().from(&source.to_string()).to(&HOST4.to_string())
}

fn out4() -> Stack<Ipv4> {
    eth().ipv4().from(&HOST4.to_string()).to(&PEER4.to_string())
}

fn in6() -> Stack<Ipv6> {
    eth().ipv6().from(&PEER6.to_string()).to(&HOST6.to_string())
}

fn out6() -> Stack<Ipv6> {
    eth().ipv6().from(&HOST6.to_string()).to(&PEER6.to_string())
}
