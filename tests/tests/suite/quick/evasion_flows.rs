//! The flow table under attack: floods from outside that leave no trace in it, and more flows from inside than it holds.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use anyhow::{Context, Result, ensure};
use fw_tests::{
    lab::{
        LAN_BROADCAST, LAN4, LAN6, Lab, Mode, PI4, PI6,
        client::{echo, receives},
        netfilter::CLOSED_TARGET,
        wait::PATIENCE,
        wire::stay_in_order,
    },
    packet::{Layer, Stack, eth},
    tests,
    world::Family,
};

tests! { in native mode:
    floods_from_outside_leave_no_flows_behind;
    what_came_in_before_attach_takes_no_place_among_the_flows;
}

tests! { in generic mode:
    more_flows_than_fit_cost_those_that_nobody_uses;
}

/// As few flows as `attach` takes.
const CAPACITY: u64 = 1024;
/// An open port at which datagrams are answered, and one at which connections are.
const OPEN: u16 = 7000;

fn attach(lab: &Lab, mode: Mode) -> Result<()> {
    let (mode, flows) = (mode.to_string(), CAPACITY.to_string());
    lab.fw(&["attach", "eth0", "--mode", &mode, "--allow", &OPEN.to_string(), "--flows", &flows]).map(drop)
}

/// A question that a server on the LAN answers over a flow of its own.
fn asks(socket: &UdpSocket, lan: IpAddr, port: u16) -> Result<bool> {
    socket.send_to(b"question", SocketAddr::new(lan, port))?;
    receives(socket, PATIENCE)
}

/// A packet from one of many senders beyond the router, none of which exists.
fn from_stranger(family: Family, number: u16, lan: [u8; 6], pi: [u8; 6]) -> Stack<Box<dyn Layer>> {
    let link = eth().from(lan).to(pi);
    let [high, low] = number.to_be_bytes();
    match family {
        Family::V4 => link.ipv4().from(&format!("203.0.{high}.{low}")).to("192.0.2.1").erased(),
        Family::V6 => link.ipv6().from(&format!("2001:db8:f::{number:x}")).to("2001:db8:1::1").erased(),
    }
}

/// Each sender has an address of its own, and there are several times more than flows fit: what their answers leave behind would have
/// pushed out what the host itself has open.
fn floods_from_outside_leave_no_flows_behind(mode: Mode) -> Result<()> {
    const SENDERS: u16 = 4096;
    stay_in_order()?;
    let lab = Lab::without_containers()?;
    lab.pi.open_input()?;
    let (datagrams, _connections) = (lab.pi.serve_udp(OPEN)?, lab.pi.serve_tcp(OPEN)?);
    let (_asked, _server) = (lab.lan.serve_udp(5001)?, lab.lan.serve_tcp(5000)?);
    let wire = lab.lan.wire("eth0")?;
    let (lan, pi) = (wire.mac(), lab.pi.mac("eth0")?);
    attach(&lab, mode)?;

    let mut own = Vec::new();
    for lan in [LAN4, LAN6] {
        let socket = lab.pi.udp_socket(0, lan)?;
        ensure!(asks(&socket, lan, 5001)?);
        own.push((lan, socket, lab.pi.connect_tcp(SocketAddr::new(lan, 5000))?));
    }
    let before = (lab.stats("eth0")?, lab.moment()?);
    for family in Family::BOTH {
        let met = datagrams.reached();
        for number in 1..=SENDERS {
            let ip = || from_stranger(family, number, lan, pi);
            let source = 1024 + number;
            wire.send(&ip().udp(source, OPEN).payload(b"flood").build())?;
            wire.send(&ip().tcp(source, OPEN).syn().build())?;
            wire.send(&ip().tcp(source, OPEN).ack().build())?;
            wire.send(&ip().udp(source, 1 + number).payload(b"flood").build())?;
            wire.send(&ip().tcp(source, 1 + number).syn().build())?;
            // The echo server keeps up: what it does not answer leaves nothing behind.
            if number % 64 == 0 {
                datagrams.await_reached(met + usize::from(number)).context("the flood at the open port")?;
            }
        }
    }
    let (sent, after) = lab.await_judged(before.1)?;
    ensure!(after.flows == before.0.flows, "{} flows became {}", before.0.flows, after.flows);
    for (lan, socket, mut connection) in own {
        ensure!(asks(&socket, lan, 5001)?, "the datagrams' flow is lost");
        echo(&mut connection).context("the connection is lost")?;
    }
    println!("{sent} packets sent, {} datagrams answered, {} flows", datagrams.reached(), after.flows);
    Ok(())
}

/// Connection tracking knows what came in as well as what went out, and `attach` asks it what is open.
fn what_came_in_before_attach_takes_no_place_among_the_flows(mode: Mode) -> Result<()> {
    const SENDERS: usize = 300;
    stay_in_order()?;
    let lab = Lab::new()?;
    lab.pi.open_input()?;
    let (host, container) = (lab.pi.serve_udp(OPEN)?, lab.container(0).serve_udp(CLOSED_TARGET)?);
    // Nobody is there to answer this one, which would be something that goes out.
    let to_all = lab.lan.udp_socket(0, LAN4)?;
    to_all.set_broadcast(true)?;
    to_all.send_to(b"flood", SocketAddr::new(LAN_BROADCAST, OPEN + 1))?;
    for pi in [PI4, PI6] {
        let met = (host.reached(), container.reached());
        for _ in 0..SENDERS {
            lab.lan.send_udp_from(0, SocketAddr::new(pi, OPEN), b"flood")?;
            lab.lan.send_udp_from(0, SocketAddr::new(pi, 9125), b"flood")?;
        }
        host.await_reached(met.0 + SENDERS)?;
        container.await_reached(met.1 + SENDERS)?;
    }
    let mut own = Vec::new();
    let asked = [(LAN4, lab.lan.udp_socket(0, LAN4)?), (LAN6, lab.lan.udp_socket(0, LAN6)?)];
    for (lan, asked) in &asked {
        let to = SocketAddr::new(*lan, asked.local_addr()?.port());
        for from in [&lab.pi, lab.container(0)] {
            let socket = from.udp_socket(0, *lan)?;
            socket.connect(to)?;
            socket.send(b"question")?;
            own.push((asked, asked.recv_from(&mut [0; 16])?.1, socket));
        }
    }
    attach(&lab, mode)?;
    let flows = lab.stats("eth0")?.flows;
    ensure!(flows == own.len() as u64, "{flows} flows, {} of which went out", own.len());
    for (asked, asker, socket) in own {
        asked.send_to(b"answer", asker)?;
        ensure!(receives(&socket, PATIENCE)?, "{asker} gets no answer");
    }
    Ok(())
}

/// Those that were used least recently leave first, as the manual's limits say.
fn more_flows_than_fit_cost_those_that_nobody_uses(mode: Mode) -> Result<()> {
    const FLOWS: u16 = 5000;
    // Each processor keeps some of its own entries from the others.
    stay_in_order()?;
    let lab = Lab::without_containers()?;
    lab.pi.open_input()?;
    let (_asked, _server, _inbound) = (lab.lan.serve_udp(5001)?, lab.lan.serve_tcp(5000)?, lab.pi.serve_tcp(OPEN)?);
    attach(&lab, mode)?;
    for (pi, lan) in [(PI4, LAN4), (PI6, LAN6)] {
        let mut inbound = lab.lan.connect_tcp(SocketAddr::new(pi, OPEN))?;
        let idle = lab.pi.udp_socket(0, lan)?;
        let late = lab.lan.udp_socket(5002, lan)?;
        idle.send_to(b"question", SocketAddr::new(lan, 5002))?;
        let (_, asker) = late.recv_from(&mut [0; 16])?;
        let busy = lab.pi.udp_socket(0, lan)?;
        let mut connection = lab.pi.connect_tcp(SocketAddr::new(lan, 5000))?;

        let many = lab.pi.udp_socket(0, lan)?;
        for number in 0..FLOWS {
            many.send_to(b"one more", SocketAddr::new(lan, 10_000 + number))?;
            if number % 100 == 0 {
                ensure!(asks(&busy, lan, 5001)?, "a flow that is in use is lost after {number} others");
                echo(&mut connection).with_context(|| format!("a connection in use is lost after {number} others"))?;
            }
        }
        let flows = lab.stats("eth0")?.flows;
        ensure!(flows <= 2 * CAPACITY, "{flows} flows");
        echo(&mut inbound).context("a connection to an open port needs no flow")?;
        for _ in 0..100 {
            ensure!(asks(&lab.pi.udp_socket(0, lan)?, lan, 5001)?, "a new flow is lost");
        }
        lab.pi.echo_tcp(SocketAddr::new(lan, 5000)).context("a new connection")?;

        let dropped = lab.stats("eth0")?.dropped_at("udp", asker.port());
        late.send_to(b"late", asker)?;
        lab.await_stats("the flow that nobody used to be gone", |now| {
            now.dropped_at("udp", asker.port()) == dropped + 1
        })?;
        // A sender gets a reply again when it sends again.
        idle.send_to(b"question", SocketAddr::new(lan, 5002))?;
        late.recv_from(&mut [0; 16])?;
        late.send_to(b"answer", asker)?;
        ensure!(receives(&idle, PATIENCE)?, "what left again is not answered");
    }
    Ok(())
}
