//! Round about: the container's own address, another address or interface of the host, loopback from outside, DHCP's ports.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result, ensure};
use fw_tests::{
    lab::{
        BRIDGE4, BRIDGE6, Lab, Mode, PI4, PI6, SECOND_PI4, SECOND_PI6, Server, Transport, container4, container6,
        netfilter::CLOSED_TARGET, wire::stay_in_order,
    },
    packet::eth,
    tests,
};

tests! { in native mode:
    an_interface_that_does_not_forward_by_its_own_account_leads_to_no_container;
    closed_ports_are_closed_on_every_attached_interface;
    dhcp_answers_pass_to_the_ports_of_clients_alone;
}

tests! { in generic mode:
    closed_ports_are_closed_at_every_address_of_the_host;
    loopback_is_not_reached_from_outside;
}

/// A first packet from the LAN arrives, which says nothing of an answer: over UDP that comes from whichever address the host prefers.
fn arrives(lab: &Lab, server: &Server, transport: Transport, address: IpAddr, port: u16) -> Result<()> {
    let before = server.reached();
    let to = SocketAddr::new(address, port);
    let _knocking = match transport {
        Transport::Tcp => Some(lab.lan.try_tcp(to)?),
        Transport::Udp => lab.lan.send_udp_from(0, to, b"knock").map(|()| None)?,
    };
    server.await_reached(before + 1).with_context(|| format!("{transport} to {to}"))
}

/// The LAN host knows the way to the containers.
fn add_routes(lab: &Lab) -> Result<()> {
    lab.lan.run(&format!("ip route add 172.17.0.0/16 via {PI4}"))?;
    lab.lan.run(&format!("ip -6 route add fd00:17::/64 via {PI6}"))?;
    Ok(())
}

/// Linux routes IPv6 on when `all` interfaces forward, whatever the interface itself says, which is off where it shall hear router
/// advertisements.
fn an_interface_that_does_not_forward_by_its_own_account_leads_to_no_container(mode: Mode) -> Result<()> {
    let lab = Lab::new()?;
    add_routes(&lab)?;
    lab.pi.sysctl("net/ipv6/conf/eth0/forwarding", "0")?;
    let server = lab.container(0).serve_tcp(443)?;
    let host = lab.pi.serve_tcp(443)?;
    lab.lan.reaches(&server, Transport::Tcp, container6(0), 443).context("without the filter")?;
    lab.attach(mode, "22,80,443")?;
    lab.is_closed(&server, Transport::Tcp, container6(0), 443)?;
    ensure!(lab.stats("eth0")?.reason("forwarded").packets > 0, "dropped for another reason");
    for address in [PI6, BRIDGE6] {
        lab.lan.reaches(&host, Transport::Tcp, address, 443).context("the host's own port")?;
    }
    Ok(())
}

fn closed_ports_are_closed_at_every_address_of_the_host(mode: Mode) -> Result<()> {
    let lab = Lab::new()?;
    lab.pi.open_input()?;
    add_routes(&lab)?;
    lab.add_second_lan()?;
    // A neighbour can send to the address of any interface by way of this one.
    lab.lan.run(&format!("ip route add {SECOND_PI4}/32 via {PI4}"))?;
    lab.lan.run(&format!("ip -6 route add {SECOND_PI6}/128 via {PI6}"))?;
    for transport in Transport::ALL {
        let host = lab.pi.serve(transport, 9123)?;
        let container = lab.container(0).serve(transport, CLOSED_TARGET)?;
        let targets: Vec<(&Server, IpAddr, u16)> = [PI4, PI6, BRIDGE4, BRIDGE6, SECOND_PI4, SECOND_PI6]
            .into_iter()
            .flat_map(|address| [(&host, address, 9123), (&container, address, 9125)])
            .chain([(&container, container4(0), CLOSED_TARGET), (&container, container6(0), CLOSED_TARGET)])
            .collect();
        for &(server, address, port) in &targets {
            arrives(&lab, server, transport, address, port).context("without the filter")?;
        }
        lab.attach(mode, "22,443")?;
        for &(server, address, port) in &targets {
            lab.is_closed(server, transport, address, port)?;
        }
        lab.fw(&["detach", "eth0"])?;
    }
    Ok(())
}

fn closed_ports_are_closed_on_every_attached_interface(mode: Mode) -> Result<()> {
    let lab = Lab::new()?;
    lab.pi.open_input()?;
    lab.add_second_lan()?;
    let mode = mode.to_string();
    for transport in Transport::ALL {
        let server = lab.container(0).serve(transport, CLOSED_TARGET)?;
        lab.fw(&["attach", "eth0", "--mode", &mode, "--allow", "22"])?;
        for address in [SECOND_PI4, SECOND_PI6] {
            arrives(&lab, &server, transport, address, 9125).context("where nothing is attached")?;
        }
        lab.fw(&["attach", "eth1", "--mode", &mode, "--allow", "22"])?;
        for address in [SECOND_PI4, SECOND_PI6] {
            lab.is_closed_on("eth1", &server, transport, address, 9125)?;
        }
        for address in [PI4, PI6] {
            lab.is_closed(&server, transport, address, 9125)?;
        }
        lab.fw(&["detach", "--all"])?;
    }
    Ok(())
}

/// Ports that are bound to 127.0.0.1, or published there: where `route_localnet` is on, as some proxies want it, the kernel takes them
/// from the wire.
fn loopback_is_not_reached_from_outside(mode: Mode) -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.pi.open_input()?;
    lab.pi.sysctl("net/ipv4/conf/eth0/route_localnet", "1")?;
    let server = lab.pi.serve_udp(443)?;
    let wire = lab.lan.wire("eth0")?;
    let to_loopback = |address: &str| {
        let link = eth().from(wire.mac()).to(lab.pi.mac("eth0")?);
        anyhow::Ok(link.ipv4().from("192.0.2.10").to(address).udp(40_000, 443).payload(b"knock").build())
    };
    for address in ["127.0.0.1", "127.1.2.3"] {
        let before = server.reached();
        wire.send(&to_loopback(address)?)?;
        server.await_reached(before + 1).with_context(|| format!("{address} without the filter"))?;
    }
    lab.attach(mode, "443")?;
    let before = server.reached();
    for address in ["127.0.0.1", "127.1.2.3"] {
        wire.send(&to_loopback(address)?)?;
    }
    lab.await_stats("two martians", |stats| stats.reason("martian").packets == 2)?;
    ensure!(server.reached() == before, "loopback was reached");
    Ok(())
}

/// A packet that looks like a DHCP server's answer passes, to this host and routed on: it cannot be distinguished from one. It reaches only port 68,
/// and in IPv6 nothing from beyond the link.
fn dhcp_answers_pass_to_the_ports_of_clients_alone(mode: Mode) -> Result<()> {
    stay_in_order()?;
    let lab = Lab::new()?;
    lab.pi.open_input()?;
    add_routes(&lab)?;
    let (host, container, host6) = (lab.pi.serve_udp(68)?, lab.container(0).serve_udp(68)?, lab.pi.serve_udp(546)?);
    let others = [67, 69, 9123].map(|port| Ok((port, lab.pi.serve_udp(port)?)));
    let others: Vec<(u16, Server)> = others.into_iter().collect::<Result<_>>()?;
    let send = |from: u16, to: IpAddr, port: u16| lab.lan.send_udp_from(from, SocketAddr::new(to, port), b"answer");
    let knock_at_others = || -> Result<()> {
        for (port, _) in &others {
            send(67, PI4, *port)?;
            send(547, PI6, *port)?;
        }
        send(66, PI4, 68)?;
        send(547, PI6, 546)?;
        send(547, PI4, 546)?;
        send(67, PI6, 68)
    };
    let reached = || others.iter().map(|(_, server)| server.reached()).sum::<usize>();
    knock_at_others()?;
    host.await_reached(2).context("without the filter")?;
    host6.await_reached(2).context("without the filter")?;
    others.iter().try_for_each(|(_, server)| server.await_reached(2)).context("without the filter")?;
    let before = (reached(), host6.reached());

    lab.attach(mode, "22")?;
    knock_at_others()?;
    send(67, PI4, 68)?;
    send(67, container4(0), 68)?;
    host.await_reached(3).context("an answer to the host")?;
    container.await_reached(1).context("an answer to a container")?;
    ensure!((reached(), host6.reached()) == before, "more than port 68 was reached");
    ensure!(host.reached() == 3, "port 68 was reached from another port than 67, or by IPv6");
    Ok(())
}
