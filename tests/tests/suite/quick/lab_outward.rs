//! Outbound traffic of the host and its containers works as without a filter.

use std::{
    io::{Read, Write},
    net::{IpAddr, SocketAddr},
    thread,
};

use anyhow::{Context, Result, ensure};
use fw_tests::{
    lab::{FAR4, FAR6, LAN4, LAN6, Lab, Mode, Namespace, PI4, PI6, Transport, client::echo, wait},
    packet::eth,
    tests,
};

tests! { in every mode:
    host_and_container_reach_servers_over_tcp_and_udp;
    path_mtu_discovery_reaches_the_sender;
    big_answers_come_through;
    a_tunnel_that_is_begun_here_is_answered_by_its_other_end_alone;
}

tests! { in native mode:
    ntp_asks_and_is_answered_at_its_own_port;
    ping_works_in_both_directions;
    connections_from_before_the_filter_live_on;
}

tests! { in generic mode:
    only_who_was_asked_can_answer;
    neighbours_are_found_again;
}

/// With a container, before the filter and with it: what works without it must go on working.
fn before_and_after(mode: Mode, scenario: impl Fn(&Lab) -> Result<()>) -> Result<()> {
    let lab = Lab::new()?;
    scenario(&lab).context("without the filter")?;
    lab.attach(mode, "22,80,443")?;
    scenario(&lab).context("with the filter")
}

fn host_and_container_reach_servers_over_tcp_and_udp(mode: Mode) -> Result<()> {
    before_and_after(mode, |lab| {
        for transport in Transport::ALL {
            let server = lab.lan.serve(transport, 53)?;
            for (pi, lan) in [(PI4, LAN4), (PI6, LAN6)] {
                for from in [&lab.pi, lab.container(0)] {
                    from.reaches(&server, transport, lan, 53)?;
                    let seen = server.senders().pop().context("nothing arrived")?;
                    assert_eq!(seen.ip(), pi, "the container's packets leave with the host's address");
                }
            }
        }
        Ok(())
    })
}

fn ntp_asks_and_is_answered_at_its_own_port(mode: Mode) -> Result<()> {
    before_and_after(mode, |lab| {
        let _server = lab.lan.serve_udp(123)?;
        for lan in [LAN4, LAN6] {
            lab.pi.echo_udp_from(123, SocketAddr::new(lan, 123))?;
            lab.container(0).echo_udp_from(123, SocketAddr::new(lan, 123))?;
        }
        Ok(())
    })
}

/// ESP, GRE and 6in4 as they stand on the wire.
fn a_tunnel_that_is_begun_here_is_answered_by_its_other_end_alone(mode: Mode) -> Result<()> {
    const TUNNELS: [u8; 3] = [50, 47, 41];
    const STRANGER: &str = "192.0.2.77";
    let lab = Lab::without_containers()?;
    let (near, far) = (lab.pi.wire("eth0")?, lab.lan.wire("eth0")?);
    let (pi, lan) = (near.mac(), far.mac());
    lab.attach(mode, "22")?;
    let counts = || -> Result<[u64; 2]> {
        let stats = lab.stats("eth0")?;
        Ok(["reply", "closed-protocol"].map(|reason| stats.reason(reason).packets))
    };
    let (here, there) = (PI4.to_string(), LAN4.to_string());
    for (done, tunnel) in (0..).zip(TUNNELS) {
        let come =
            |from: &str| far.send(&eth().from(lan).to(pi).ipv4().from(from).to(&here).raw(tunnel, &[7; 32]).build());
        let reach = |what: &str, expected: [u64; 2]| {
            wait::until(what, || Ok((counts()? == expected).then_some(())))
                .with_context(|| format!("protocol {tunnel}: {:?}", counts()))
        };
        come(&there)?;
        reach("what nobody asked for to be dropped", [done, 2 * done + 1])?;
        near.send(&eth().from(pi).to(lan).ipv4().from(&here).to(&there).raw(tunnel, &[7; 32]).build())?;
        far.await_frame("the tunnel's packet", |frame| frame.get(23) == Some(&tunnel))?;
        come(&there)?;
        reach("the answer to pass", [done + 1, 2 * done + 1])?;
        come(STRANGER)?;
        reach("a stranger's to be dropped", [done + 1, 2 * done + 2])?;
    }
    Ok(())
}

/// Near misses of a reply: the right port of the right host, from another port.
fn only_who_was_asked_can_answer(mode: Mode) -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.pi.open_input()?;
    let server = lab.lan.serve_udp(53)?;
    for (pi, lan) in [(PI4, LAN4), (PI6, LAN6)] {
        let resolver = lab.pi.udp_socket(0, lan)?;
        let port = resolver.local_addr()?.port();
        let ask = |count| -> Result<()> {
            resolver.send_to(b"question", SocketAddr::new(lan, 53))?;
            server.await_reached(count)?;
            let (_, from) = resolver.recv_from(&mut [0; 64])?;
            ensure!(from == SocketAddr::new(lan, 53), "{from} answered");
            Ok(())
        };
        let asked = server.reached();
        ask(asked + 1)?;
        // Without the filter the forged answer arrives.
        lab.lan.send_udp_from(54, SocketAddr::new(pi, port), b"forged")?;
        assert_eq!(resolver.recv_from(&mut [0; 64])?.1, SocketAddr::new(lan, 54));

        lab.attach(mode, "22")?;
        ask(asked + 2)?;
        let before = lab.stats("eth0")?.dropped_at("udp", port);
        lab.lan.send_udp_from(54, SocketAddr::new(pi, port), b"forged")?;
        lab.await_stats("the forged answer's drop", |stats| stats.dropped_at("udp", port) == before + 1)?;
        // The next packet is the reply to the next request, so nothing came before it.
        ask(asked + 3)?;
        lab.fw(&["detach", "eth0"])?;
    }
    Ok(())
}

fn ping_works_in_both_directions(mode: Mode) -> Result<()> {
    before_and_after(mode, |lab| {
        for (pi, lan) in [(PI4, LAN4), (PI6, LAN6)] {
            lab.lan.ping(pi)?;
            lab.pi.ping(lan)?;
            lab.container(0).ping(lan)?;
        }
        Ok(())
    })
}

fn path_mtu_discovery_reaches_the_sender(mode: Mode) -> Result<()> {
    const MTU: u16 = 1300;
    let lab = Lab::new()?;
    let far = lab.add_far_host(MTU)?;
    let _server = far.serve_tcp(5000)?;
    let discover = |lab: &Lab| -> Result<()> {
        for from in [&lab.pi, lab.container(0)] {
            for address in [FAR4, FAR6] {
                from.run("ip route flush cache")?;
                from.run("ip -6 route flush cache")?;
                assert!(!learned(from, address, MTU)?, "the MTU must not be known before it is discovered");
                transfer(from, SocketAddr::new(address, 5000))?;
                assert!(learned(from, address, MTU)?, "the MTU of the path to {address} must be known");
            }
        }
        Ok(())
    };
    discover(&lab).context("without the filter")?;
    lab.attach(mode, "22,80,443")?;
    discover(&lab).context("with the filter")
}

/// Whether the routing cache knows the path's MTU.
fn learned(place: &Namespace, address: IpAddr, mtu: u16) -> Result<bool> {
    Ok(place.run(&format!("ip route get {address}"))?.contains(&format!("mtu {mtu}")))
}

/// Send far more than fits into one packet, and take it back.
fn transfer(from: &Namespace, to: SocketAddr) -> Result<()> {
    const AMOUNT: usize = 256 << 10;
    let mut stream = from.connect_tcp(to)?;
    let mut writer = stream.try_clone()?;
    thread::scope(|scope| {
        let sent = scope.spawn(move || writer.write_all(&vec![b'x'; AMOUNT]));
        let mut returned = vec![0; AMOUNT];
        stream.read_exact(&mut returned).with_context(|| format!("a transfer to {to} got stuck"))?;
        sent.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        Ok(())
    })
}

fn neighbours_are_found_again(mode: Mode) -> Result<()> {
    before_and_after(mode, |lab| {
        let server = lab.lan.serve_tcp(5000)?;
        let host = lab.pi.serve_tcp(22)?;
        for (pi, lan) in [(PI4, LAN4), (PI6, LAN6)] {
            for asker in [&lab.pi, &lab.lan] {
                lab.pi.run("ip neigh flush all")?;
                lab.lan.run("ip neigh flush all")?;
                let (server, to, port) =
                    if std::ptr::eq(asker, &raw const lab.pi) { (&server, lan, 5000) } else { (&host, pi, 22) };
                asker.reaches(server, Transport::Tcp, to, port)?;
                let known = asker.run(&format!("ip neigh show {to}"))?;
                assert!(known.contains("lladdr"), "{to} was reached without being found: {known}");
            }
        }
        Ok(())
    })
}

fn connections_from_before_the_filter_live_on(mode: Mode) -> Result<()> {
    let lab = Lab::new()?;
    let _server = lab.lan.serve_tcp(5000)?;
    let _resolver = lab.lan.serve_udp(53)?;
    let _ssh = lab.pi.serve_tcp(22)?;
    let mut open = Vec::new();
    for (pi, lan) in [(PI4, LAN4), (PI6, LAN6)] {
        open.push(("the host's own", lab.pi.connect_tcp(SocketAddr::new(lan, 5000))?));
        open.push(("the container's", lab.container(0).connect_tcp(SocketAddr::new(lan, 5000))?));
        open.push(("the one to the host", lab.lan.connect_tcp(SocketAddr::new(pi, 22))?));
    }
    for (whose, stream) in &mut open {
        echo(stream).with_context(|| format!("{whose} without the filter"))?;
    }
    lab.attach(mode, "22,80,443")?;
    for (whose, stream) in &mut open {
        echo(stream).with_context(|| format!("{whose} connection, {:?}, with the filter", stream.peer_addr()))?;
    }
    Ok(())
}

/// Answers much longer than one packet, and in fragments.
fn big_answers_come_through(mode: Mode) -> Result<()> {
    before_and_after(mode, |lab| {
        let _stream = lab.lan.serve_tcp(5000)?;
        let _datagrams = lab.lan.serve_udp(5001)?;
        for lan in [LAN4, LAN6] {
            for from in [&lab.pi, lab.container(0)] {
                transfer(from, SocketAddr::new(lan, 5000))?;
                let socket = from.udp_socket(0, lan)?;
                let question = [b'x'; 4000];
                socket.send_to(&question, SocketAddr::new(lan, 5001))?;
                let mut answer = [0; 5000];
                let length = socket.recv(&mut answer).context("a fragmented answer got lost")?;
                assert_eq!(answer[..length], question);
            }
        }
        Ok(())
    })
}
