//! Forged answers: each field of the tuple wrong in turn, while the right answer passes, over UDP and TCP, from the host and from a
//! container behind its masquerade.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use fw_tests::{
    lab::{
        LAN4, LAN6, Lab, Mode,
        arrivals::Arrivals,
        client::echo,
        stats::InterfaceStats,
        wait,
        wire::{Wire, stay_in_order},
    },
    packet::{Layer, Stack, eth},
    tests,
    world::{Family, Station},
};

tests! { in every mode:
    an_answer_in_another_vlan_is_an_answer_to_the_filter;
}

tests! { in native mode:
    no_near_miss_of_a_udp_answer_passes;
    errors_that_quote_what_never_left_open_nothing;
}

tests! { in generic mode:
    no_near_miss_of_a_tcp_answer_passes;
}

/// The port that is asked.
const ASKED: u16 = 5300;
/// An open port, at which the last packet of each round is seen.
const OPEN: u16 = 22;

struct World {
    lab: Lab,
    wire: Wire,
    lan: Station,
    pi: Station,
}

impl World {
    fn new() -> Result<Self> {
        stay_in_order()?;
        let lab = Lab::new()?;
        lab.pi.open_input()?;
        let wire = lab.lan.wire("eth0")?;
        let lan = Station { v4: "192.0.2.10", v6: "2001:db8:1::10", mac: wire.mac() };
        let pi = Station { v4: "192.0.2.1", v6: "2001:db8:1::1", mac: lab.pi.mac("eth0")? };
        Ok(Self { lab, wire, lan, pi })
    }

    /// Send a frame, then one to the open port, and return what arrived.
    fn after(&self, frame: &[u8]) -> Result<Arrivals> {
        self.lab.pi.count_arrivals()?;
        self.wire.send(frame)?;
        self.wire.send(&Family::V4.between(self.lan, self.pi).udp(40_000, OPEN).build())?;
        self.lab.await_arrivals("the marker", |now| now.at(OPEN) > 0)
    }

    /// Answers to a question that left from `port` over a transport, each wrong in one field.
    fn misses(&self, family: Family, transport: Make, other: Make, port: u16) -> Vec<Miss> {
        let Self { lan, pi, .. } = *self;
        let right = || family.between(lan, pi);
        let from = |sender: Station| transport(family.between(Station { mac: lan.mac, ..sender }, pi), ASKED, port);
        let to = |receiver: Station| transport(family.between(lan, receiver), ASKED, port);
        vec![
            ("another sender", port, transport(family.between(OTHER, pi), ASKED, port)),
            ("another sender with the right MAC address", port, from(OTHER)),
            ("the host itself as the sender", port, from(pi)),
            ("another port of the sender", port, transport(right(), ASKED + 1, port)),
            ("the sender's port backwards", port, transport(right(), ASKED.swap_bytes(), port)),
            ("both ports swapped", ASKED, transport(right(), port, ASKED)),
            ("another port of the host", port ^ 1, transport(right(), ASKED, port ^ 1)),
            ("another address of the host", port, to(Station { mac: pi.mac, ..BRIDGE })),
            ("the link's broadcast or group", port, to(EVERYBODY)),
            ("another transport", port, other(right(), ASKED, port)),
            ("another family", port, transport(family.other().between(lan, pi), ASKED, port)),
            ("an opening", port, right().tcp(ASKED, port).syn().build()),
        ]
    }

    /// Forge answers to what was sent from `port`. Without the filter all arrive, with it the right one alone.
    fn forge(&self, family: Family, transport: Make, other: Make, port: u16, has_filter: bool) -> Result<()> {
        for (what, at, frame) in self.misses(family, transport, other, port) {
            let arrived = self.after(&frame)?.at(at);
            ensure!(arrived == u64::from(!has_filter), "{family}, {what}: {arrived} arrived, filter {has_filter}");
        }
        let right = transport(family.between(self.lan, self.pi), ASKED, port);
        let arrived = self.after(&right)?.at(port);
        ensure!(arrived == 1, "{family}, the right answer: {arrived} arrived, filter {has_filter}");
        Ok(())
    }
}

/// The defect, the port that it goes to, and the frame.
type Miss = (&'static str, u16, Vec<u8>);

/// Makes a frame from a source port to a destination port.
type Make = fn(Stack<Box<dyn Layer>>, u16, u16) -> Vec<u8>;

/// A neighbour that was not asked anything.
const OTHER: Station = Station { v4: "192.0.2.99", v6: "2001:db8:1::99", mac: [2, 0, 0, 0, 0, 0x99] };
/// The host on its bridge.
const BRIDGE: Station = Station { v4: "172.17.0.1", v6: "fd00:17::1", mac: [0; 6] };
/// Everybody on the link.
const EVERYBODY: Station = Station { v4: "192.0.2.255", v6: "ff02::1", mac: [0xff; 6] };

fn udp(ip: Stack<Box<dyn Layer>>, source: u16, destination: u16) -> Vec<u8> {
    ip.udp(source, destination).payload(b"forged").build()
}

fn udp_lite(ip: Stack<Box<dyn Layer>>, source: u16, destination: u16) -> Vec<u8> {
    ip.udp_lite(source, destination).build()
}

fn tcp(ip: Stack<Box<dyn Layer>>, source: u16, destination: u16) -> Vec<u8> {
    ip.tcp(source, destination).ack().build()
}

fn no_near_miss_of_a_udp_answer_passes(mode: Mode) -> Result<()> {
    let world = World::new()?;
    let lab = &world.lab;
    for has_filter in [false, true] {
        if has_filter {
            lab.attach(mode, "22")?;
        }
        for (family, lan) in [(Family::V4, LAN4), (Family::V6, LAN6)] {
            let asked = lab.lan.udp_socket(ASKED, lan)?;
            for from in [&lab.pi, lab.container(0)] {
                let asker = from.udp_socket(0, lan)?;
                asker.send_to(b"question", SocketAddr::new(lan, ASKED))?;
                let (_, seen) = asked.recv_from(&mut [0; 16])?;
                world.forge(family, udp, udp_lite, seen.port(), has_filter)?;
                // The answer that was truly asked for comes in, in the end.
                asked.send_to(b"answer", seen)?;
                let mut words = [0; 16];
                wait::until("the answer", || {
                    let length = asker.recv(&mut words).context("no answer")?;
                    Ok((&words[..length] == b"answer").then_some(()))
                })?;
            }
        }
    }
    Ok(())
}

fn no_near_miss_of_a_tcp_answer_passes(mode: Mode) -> Result<()> {
    let world = World::new()?;
    let lab = &world.lab;
    let server = lab.lan.serve_tcp(ASKED)?;
    for has_filter in [false, true] {
        if has_filter {
            lab.attach(mode, "22")?;
        }
        for (family, lan) in [(Family::V4, LAN4), (Family::V6, LAN6)] {
            for from in [&lab.pi, lab.container(0)] {
                let met = server.reached();
                let mut connection = from.connect_tcp(SocketAddr::new(lan, ASKED))?;
                server.await_reached(met + 1)?;
                let seen = server.senders().pop().context("nothing arrived")?;
                world.forge(family, tcp, udp, seen.port(), has_filter)?;
                echo(&mut connection).context("the connection that answers were forged for")?;
            }
        }
    }
    Ok(())
}

/// A VLAN is no part of the tuple: an answer in a tagged frame passes the filter, and the kernel hands it to that VLAN's interface alone,
/// or with VLAN 0 to the parent.
fn an_answer_in_another_vlan_is_an_answer_to_the_filter(mode: Mode) -> Result<()> {
    let world = World::new()?;
    let World { lab, lan, pi, .. } = &world;
    lab.attach(mode, "22")?;
    let asked = lab.lan.udp_socket(ASKED, LAN4)?;
    let asker = lab.pi.udp_socket(0, LAN4)?;
    asker.send_to(b"question", SocketAddr::new(LAN4, ASKED))?;
    let port = asked.recv_from(&mut [0; 16])?.1.port();
    for (vlan, arrives) in [(0, 1), (10, 0)] {
        let before = lab.stats("eth0")?.reason("reply").packets;
        let link = eth().from(lan.mac).to(pi.mac).vlan(vlan);
        let arrived = world.after(&udp(Family::V4.on(link, *lan, *pi), ASKED, port))?.at(port);
        ensure!(arrived == arrives, "VLAN {vlan}: {arrived} arrived");
        ensure!(lab.stats("eth0")?.reason("reply").packets == before + 1, "VLAN {vlan}: no reply");
        // The same with a wrong port is none, whatever the tag.
        let link = eth().from(lan.mac).to(pi.mac).vlan(vlan);
        let arrived = world.after(&udp(Family::V4.on(link, *lan, *pi), ASKED + 1, port))?.at(port);
        ensure!(arrived == 0, "VLAN {vlan}: {arrived} forged ones arrived");
    }
    Ok(())
}

/// ICMP passes, and an error is about something that this host sent. One about something that it never sent opens nothing.
fn errors_that_quote_what_never_left_open_nothing(mode: Mode) -> Result<()> {
    const CLOSED: u16 = 9123;
    let world = World::new()?;
    let World { lab, lan, pi, .. } = &world;
    let server = lab.pi.serve_udp(CLOSED)?;
    for has_filter in [false, true] {
        if has_filter {
            lab.attach(mode, "22")?;
        }
        for family in Family::BOTH {
            // The packets that the host allegedly sent to the neighbour, from the closed port.
            let quoted = udp(family.between(*pi, *lan), CLOSED, 40_000)[14..].to_vec();
            let errors: &[(u8, u8)] =
                family.pick(&[(3, 0), (3, 3), (3, 4), (5, 1), (11, 0), (12, 0)], &[(1, 4), (2, 0), (3, 0), (4, 0)]);
            for &(kind, code) in errors {
                let ip = family.between(*lan, *pi);
                let error = match family {
                    Family::V4 => ip.icmp(kind, code).payload(&quoted).build(),
                    Family::V6 => ip.icmpv6(kind, code).payload(&quoted).build(),
                };
                let arrived = world.after(&error)?.of_protocol(family.pick(1, 58));
                ensure!(arrived > 0, "{family}, an error of type {kind} does not arrive");
            }
            let before = server.reached();
            let dropped = if has_filter { lab.stats("eth0")?.dropped_at("udp", CLOSED) } else { 0 };
            world.wire.send(&udp(family.between(*lan, *pi), 40_000, CLOSED))?;
            if has_filter {
                let closed = |stats: &InterfaceStats| stats.dropped_at("udp", CLOSED) > dropped;
                let stats = lab.await_stats("the datagram to be dropped", closed)?;
                ensure!(stats.flows == 0, "{} flows", stats.flows);
                ensure!(server.reached() == before, "{family}: an error opened the port");
            } else {
                server.await_reached(before + 1).context("without the filter")?;
            }
        }
    }
    Ok(())
}
