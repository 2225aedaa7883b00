//! Packets that lie in pieces in memory, or that Linux has joined, at TC ingress: judged by all their headers, and counted as they were on the wire.

use std::{
    io::{self, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
    thread,
};

use anyhow::{Context as _, Result, ensure};
use fw_tests::{
    lab::{Lab, Mode, Namespace, PI4, PI6, client::unspecified, tun::Tun, wait},
    packet::{Layer, Stack, eth},
    tests,
};
use serde_json::Value;

tests! { in tc mode:
    packets_in_pages_are_judged_by_all_their_headers;
    what_gro_joined_is_counted_as_it_was_on_the_wire;
    packets_longer_than_their_header_can_say_are_judged;
}

/// Headers of any kind.
type Headers = Stack<Box<dyn Layer>>;

const TAP: &str = "tap7";
const HERE4: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
const HERE6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 7, 0, 0, 0, 0, 1);
const CLOSED: u16 = 9123;
const OPEN: u16 = 8080;

fn packets_in_pages_are_judged_by_all_their_headers(_: Mode) -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.pi.open_input()?;
    let tap = Tun::with_pages(&lab.pi, TAP, &[&format!("{HERE4}/24"), &format!("{HERE6}/64")])?;
    let mac = lab.pi.mac(TAP)?;
    let v4 = || eth().to(mac).ipv4().from("198.51.100.2").to("198.51.100.1");
    let v6 = || eth().to(mac).ipv6().from("2001:db8:7::2").to("2001:db8:7::1");
    let shapes: [&dyn Fn() -> Headers; 4] =
        [&|| v4().erased(), &|| v4().options(&[1; 40]).erased(), &|| v6().erased(), &|| {
            v6().hop_by_hop().destination_options().erased()
        }];
    let (closed, open) = (lab.pi.serve_udp(CLOSED)?, lab.pi.serve_udp(OPEN)?);
    // The Ethernet header alone, and cuts through the headers behind it.
    let cuts = [14, 15, 30, 34, 53, 54];
    let send = |port: u16| -> Result<usize> {
        for shape in shapes {
            for cut in cuts {
                tap.send_in_pages(&shape().udp(40_000, port).payload(&[7; 64]).build(), cut)?;
            }
        }
        Ok(shapes.len() * cuts.len())
    };
    let sent = send(CLOSED)?;
    closed.await_reached(sent).context("without the filter")?;
    lab.fw(&["attach", TAP, "--mode", "tc", "--allow", "8080/udp"])?;
    ensure!(send(CLOSED)? + send(OPEN)? == 2 * sent);
    open.await_reached(sent).context("the open port")?;
    wait::until("the drops", || Ok((lab.stats(TAP)?.dropped_at("udp", CLOSED) == sent as u64).then_some(())))?;
    let stats = lab.stats(TAP)?;
    let judged = ["closed-port", "allowed"].map(|reason| stats.reason(reason).packets);
    ensure!(judged == [sent as u64; 2] && closed.reached() == sent, "{stats:?}");
    // The record was read from the pages, too.
    let recorded = lab.fw(&["drops", TAP, "--last", "--json"])?;
    let drop: Value = serde_json::from_str(recorded.lines().next().context("a drop")?)?;
    ensure!(drop["source"] == "198.51.100.2" && drop["port"] == CLOSED, "{recorded}");
    Ok(())
}

/// Send bytes over a connection that nobody answers, and have them all received.
fn pour(lab: &Lab, address: IpAddr, bytes: usize) -> Result<()> {
    let listener = lab.pi.enter(|| TcpListener::bind((unspecified(address), OPEN)))?;
    let received = thread::spawn(move || io::copy(&mut listener.accept()?.0, &mut io::sink()));
    let mut stream = lab.lan.connect_tcp(SocketAddr::new(address, OPEN))?;
    stream.write_all(&vec![7; bytes])?;
    stream.shutdown(std::net::Shutdown::Both)?;
    let received = received.join().expect("the receiver does not panic")?;
    ensure!(received == bytes as u64, "{received} of {bytes} bytes came to {address}");
    Ok(())
}

/// A number of the kernel's: the packets that an interface has sent.
fn sent(place: &Namespace) -> Result<u64> {
    let links: Value = serde_json::from_str(&place.run("ip -json -statistics link show eth0")?)?;
    links[0]["stats64"]["tx"]["packets"].as_u64().with_context(|| format!("no statistics in {links}"))
}

/// The packets that the network layer has got, which are fewer where some were joined.
fn got(place: &Namespace) -> Result<u64> {
    let table = place.run("cat /proc/thread-self/net/snmp")?;
    let mut lines = table.lines().filter(|line| line.starts_with("Ip:")).map(str::split_whitespace);
    let (names, values) = (lines.next().context("names")?, lines.next().context("values")?);
    let found = names.zip(values).find(|(name, _)| *name == "InReceives").context("InReceives")?;
    Ok(found.1.parse()?)
}

fn what_gro_joined_is_counted_as_it_was_on_the_wire(mode: Mode) -> Result<()> {
    const BYTES: usize = 4_000_000;
    let lab = Lab::without_containers()?;
    lab.pi.open_input()?;
    // Each packet for itself on the cable, and joined behind it.
    lab.lan.run("ethtool --offload eth0 tso off gso off")?;
    lab.pi.run("ethtool --offload eth0 gro on")?;
    lab.attach(mode, "22,8080/tcp")?;
    let (before, sent_before, got_before) = (lab.stats("eth0")?, sent(&lab.lan)?, got(&lab.pi)?);
    pour(&lab, PI4, BYTES)?;
    // The packets that end the connection come when they do.
    let counted = wait::until("what was sent to be counted", || {
        let (stats, sent) = (lab.stats("eth0")?, sent(&lab.lan)? - sent_before);
        let counted = stats.passed.packets + stats.dropped.packets - before.passed.packets - before.dropped.packets;
        Ok((counted == sent).then_some(stats))
    })?;
    let (wire, got) = (sent(&lab.lan)? - sent_before, got(&lab.pi)? - got_before);
    ensure!(got < wire / 2, "of {wire} packets {got} came to the network layer: nothing was joined");
    // The headers of each are counted as if they had no options of TCP: 12 bytes of 1,514.
    let bytes = counted.passed.bytes - before.passed.bytes;
    let exact = BYTES as u64 + wire * (14 + 20 + 32);
    ensure!(bytes.abs_diff(exact) < exact / 100, "{bytes} bytes were counted of about {exact}");
    Ok(())
}

fn packets_longer_than_their_header_can_say_are_judged(mode: Mode) -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.pi.open_input()?;
    lab.lan.send_as_one("eth0", 200_000)?;
    lab.pi.nft(
        "table inet lengths {
            counter joined4 {}
            counter joined6 {}
            chain input {
                type filter hook prerouting priority raw;
                meta nfproto ipv4 meta length > 65535 counter name joined4
                meta nfproto ipv6 meta length > 65535 counter name joined6
            }
        }",
    )?;
    lab.attach(mode, "22,8080/tcp")?;
    for (address, counter) in [(PI4, "joined4"), (PI6, "joined6")] {
        pour(&lab, address, 16_000_000)?;
        let listed = lab.pi.run(&format!("nft list counter inet lengths {counter}"))?;
        ensure!(!listed.contains("packets 0 "), "no packet was so long: {listed}");
    }
    let stats = lab.stats("eth0")?;
    ensure!(stats.reason("malformed").packets == 0 && stats.reason("truncated").packets == 0, "{stats:?}");
    Ok(())
}
