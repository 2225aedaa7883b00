//! Jumbo frames, of which an XDP program may see the first part alone.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use fw_tests::{
    lab::{LAN4, Lab, Mode, PI4, PI6, client::receives, wait},
    packet::{Layer, Stack, eth},
    tests,
};

tests! { in every mode:
    jumbo_frames_are_judged_and_counted_whole;
}

const MTU: u32 = 9000;
const BYTES: usize = 8000;
const CLOSED: u16 = 9123;
const OPEN: u16 = 8080;

/// Headers that are judged at once, and headers that take the way of all others. A native filter stays one when it is attached again.
fn jumbo_frames_are_judged_and_counted_whole(mode: Mode) -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.pi.open_input()?;
    for place in [&lab.lan, &lab.pi] {
        place.run(&format!("ip link set eth0 mtu {MTU}"))?;
    }
    let (closed, open) = (lab.pi.serve_udp(CLOSED)?, lab.pi.serve_udp(OPEN)?);
    let (wire, mac) = (lab.lan.wire("eth0")?, lab.pi.mac("eth0")?);
    let v4 = || eth().to(mac).ipv4().from(&LAN4.to_string()).to(&PI4.to_string());
    let v6 = || eth().to(mac).ipv6().from("2001:db8:1::10").to(&PI6.to_string());
    let shapes: [&dyn Fn() -> Stack<Box<dyn Layer>>; 4] =
        [&|| v4().erased(), &|| v4().options(&[1; 40]).erased(), &|| v6().erased(), &|| {
            v6().hop_by_hop().destination_options().erased()
        }];
    let frames = |port: u16| shapes.map(|shape| shape().udp(40_000, port).payload(&[7; BYTES]).build()).into_iter();
    let send = |port: u16| frames(port).try_for_each(|frame| wire.send(&frame));
    send(CLOSED)?;
    closed.await_reached(shapes.len()).context("without the filter")?;
    for _ in 0..2 {
        let said = lab.attach(mode, "22,8080/udp")?;
        ensure!(lab.stats("eth0")?.mode == mode.to_string(), "{said}");
    }
    send(CLOSED)?;
    send(OPEN)?;
    open.await_reached(shapes.len()).context("the open port")?;
    let drops = shapes.len() as u64;
    wait::until("the drops", || Ok((lab.stats("eth0")?.dropped_at("udp", CLOSED) == drops).then_some(())))?;
    let dropped = lab.stats("eth0")?.reason("closed-port");
    let bytes: usize = frames(CLOSED).map(|frame| frame.len()).sum();
    ensure!((dropped.packets, dropped.bytes) == (drops, bytes as u64), "{dropped:?} of {bytes} bytes");
    ensure!(closed.reached() == shapes.len(), "a jumbo frame came in at a closed port");

    let asked = lab.lan.udp_socket(5300, LAN4)?;
    let client = lab.pi.udp_socket(0, LAN4)?;
    client.send_to(b"question", SocketAddr::new(LAN4, 5300))?;
    ensure!(receives(&asked, wait::PATIENCE)?, "the question does not arrive");
    asked.send_to(&[7; BYTES], SocketAddr::new(PI4, client.local_addr()?.port()))?;
    let length = client.recv(&mut [0; BYTES + 1]).context("the answer")?;
    ensure!(length == BYTES, "{length} bytes of the answer came in");
    Ok(())
}
