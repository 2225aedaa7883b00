//! `--refuse lan`: a closed port answers neighbours, and nobody else.

use std::{
    io::{self, ErrorKind},
    net::{IpAddr, SocketAddr},
};

use anyhow::{Context, Result, ensure};
use aya::{
    Ebpf, EbpfLoader,
    programs::{Xdp, XdpMode},
};
use fw_tests::{
    lab::{
        FAR4, LAN4, Lab, Mode, PI4, PI6, Transport, wait,
        wire::{Wire, stay_in_order},
    },
    packet::eth,
    tests,
    world::{Family, Station},
};
use fw_user::testing::OBJECT;

tests! { in every mode:
    neighbours_are_refused_at_once_and_nobody_else;
    what_must_not_be_answered_is_not;
    an_answer_keeps_its_tags;
}

tests! { in native mode:
    answers_are_few_during_a_flood;
    the_next_command_learns_of_another_network_on_the_link;
}

/// A port that is closed to everybody.
const CLOSED: u16 = 2323;
/// The closed port of the last frame of each round, whose answer shows that the others were judged.
const MARKER: u16 = 2424;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

/// A Pi that refuses. A veth has a queue for what XDP sends only where a program is at the other end too, which passes everything.
fn refusing(mode: Mode) -> Result<(Lab, Option<Ebpf>)> {
    let lab = Lab::without_containers()?;
    lab.pi.open_input()?;
    attach(&lab, mode, "lan")?;
    if mode != Mode::Native {
        return Ok((lab, None));
    }
    let mut object = EbpfLoader::new().btf(None).load(OBJECT)?;
    let program: &mut Xdp = object.program_mut("fw_probe").context("the program")?.try_into()?;
    program.load()?;
    lab.lan.enter(|| program.attach("eth0", XdpMode::Driver))?;
    Ok((lab, Some(object)))
}

fn attach(lab: &Lab, mode: Mode, refuse: &str) -> Result<()> {
    lab.fw(&["attach", "eth0", "--mode", &mode.to_string(), "--allow", "22", "--refuse", refuse]).map(drop)
}

/// A raw end of the LAN.
struct Raw {
    lab: Lab,
    wire: Wire,
    lan: Station,
    pi: Station,
    _queue: Option<Ebpf>,
}

impl Raw {
    fn new(mode: Mode) -> Result<Self> {
        stay_in_order()?;
        let (lab, queue) = refusing(mode)?;
        let wire = lab.lan.wire("eth0")?;
        let lan = Station { v4: "192.0.2.10", v6: "2001:db8:1::10", mac: wire.mac() };
        let pi = Station { v4: "192.0.2.1", v6: "2001:db8:1::1", mac: lab.pi.mac("eth0")? };
        Ok(Self { lab, wire, lan, pi, _queue: queue })
    }

    /// The answers to frames.
    fn answers(&self, frames: &[Vec<u8>]) -> Result<Vec<Vec<u8>>> {
        self.wire.received()?;
        frames.iter().try_for_each(|frame| self.wire.send(frame))?;
        self.wire.send(&Family::V4.between(self.lan, self.pi).tcp(40_000, MARKER).syn().build())?;
        let mut seen = self.wire.await_frame("the answer to the marker", |frame| is_reset(frame, MARKER))?;
        seen.retain(|frame| is_answer(frame) && !is_reset(frame, MARKER));
        Ok(seen)
    }
}

/// What a frame holds behind a tag: its `EtherType` and its packet.
fn packet(frame: &[u8]) -> (&[u8], &[u8]) {
    let at = if frame[12..14] == [0x81, 0] { 16 } else { 12 };
    (&frame[at..at + 2], &frame[at + 2..])
}

fn is_reset(frame: &[u8], port: u16) -> bool {
    let (ether_type, ip) = packet(frame);
    ether_type == [8, 0] && ip[9] == 6 && ip[20..22] == port.to_be_bytes() && ip[33] & RST != 0
}

/// Whether it is TCP or an ICMP error.
fn is_answer(frame: &[u8]) -> bool {
    match packet(frame) {
        ([8, 0], ip) => ip[9] == 6 || ip[9] == 1 && ip[20] == 3,
        ([0x86, 0xdd], ip) => ip[6] == 6 || ip[6] == 58 && ip[40] == 1,
        _ => false,
    }
}

/// The error of a connection attempt.
fn refusal(error: &anyhow::Error) -> Option<ErrorKind> {
    error.chain().find_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind)
}

fn is_refused(lab: &Lab, transport: Transport, address: IpAddr, port: u16) -> Result<()> {
    let to = SocketAddr::new(address, port);
    let kind = match transport {
        Transport::Tcp => refusal(&lab.lan.connect_tcp(to).err().context("it connects")?),
        Transport::Udp => {
            let socket = lab.lan.udp_socket(0, address)?;
            socket.connect(to)?;
            socket.send(b"knock")?;
            wait::uninterrupted(|| socket.recv(&mut [0; 64])).err().map(|error| error.kind())
        }
    };
    ensure!(kind == Some(ErrorKind::ConnectionRefused), "{port}/{transport} of {address}: {kind:?}");
    Ok(())
}

fn neighbours_are_refused_at_once_and_nobody_else(mode: Mode) -> Result<()> {
    let (lab, _queue) = refusing(mode)?;
    let far = lab.add_far_host(1500)?;
    let server = lab.pi.serve_tcp(22)?;
    // Sent first: once neighbours have their answers, this one would have come too.
    let is_dropped = |port| lab.await_stats("a drop", |stats| stats.dropped_at("tcp", port) > 0).map(drop);
    let mut knocking = Vec::new();
    for (address, port) in [(PI4, 2501), (PI6, 2502)] {
        knocking.push(far.try_tcp(SocketAddr::new(address, port))?);
        is_dropped(port)?;
    }
    for address in [PI4, PI6] {
        for transport in [Transport::Tcp, Transport::Udp] {
            is_refused(&lab, transport, address, CLOSED)?;
        }
        lab.lan.reaches(&server, Transport::Tcp, address, 22)?;
    }
    for socket in &knocking {
        ensure!(socket.take_error()?.is_none(), "a sender behind a router got an answer");
    }
    for (sender, is_told) in [(LAN4, true), (FAR4, false)] {
        let text = lab.fw(&["explain", "2323/tcp", "--from", &sender.to_string()])?;
        ensure!(text.contains("refused at once (--refuse lan)") == is_told, "{text}");
    }
    let status = lab.fw(&["status"])?;
    ensure!(status.contains("closed TCP and UDP ports answer senders on the link"), "{status}");
    attach(&lab, mode, "nobody")?;
    let silent = lab.lan.try_tcp(SocketAddr::new(PI4, 2503))?;
    is_dropped(2503)?;
    // An answer would have come before this one.
    lab.lan.reaches(&server, Transport::Tcp, PI4, 22)?;
    ensure!(silent.take_error()?.is_none(), "nobody is to be refused, and somebody is");
    Ok(())
}

/// Linux takes the outer tag off what arrives. If the answer had lost one of the two, the inner one would be off too.
fn an_answer_keeps_its_tags(mode: Mode) -> Result<()> {
    let raw = Raw::new(mode)?;
    for family in [Family::V4, Family::V6] {
        let head = || family.on(eth().from(raw.lan.mac).to(raw.pi.mac).service_vlan(1).vlan(5), raw.lan, raw.pi);
        let syn = head().tcp(40_000, CLOSED).syn().build();
        let datagram = head().udp(40_000, CLOSED).payload(&[0; 200]).build();
        let answers = raw.answers(&[syn, datagram])?;
        ensure!(answers.len() == 2, "{family:?}: {answers:x?}");
        for answer in answers {
            ensure!(answer[12..16] == [0x81, 0, 0, 5], "{family:?}: {answer:x?}");
            ensure!(answer[..6] == raw.lan.mac && answer[6..12] == raw.pi.mac, "{family:?}: {answer:x?}");
        }
    }
    Ok(())
}

fn what_must_not_be_answered_is_not(mode: Mode) -> Result<()> {
    let raw = Raw::new(mode)?;
    let (lan, pi) = (raw.lan, raw.pi);
    let far = Station { v4: "203.0.113.10", v6: "2001:db8:3::10", mac: lan.mac };
    let stranger = Station { mac: [2, 0, 0, 0, 0, 0x99], ..pi };
    let broadcast = Station { v4: "192.0.2.255", v6: "ff02::1", mac: [0xff; 6] };
    let head = || eth().from(lan.mac).to(pi.mac).ipv4().from(lan.v4).to(pi.v4);
    let mut answered = Vec::new();
    for (what, frame) in [
        ("a first fragment", head().more_fragments().udp(40_000, CLOSED).payload(&[0; 64]).build()),
        ("a segment with IP options", head().options(&[1, 1, 1, 1]).tcp(40_000, CLOSED).syn().build()),
    ] {
        answered.extend(raw.answers(&[frame])?.first().map(|_| what.to_owned()));
    }
    for family in [Family::V4, Family::V6] {
        let tcp = |from, to| family.between(from, to).tcp(40_000, CLOSED);
        let udp = |from, to| family.between(from, to).udp(40_000, CLOSED).payload(b"knock");
        for (what, frame) in [
            ("a reset", tcp(lan, pi).rst().build()),
            ("a reset with an acknowledgment", tcp(lan, pi).flags(RST | ACK).build()),
            ("a segment from behind a router", tcp(far, pi).syn().build()),
            ("a datagram from behind a router", udp(far, pi).build()),
            ("a segment to another machine", tcp(lan, stranger).syn().build()),
            ("a datagram to another machine", udp(lan, stranger).build()),
            ("a datagram to everybody", udp(lan, broadcast).build()),
            ("a datagram to a group in a frame for this machine", udp(lan, Station { mac: pi.mac, ..GROUP }).build()),
        ] {
            answered.extend(raw.answers(&[frame])?.first().map(|_| format!("{what} ({family:?})")));
        }
        let answers = raw.answers(&[tcp(lan, pi).syn().build(), udp(lan, pi).build()])?;
        ensure!(answers.len() == 2, "{family:?}: {answers:x?}");
    }
    ensure!(answered.is_empty(), "answered: {answered:#?}");
    ensure!(raw.lab.stats("eth0")?.flows == 0, "an answer made a flow");
    Ok(())
}

/// A group, whose frames may be for one machine alone (RFC 6085).
const GROUP: Station = Station { v4: "224.0.0.251", v6: "ff02::fb", mac: [0; 6] };

/// A hundred for each processor and second, and two windows at most.
fn answers_are_few_during_a_flood(mode: Mode) -> Result<()> {
    const SENT: usize = 2_000;
    let raw = Raw::new(mode)?;
    let frame = Family::V4.between(raw.lan, raw.pi).tcp(40_000, CLOSED).flags(SYN).build();
    raw.wire.received()?;
    (0..SENT).try_for_each(|_| raw.wire.send(&frame))?;
    raw.lab.await_stats("all to be judged", |stats| stats.dropped_at("tcp", CLOSED) >= SENT as u64)?;
    let answers = raw.wire.received()?.iter().filter(|frame| is_reset(frame, CLOSED)).count();
    ensure!((100..SENT / 2).contains(&answers), "{answers} answers");
    Ok(())
}

fn the_next_command_learns_of_another_network_on_the_link(mode: Mode) -> Result<()> {
    let raw = Raw::new(mode)?;
    let other = Station { v4: "198.51.100.10", v6: "2001:db8:2::10", mac: raw.lan.mac };
    let is_answered = || {
        let syn = Family::V4.between(other, raw.pi).tcp(40_000, CLOSED).syn().build();
        anyhow::Ok(!raw.answers(&[syn])?.is_empty())
    };
    ensure!(!is_answered()?, "it is no neighbour yet");
    raw.lab.pi.run("ip address add 198.51.100.1/24 dev eth0")?;
    ensure!(!is_answered()?, "nobody has told the filter");
    raw.lab.fw(&["allow", "22"])?;
    ensure!(is_answered()?, "a command that changes no rule did not note the network");
    raw.lab.pi.run("ip address del 198.51.100.1/24 dev eth0")?;
    raw.lab.fw(&["allow", "80"])?;
    ensure!(!is_answered()?, "a command that changes a rule kept the network");
    Ok(())
}
