//! Datagrams in pieces that overlap, contradict each other, come in a strange order or not at all: judged by the listener that would get
//! what the kernel makes of them.
//!
//! Pieces are put together by netfilter where it tracks connections, by the IP layer where it does not; both are tried.

use std::ops::Range;

use anyhow::{Context, Result, ensure};
use fw_tests::{
    lab::{
        Lab, Mode, PI4, PI6, wait,
        wire::{Wire, stay_in_order},
    },
    packet::eth,
    tests,
    world::{Family, Station},
};

tests! { in every mode:
    pieces_reach_no_closed_port_where_connections_are_tracked;
}

tests! { in native mode:
    pieces_of_tcp_reach_no_closed_port;
}

tests! { in generic mode:
    pieces_reach_no_closed_port_where_nothing_is_tracked;
}

const CLOSED: u16 = 9123;
const OPEN: u16 = 80;
/// Another open one: what goes there comes last, so that all the rest has come before.
const MARKER: u16 = 443;
const UDP: u8 = 17;
const TCP: u8 = 6;

/// The ends of the cable.
struct Ends {
    lan: Station,
    pi: Station,
    wire: Wire,
}

impl Ends {
    fn of(lab: &Lab) -> Result<Self> {
        stay_in_order()?;
        let wire = lab.lan.wire("eth0")?;
        Ok(Self {
            lan: Station { v4: "192.0.2.10", v6: "2001:db8:1::10", mac: wire.mac() },
            pi: Station { v4: "192.0.2.1", v6: "2001:db8:1::1", mac: lab.pi.mac("eth0")? },
            wire,
        })
    }

    /// A piece of a datagram of eight units of eight bytes.
    fn piece(&self, family: Family, id: u16, protocol: u8, units: Range<u16>, bytes: &[u8]) -> Vec<u8> {
        let link = eth().from(self.lan.mac).to(self.pi.mac);
        let more = units.end < 8;
        match family {
            Family::V4 => {
                let ip = link.ipv4().from(self.lan.v4).to(self.pi.v4).id(id).fragment_offset(units.start);
                if more { ip.more_fragments() } else { ip }.raw(protocol, bytes).build()
            }
            Family::V6 => {
                let ip = link.ipv6().from(self.lan.v6).to(self.pi.v6);
                ip.fragment(units.start, more).id(id.into()).raw(protocol, bytes).build()
            }
        }
    }

    /// The bytes after the IP header of a datagram or segment of 64 bytes to a port.
    fn transport(&self, family: Family, protocol: u8, port: u16) -> Vec<u8> {
        let ip = family.between(self.lan, self.pi);
        let frame = match protocol {
            UDP => ip.udp(40_000, port).payload(&[b'x'; 56]).build(),
            _ => ip.tcp(40_000, port).syn().payload(&[b'x'; 44]).build(),
        };
        frame[family.pick(34, 54)..].to_vec()
    }
}

/// Pieces in the order in which they are sent.
struct Trick {
    name: &'static str,
    frames: Vec<Vec<u8>>,
    /// How many datagrams reach the closed and the open port without the filter.
    without: (u64, u64),
    /// The same with it.
    with: (u64, u64),
}

/// Every trick over one transport, under identifications from `first_id` on.
fn tricks(ends: &Ends, family: Family, protocol: u8, first_id: u16) -> Vec<Trick> {
    let (to_closed, to_open) = (ends.transport(family, protocol, CLOSED), ends.transport(family, protocol, OPEN));
    let mut tricks: Vec<Trick> = Vec::new();
    // Ranges of the eight units of eight bytes that there are, each of the datagram to the closed port or of that to the open one.
    let mut trick = |name, pieces: &[(Range<u16>, bool)], [closed, open, open_with_filter]: [u64; 3]| {
        let id = first_id + tricks.len() as u16;
        let frames = pieces.iter().map(|(units, is_closed)| {
            let of = if *is_closed { &to_closed } else { &to_open };
            let bytes = &of[usize::from(units.start) * 8..usize::from(units.end) * 8];
            ends.piece(family, id, protocol, units.clone(), bytes)
        });
        tricks.push(Trick { name, frames: frames.collect(), without: (closed, open), with: (0, open_with_filter) });
    };
    let (closed, open) = (true, false);
    trick("pieces to the open port", &[(0..4, open), (4..8, open)], [0, 1, 1]);
    trick("pieces to the closed port", &[(0..4, closed), (4..8, closed)], [1, 0, 0]);
    trick("the last piece first", &[(4..8, closed), (0..4, closed)], [1, 0, 0]);
    trick("many pieces, mixed up", &[(6..8, closed), (3..4, closed), (0..3, closed), (4..6, closed)], [1, 0, 0]);
    trick("every piece twice", &[(0..4, closed), (0..4, closed), (4..8, closed)], [1, 0, 0]);
    trick("the first piece never comes", &[(2..4, closed), (4..8, closed)], [0, 0, 0]);
    trick("the last piece never comes", &[(0..4, closed), (4..7, closed)], [0, 0, 0]);
    // Two first pieces: the kernel keeps what came first.
    trick("an open first piece, then a closed one", &[(0..4, open), (0..4, closed), (4..8, closed)], [0, 1, 1]);
    trick("a closed first piece, then an open one", &[(0..4, closed), (0..4, open), (4..8, open)], [1, 0, 1]);
    trick("a closed first piece makes it whole", &[(4..8, closed), (0..4, closed), (0..4, open)], [1, 0, 1]);
    trick("an open first piece makes it whole", &[(4..8, closed), (0..4, open), (0..4, closed)], [0, 1, 1]);
    // Overlaps: the kernel throws all of it away, and the filter lets through no first piece that could start anew.
    trick("a longer closed first piece over an open one", &[(0..3, open), (0..4, closed), (4..8, closed)], [0, 0, 0]);
    trick("a closed rest over the open first piece", &[(0..4, open), (2..8, closed)], [0, 0, 0]);
    trick("a closed rest from the second unit on", &[(0..4, open), (1..8, closed)], [0, 0, 0]);
    trick("an open first piece over a closed rest", &[(2..8, closed), (0..4, open)], [0, 0, 0]);
    if family == Family::V4 {
        // IPv6 wants the whole TCP header in the first piece, and netfilter takes a datagram in one piece for one of others.
        trick("a first piece as short as can be", &[(0..2, closed), (2..8, closed)], [1, 0, 0]);
        trick("a closed datagram in one piece beside others", &[(2..4, open), (0..8, closed)], [1, 0, 0]);
    }
    tricks
}

/// Play every trick without the filter and with it. `reached` tells how many datagrams or segments have reached the closed port and the
/// open one.
fn play(lab: &Lab, mode: Mode, protocol: u8, reached: impl Fn() -> Result<(u64, u64)>) -> Result<()> {
    // Neighbours must be known: raw packets cause no address resolution.
    [PI4, PI6].into_iter().try_for_each(|pi| lab.lan.ping(pi))?;
    let ends = Ends::of(lab)?;
    let marked = lab.pi.serve_udp(MARKER)?;
    let mut sent = 0;
    for (has_filter, first_id) in [(false, 100), (true, 200)] {
        if has_filter {
            lab.attach(mode, &format!("{OPEN},{MARKER}"))?;
        }
        for family in Family::BOTH {
            for trick in tricks(&ends, family, protocol, first_id) {
                let before = reached()?;
                let marker = family.between(ends.lan, ends.pi).udp(40_000, MARKER).payload(b"marker").build();
                let markers = marked.reached();
                trick.frames.iter().chain([&marker]).try_for_each(|frame| ends.wire.send(frame))?;
                marked.await_reached(markers + 1)?;
                let wanted = if has_filter { trick.with } else { trick.without };
                let wanted = (before.0 + wanted.0, before.1 + wanted.1);
                let what = || format!("{family}, {}, {wanted:?} with filter {has_filter}", trick.name);
                // The listeners' threads need not be done when the marker's is.
                let met = wait::until("the listeners", || Ok(Some(reached()?).filter(|now| *now >= wanted)));
                let met = met.with_context(what)?;
                ensure!(met == wanted, "{}: {met:?}", what());
                sent += trick.frames.len();
            }
        }
    }
    println!("{sent} pieces");
    Ok(())
}

/// A rule that makes netfilter reassemble fragments.
const TRACKING: &str = "table inet tracking {
    chain new {
        type filter hook prerouting priority 0;
        ct state new accept
    }
}";

fn pieces_reach_no_closed_port_where_connections_are_tracked(mode: Mode) -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.pi.open_input()?;
    lab.pi.nft(TRACKING)?;
    datagrams(&lab, mode)
}

fn pieces_reach_no_closed_port_where_nothing_is_tracked(mode: Mode) -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.pi.open_input()?;
    datagrams(&lab, mode)
}

fn datagrams(lab: &Lab, mode: Mode) -> Result<()> {
    let (closed, open) = (lab.pi.serve_udp(CLOSED)?, lab.pi.serve_udp(OPEN)?);
    play(lab, mode, UDP, || Ok((closed.reached() as u64, open.reached() as u64)))
}

fn pieces_of_tcp_reach_no_closed_port(mode: Mode) -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.pi.open_input()?;
    lab.pi.nft(TRACKING)?;
    lab.pi.count_arrivals()?;
    play(&lab, mode, TCP, || {
        let arrivals = lab.pi.arrivals()?;
        Ok((arrivals.whole_at(CLOSED), arrivals.whole_at(OPEN)))
    })
}
