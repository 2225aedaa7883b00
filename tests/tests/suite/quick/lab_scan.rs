//! Scanners get no packet through to a closed port, whatever source port, flags or tags they use.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result, bail};
use etherparse::{PacketBuilder, SlicedPacket, TransportSlice, VlanId};
use fw_tests::{
    lab::{
        LAN4, LAN6, Lab, Mode, PI4, PI6,
        netfilter::CLOSED_TARGET,
        wire::{Wire, stay_in_order},
    },
    tests,
};

tests! { in both modes:
    priority_tagged_frames_do_not_slip_through;
    vlan_frames_are_judged_by_what_is_inside;
    drops_do_not_show_on_the_wire;
}

tests! { in native mode:
    tcp_scan_with_unusual_flags_does_not_reach_the_stack;
}

tests! { in generic mode:
    udp_scan_from_well_known_source_ports_finds_nothing;
}

const CLOSED: u16 = 9125;
const OPEN: u16 = 22;

fn udp_scan_from_well_known_source_ports_finds_nothing(mode: Mode) -> Result<()> {
    let lab = Lab::new()?;
    let server = lab.container(0).serve_udp(CLOSED_TARGET)?;
    let scan = |pi| -> Result<()> {
        for source in [20, 53, 67, 123, 547, 5353] {
            lab.lan.send_udp_from(source, SocketAddr::new(pi, CLOSED), b"scan")?;
        }
        Ok(())
    };
    for (scans, pi) in [(1, PI4), (2, PI6)] {
        scan(pi)?;
        server.await_reached(6 * scans).context("without the filter")?;
    }
    lab.attach(mode, "22,80,443")?;
    for (scans, pi) in [(1, PI4), (2, PI6)] {
        scan(pi)?;
        lab.await_stats("six drops a scan", |stats| stats.dropped_at("udp", CLOSED) == 6 * scans)?;
    }
    assert_eq!(server.reached(), 12, "only what was sent without the filter arrived");
    Ok(())
}

/// Name, and which flags are set: FIN, SYN, RST, PSH, ACK, URG.
const FLAGS: [(&str, [bool; 6]); 8] = [
    ("SYN", [false, true, false, false, false, false]),
    ("ACK", [false, false, false, false, true, false]),
    ("FIN", [true, false, false, false, false, false]),
    ("NULL", [false; 6]),
    ("XMAS", [true, false, false, true, false, true]),
    ("SYN and FIN", [true, true, false, false, false, false]),
    ("RST", [false, false, true, false, false, false]),
    ("SYN and ACK", [false, true, false, false, true, false]),
];

/// Wires of the two machines, to send frames on one and see on the other which get past XDP.
struct Wires {
    lan: Wire,
    pi: Wire,
}

impl Wires {
    fn of(lab: &Lab) -> Result<Self> {
        stay_in_order()?;
        Ok(Self { lan: lab.lan.wire("eth0")?, pi: lab.pi.wire("eth0")? })
    }

    fn tcp(&self, pi: IpAddr, port: u16, flags: [bool; 6]) -> Result<Vec<u8>> {
        let mut header = etherparse::TcpHeader::new(40_000, port, 1, 1024);
        [header.fin, header.syn, header.rst, header.psh, header.ack, header.urg] = flags;
        let builder = PacketBuilder::ethernet2(self.lan.mac(), self.pi.mac());
        let builder = match (LAN4, LAN6, pi) {
            (IpAddr::V4(lan), _, IpAddr::V4(pi)) => builder.ipv4(lan.octets(), pi.octets(), 64),
            (_, IpAddr::V6(lan), IpAddr::V6(pi)) => builder.ipv6(lan.octets(), pi.octets(), 64),
            _ => bail!("the constants have other families"),
        };
        let mut frame = Vec::new();
        builder.tcp_header(header).write(&mut frame, &[])?;
        Ok(frame)
    }

    /// A datagram to the Pi's IPv4 address, with VLAN tags from the outside in.
    fn udp(&self, port: u16, tags: &[u16], payload: &[u8]) -> Result<Vec<u8>> {
        let (IpAddr::V4(lan), IpAddr::V4(pi)) = (LAN4, PI4) else { bail!("the constants have another family") };
        let builder = PacketBuilder::ethernet2(self.lan.mac(), self.pi.mac());
        let mut frame = Vec::new();
        match *tags {
            [] => builder.ipv4(lan.octets(), pi.octets(), 64).udp(40_000, port).write(&mut frame, payload)?,
            [tag] => builder
                .single_vlan(VlanId::try_new(tag)?)
                .ipv4(lan.octets(), pi.octets(), 64)
                .udp(40_000, port)
                .write(&mut frame, payload)?,
            [outer, inner] => builder
                .double_vlan(VlanId::try_new(outer)?, VlanId::try_new(inner)?)
                .ipv4(lan.octets(), pi.octets(), 64)
                .udp(40_000, port)
                .write(&mut frame, payload)?,
            _ => bail!("at most two tags"),
        }
        Ok(frame)
    }

    /// Send frames, then a marker to an open port, and return the destination ports of what came through up to the marker.
    fn through(&self, frames: &[Vec<u8>], marker: &[u8]) -> Result<Vec<u16>> {
        for frame in frames {
            self.lan.send(frame)?;
        }
        self.lan.send(marker)?;
        let seen = self.pi.await_frame("the marker", |frame| destination_port(frame) == destination_port(marker))?;
        Ok(seen.iter().filter_map(|frame| destination_port(frame)).collect())
    }
}

/// The destination port of a TCP segment or UDP datagram that came from the LAN host.
fn destination_port(frame: &[u8]) -> Option<u16> {
    match SlicedPacket::from_ethernet(frame).ok()?.transport? {
        TransportSlice::Tcp(tcp) => Some(tcp.destination_port()),
        TransportSlice::Udp(udp) => Some(udp.destination_port()),
        _ => None,
    }
}

fn tcp_scan_with_unusual_flags_does_not_reach_the_stack(mode: Mode) -> Result<()> {
    let lab = Lab::new()?;
    let wires = Wires::of(&lab)?;
    let scan = |which: &str, expected: &[u16]| -> Result<()> {
        for pi in [PI4, PI6] {
            for (name, flags) in FLAGS {
                let (probe, marker) = (wires.tcp(pi, CLOSED, flags)?, wires.tcp(pi, OPEN, flags)?);
                assert_eq!(wires.through(&[probe], &marker)?, expected, "{name} to {pi} {which}");
            }
        }
        Ok(())
    };
    scan("without the filter", &[CLOSED, OPEN])?;
    lab.attach(mode, "22")?;
    scan("with the filter", &[OPEN])?;
    assert_eq!(lab.stats("eth0")?.dropped_at("tcp", CLOSED), 2 * FLAGS.len() as u64);
    Ok(())
}

/// Linux hands frames with VLAN 0, once or twice tagged, to the parent interface: the host's sockets get them.
fn priority_tagged_frames_do_not_slip_through(mode: Mode) -> Result<()> {
    let lab = Lab::new()?;
    let wires = Wires::of(&lab)?;
    let server = lab.container(0).serve_udp(CLOSED_TARGET)?;
    let frames = [wires.udp(CLOSED, &[0], b"one tag")?, wires.udp(CLOSED, &[0, 0], b"two tags")?];
    for frame in &frames {
        let before = server.reached();
        wires.lan.send(frame)?;
        server.await_reached(before + 1).context("without the filter")?;
    }
    lab.attach(mode, "22,80,443")?;
    for frame in &frames {
        wires.lan.send(frame)?;
    }
    lab.await_stats("two drops", |stats| stats.dropped_at("udp", CLOSED) == 2)?;
    assert_eq!(server.reached(), 2, "only what was sent without the filter arrived");
    Ok(())
}

/// The frames for a VLAN sub-interface of the filtered one. They are read on the parent, which works even without VLAN interfaces in the kernel.
fn vlan_frames_are_judged_by_what_is_inside(mode: Mode) -> Result<()> {
    const VLAN: u16 = 10;
    let lab = Lab::without_containers()?;
    let wires = Wires::of(&lab)?;
    let marker = wires.udp(OPEN, &[VLAN], b"marker")?;
    for tags in [&[VLAN][..], &[VLAN, 20]] {
        let probes = [wires.udp(CLOSED, tags, b"closed")?, wires.udp(80, tags, b"open")?];
        assert_eq!(wires.through(&probes, &marker)?, [CLOSED, 80, OPEN], "tags {tags:?} without the filter");
        lab.attach(mode, "22,80,443")?;
        assert_eq!(wires.through(&probes, &marker)?, [80, OPEN], "tags {tags:?} with the filter");

        // A packet with a tag gets its reply with the same tag.
        let (IpAddr::V4(lan), IpAddr::V4(pi)) = (LAN4, PI4) else { bail!("the constants have another family") };
        let mut question = Vec::new();
        PacketBuilder::ethernet2(wires.pi.mac(), wires.lan.mac())
            .single_vlan(VlanId::try_new(VLAN)?)
            .ipv4(pi.octets(), lan.octets(), 64)
            .udp(30_000, 40_000)
            .write(&mut question, b"question")?;
        let answer = wires.udp(30_000, &[VLAN], b"answer")?;
        assert_eq!(wires.through(std::slice::from_ref(&answer), &marker)?, [OPEN], "nobody asked yet");
        wires.pi.send(&question)?;
        assert_eq!(wires.through(&[answer], &marker)?, [30_000, OPEN], "asked with a tag, answered with a tag");
        lab.fw(&["detach", "eth0"])?;
    }
    Ok(())
}

/// A closed port says nothing: neither a reset nor an ICMP error goes back.
fn drops_do_not_show_on_the_wire(mode: Mode) -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.pi.open_input()?;
    let wires = Wires::of(&lab)?;
    let knock = || -> Result<Vec<Vec<u8>>> {
        wires.lan.send(&wires.tcp(PI4, CLOSED, FLAGS[0].1)?)?;
        wires.lan.send(&wires.udp(CLOSED, &[], b"knock")?)?;
        // Nobody listens at the open port, so its reset marks the end of what there is to see.
        wires.lan.send(&wires.tcp(PI4, OPEN, FLAGS[0].1)?)?;
        wires.lan.await_frame("the reset of the open port", |frame| source_port(frame) == Some(OPEN))
    };
    let ip = |frames: &[Vec<u8>]| frames.iter().filter(|frame| frame[12..14] == [0x08, 0x00]).count();
    assert_eq!(ip(&knock()?), 3, "without the filter: two resets and a port unreachable");
    lab.attach(mode, "22")?;
    assert_eq!(ip(&knock()?), 1, "with the filter: the open port's reset alone");
    Ok(())
}

fn source_port(frame: &[u8]) -> Option<u16> {
    match SlicedPacket::from_ethernet(frame).ok()?.transport? {
        TransportSlice::Tcp(tcp) => Some(tcp.source_port()),
        _ => None,
    }
}
