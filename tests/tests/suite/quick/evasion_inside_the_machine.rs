//! Packets that only a neighbour on the same kernel can send, above all another container: packets larger than any cable carries, local transports,
//! and packets that the kernel has marked as judged already.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use anyhow::{Context, Result, ensure};
use fw_tests::{
    lab::{
        LAN4, Lab, Mode, Namespace, PI4, PI6, Server, Transport,
        client::unspecified,
        command,
        wait::{self, PATIENCE},
    },
    tests,
};
use nix::sys::socket::{setsockopt, sockopt::UdpGsoSegment};
use socket2::{Domain, Protocol, Socket, Type};

tests! { in every mode:
    packets_larger_than_the_cable_carries_reach_no_closed_port;
}

tests! { in generic mode:
    an_open_udp_port_opens_no_udp_lite_socket;
}

tests! { in tc mode:
    an_open_udp_port_opens_no_udp_lite_socket;
}

tests! {
    redirected_packets_pass_in_generic_mode_alone;
    packets_through_an_ifb_pass_in_tc_mode_alone;
}

const CLOSED: u16 = 9123;
const OPEN: u16 = 80;

/// Between network namespaces the kernel cuts nothing into pieces that the other end can take whole.
fn packets_larger_than_the_cable_carries_reach_no_closed_port(mode: Mode) -> Result<()> {
    const SEGMENT: i32 = 1000;
    const SEGMENTS: usize = 12;
    let lab = Lab::without_containers()?;
    lab.pi.open_input()?;
    let (closed, open) = (lab.pi.serve_udp(CLOSED)?, lab.pi.serve_udp(OPEN)?);
    let send = |address: IpAddr, port: u16| -> Result<()> {
        let socket = lab.lan.udp_socket(0, address)?;
        setsockopt(&socket, UdpGsoSegment, &SEGMENT)?;
        socket.send_to(&[b'x'; SEGMENT as usize * SEGMENTS], SocketAddr::new(address, port))?;
        Ok(())
    };
    for (count, address) in [(1, PI4), (2, PI6)] {
        for (server, port) in [(&closed, CLOSED), (&open, OPEN)] {
            send(address, port)?;
            server.await_reached(count * SEGMENTS).with_context(|| format!("{port} without the filter"))?;
        }
    }
    lab.attach(mode, "22,80,443")?;
    for (count, address) in [(3, PI4), (4, PI6)] {
        send(address, CLOSED)?;
        send(address, OPEN)?;
        open.await_reached(count * SEGMENTS).context("the open port")?;
    }
    lab.await_stats("drops at the closed port", |stats| stats.dropped_at("udp", CLOSED) >= 2)?;
    ensure!(closed.reached() == 2 * SEGMENTS, "large packets reached the closed port");
    Ok(())
}

/// A UDP-Lite socket (RFC 3828).
fn udp_lite(place: &Namespace, port: u16, peer: IpAddr) -> Result<UdpSocket> {
    let domain = Domain::for_address(SocketAddr::new(peer, 0));
    let open = || {
        let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::from(136)))?;
        socket.bind(&SocketAddr::new(unspecified(peer), port).into())?;
        Ok(socket)
    };
    let socket = place.enter(|| wait::bind(format!("UDP-Lite port {port}"), open))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(socket.into())
}

fn an_open_udp_port_opens_no_udp_lite_socket(mode: Mode) -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.pi.open_input()?;
    let mut word = [0; 16];
    for address in [PI4, PI6] {
        let (listener, sender) = (udp_lite(&lab.pi, OPEN, address)?, udp_lite(&lab.lan, 0, address)?);
        let send = |word: &[u8]| sender.send_to(word, SocketAddr::new(address, OPEN));
        send(b"first")?;
        let length = listener.recv(&mut word).context("without the filter")?;
        ensure!(&word[..length] == b"first");
        lab.attach(mode, "80")?;
        send(b"second")?;
        lab.await_stats("the drop", |stats| stats.dropped_at("udplite", OPEN) == 1)?;
        // The next packet is the last one, so nothing came before it.
        lab.fw(&["allow", "80/udplite"])?;
        send(b"third")?;
        let length = listener.recv(&mut word).context("the open port")?;
        ensure!(&word[..length] == b"third", "{:?} got past the filter", &word[..length]);
        lab.fw(&["detach", "eth0"])?;
    }
    Ok(())
}

/// A packet that a neighbour redirects by its own traffic control carries the mark of it through a virtual cable, and generic mode takes
/// it for one that it has seen before. The manual's limits say so; should a kernel change that, they are to say something else.
fn redirected_packets_pass_in_generic_mode_alone() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.pi.open_input()?;
    let server = lab.pi.serve_udp(CLOSED)?;
    // A second cable of the neighbour's that leads nowhere, and from it to the real one.
    let mac = lab.pi.mac("eth0")?.map(|byte| format!("{byte:02x}")).join(":");
    for line in [
        "ip link add detour type veth peer name end",
        "ip link set detour up",
        "ip link set end up",
        "tc qdisc add dev detour clsact",
        "tc filter add dev detour egress protocol all u32 match u32 0 0 action mirred egress redirect dev eth0",
        &format!("ip route add {PI4}/32 dev detour src {LAN4}"),
        &format!("ip neighbour add {PI4} lladdr {mac} dev detour"),
    ] {
        lab.lan.run(line)?;
    }
    let knock = || lab.lan.send_udp_from(0, SocketAddr::new(PI4, CLOSED), b"knock");
    let arrives = |server: &Server, which: &str| -> Result<()> {
        let before = server.reached();
        knock()?;
        server.await_reached(before + 1).with_context(|| which.to_owned())
    };
    arrives(&server, "without the filter")?;
    lab.attach(Mode::Native, "22")?;
    lab.is_closed(&server, Transport::Udp, PI4, CLOSED)?;
    lab.fw(&["detach", "eth0"])?;
    lab.attach(Mode::Tc, "22")?;
    lab.is_closed(&server, Transport::Udp, PI4, CLOSED)?;
    lab.fw(&["detach", "eth0"])?;
    lab.attach(Mode::Generic, "22")?;
    arrives(&server, "in generic mode")
}

/// A packet that a neighbour sends through an `ifb` carries another mark through a virtual cable, and Linux skips TC ingress for it. The manual's
/// limits say so as well.
fn packets_through_an_ifb_pass_in_tc_mode_alone() -> Result<()> {
    const KNOCKS: u64 = 64;
    /// Classic BPF that takes a packet by the toss of a coin: behind the `ifb` it comes by here again.
    const COIN: &str = "4,32 0 0 4294963256,69 0 1 1,6 0 0 4294967295,6 0 0 0";
    let lab = Lab::without_containers()?;
    lab.pi.open_input()?;
    let server = lab.pi.serve_udp(CLOSED)?;
    for line in ["ip link add ifb0 type ifb", "ip link set ifb0 up", "tc qdisc add dev eth0 clsact"] {
        lab.lan.run(line)?;
    }
    let mut filter = lab.lan.command("tc");
    filter.args(["filter", "add", "dev", "eth0", "egress", "protocol", "all", "bpf", "bytecode", COIN]);
    command::run(filter.args(["action", "mirred", "egress", "redirect", "dev", "ifb0"]))?;
    let knock = || (0..KNOCKS).try_for_each(|_| lab.lan.send_udp_from(0, SocketAddr::new(PI4, CLOSED), b"knock"));
    knock()?;
    server.await_reached(KNOCKS as usize).context("without the filter")?;
    for mode in [Mode::Native, Mode::Generic, Mode::Tc] {
        lab.attach(mode, "22")?;
        let before = server.reached();
        knock()?;
        let arrived = || (server.reached() - before) as u64;
        lab.await_stats("every knock", |stats| stats.dropped_at("udp", CLOSED) + arrived() == KNOCKS)?;
        ensure!((arrived() > 0) == (mode == Mode::Tc), "{} arrived in {mode} mode", arrived());
        lab.fw(&["detach", "eth0"])?;
    }
    Ok(())
}
