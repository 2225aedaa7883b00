//! Rules with networks, changes at once, replacement without a gap, and direct routing.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use fw_tests::{
    lab::{
        LAN4, LAN6, Lab, Mode, PI4, PI6, Server, Transport, client::receives, container4, container6,
        netfilter::CLOSED_TARGET,
    },
    tests,
};

tests! { in tc mode:
    attaching_again_replaces_the_policy_without_a_gap;
}

tests! {
    a_change_waits_for_packets_in_flight_and_the_first_policy_for_none;
}

tests! { in every mode:
    containers_are_not_reached_by_direct_routing;
}

tests! { in native mode:
    attaching_again_replaces_the_policy_without_a_gap;
    rules_with_networks_let_their_sources_in_alone;
}

tests! { in generic mode:
    allow_and_deny_work_at_once;
    forward_pass_lets_a_router_route;
    what_is_routed_on_to_a_named_network_passes_and_nothing_else;
}

/// Until the programs are attached nobody is judged by the maps.
fn a_change_waits_for_packets_in_flight_and_the_first_policy_for_none() -> Result<()> {
    let lab = Lab::without_containers()?;
    let waits = |args: &[&str]| -> Result<usize> {
        Ok(lab.steps(args)?.iter().filter(|step| step.kind().0 == "membarrier").count())
    };
    ensure!(waits(&["attach", "eth0", "--allow", "22"])? == 0, "attaching waits");
    ensure!(waits(&["allow", "80"])? == 1, "a change does not wait");
    Ok(())
}

fn rules_with_networks_let_their_sources_in_alone(mode: Mode) -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.pi.open_input()?;
    let server = lab.pi.serve_tcp(8000)?;
    for address in [PI4, PI6] {
        lab.lan.reaches(&server, Transport::Tcp, address, 8000).context("without the filter")?;
    }
    // Rule, and whether it lets the LAN host in over IPv4 and over IPv6.
    let rules = [
        ("8000@192.0.2.0/24", true, false),
        ("8000@192.0.2.10/32", true, false),
        ("8000@192.0.2.11/32", false, false),
        ("8000@198.51.100.0/24", false, false),
        ("8000@[2001:db8:1::]/64", false, true),
        ("8000@[2001:db8:1::]/127", false, false),
        ("8000@192.0.2.0/28,8000@[2001:db8::]/32", true, true),
        ("8000/udp@192.0.2.0/24", false, false),
        ("all@192.0.2.10", true, false),
        ("all@192.0.2.11", false, false),
        ("all@[2001:db8:1::]/64", false, true),
    ];
    for (rule, lets_in4, lets_in6) in rules {
        lab.attach(mode, &format!("22,{rule}"))?;
        for (address, lets_in) in [(PI4, lets_in4), (PI6, lets_in6)] {
            if lets_in {
                lab.lan.reaches(&server, Transport::Tcp, address, 8000).with_context(|| format!("rule {rule}"))?;
            } else {
                lab.is_closed(&server, Transport::Tcp, address, 8000).with_context(|| format!("rule {rule}"))?;
            }
        }
    }
    Ok(())
}

fn allow_and_deny_work_at_once(mode: Mode) -> Result<()> {
    let lab = Lab::new()?;
    let server = lab.container(0).serve_udp(CLOSED_TARGET)?;
    lab.attach(mode, "22,80,443")?;
    let programs = lab.pi.run("ip -details link show eth0")?;
    for address in [PI4, PI6] {
        lab.is_closed(&server, Transport::Udp, address, 9125)?;
        lab.fw(&["allow", "9125/udp"])?;
        lab.lan.reaches(&server, Transport::Udp, address, 9125)?;
        lab.fw(&["deny", "9125/udp"])?;
        lab.is_closed(&server, Transport::Udp, address, 9125)?;
    }
    assert_eq!(
        lab.pi.run("ip -details link show eth0")?,
        programs,
        "the program stays the same, nothing is attached anew"
    );
    Ok(())
}

/// Traffic on an open port that must not lose a packet, and on a closed one that must not get one through.
fn attaching_again_replaces_the_policy_without_a_gap(mode: Mode) -> Result<()> {
    const REPLACEMENTS: usize = 5;
    let lab = Lab::new()?;
    let open = lab.container(0).serve_udp(8080)?;
    let closed = lab.container(0).serve_udp(CLOSED_TARGET)?;
    lab.lan.reaches(&closed, Transport::Udp, PI4, 9125).context("without the filter")?;
    lab.attach(mode, "22,80,443")?;
    let done = AtomicBool::new(false);
    let (answered, knocked) = thread::scope(|scope| {
        let traffic = scope.spawn(|| -> Result<(usize, usize)> {
            let client = lab.lan.udp_socket(0, LAN4)?;
            let scanner = lab.lan.udp_socket(0, LAN4)?;
            let mut count = 0;
            while !done.load(Ordering::Acquire) {
                scanner.send_to(b"knock", SocketAddr::new(PI4, 9125))?;
                client.send_to(b"question", SocketAddr::new(PI4, 80))?;
                // Every single question is answered; a second is long for a lab.
                ensure!(receives(&client, Duration::from_secs(5))?, "question {count} was lost");
                count += 1;
            }
            Ok((count, count))
        });
        let attached = (0..REPLACEMENTS).try_for_each(|round| {
            let before = open.reached();
            lab.attach(mode, if round % 2 == 0 { "22,80" } else { "80,443,6000-7000" })?;
            // Traffic goes on under the new policy before the next one comes.
            open.await_reached(before + 10)
        });
        done.store(true, Ordering::Release);
        let traffic = traffic.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        attached.and(traffic)
    })?;
    assert_eq!(open.reached(), answered);
    assert!(knocked > 10 * REPLACEMENTS);
    assert_eq!(closed.reached(), 1, "only what was sent without the filter arrived");
    let dropped = lab.stats("eth0")?.dropped_at("udp", 9125);
    assert_eq!(dropped, knocked as u64, "every knock was dropped by the filter, in one policy or the other");
    Ok(())
}

/// A container whose port 80 was never published, and a LAN host that knows the way.
fn neighbour_with_a_route(lab: &Lab) -> Result<Server> {
    lab.lan.run(&format!("ip route add 172.17.0.0/16 via {PI4}"))?;
    lab.lan.run(&format!("ip -6 route add fd00:17::/64 via {PI6}"))?;
    let server = lab.container(0).serve_tcp(443)?;
    for address in [container4(0), container6(0)] {
        lab.lan.reaches(&server, Transport::Tcp, address, 443).context("without the filter")?;
    }
    Ok(server)
}

fn containers_are_not_reached_by_direct_routing(mode: Mode) -> Result<()> {
    let lab = Lab::new()?;
    let server = neighbour_with_a_route(&lab)?;
    let host = lab.pi.serve_tcp(443)?;
    lab.attach(mode, "22,80,443")?;
    let mut forwarded = 0;
    for address in [container4(0), container6(0)] {
        assert_eq!(lab.stats("eth0")?.reason("forwarded").packets, forwarded);
        lab.is_closed(&server, Transport::Tcp, address, 443)?;
        forwarded = lab.stats("eth0")?.reason("forwarded").packets;
        assert!(forwarded > 0, "dropped for another reason");
    }
    for address in [PI4, PI6] {
        lab.lan.reaches(&host, Transport::Tcp, address, 443).context("the host's own port 443")?;
    }
    Ok(())
}

/// Any port of the machine that is named, none of this one's, and nothing of its neighbour.
fn what_is_routed_on_to_a_named_network_passes_and_nothing_else(mode: Mode) -> Result<()> {
    let mut lab = Lab::new()?;
    lab.add_container()?;
    let server = neighbour_with_a_route(&lab)?;
    let (closed_here, neighbour) = (lab.pi.serve_tcp(444)?, lab.container(1).serve_tcp(443)?);
    let datagrams = lab.container(0).serve_udp(5540)?;
    let named = format!("{},{}", container4(0), container6(0));
    lab.fw(&["attach", "eth0", "--mode", &mode.to_string(), "--allow", "22,443", "--forward", &named])?;
    for (own, other, host) in [(container4(0), container4(1), PI4), (container6(0), container6(1), PI6)] {
        lab.lan.reaches(&server, Transport::Tcp, own, 443)?;
        lab.lan.reaches(&datagrams, Transport::Udp, own, 5540)?;
        lab.is_closed(&neighbour, Transport::Tcp, other, 443)?;
        lab.is_closed(&closed_here, Transport::Tcp, host, 444)?;
    }
    let stats = lab.stats("eth0")?;
    assert!(stats.reason("routed").packets > 0 && stats.reason("forwarded").packets > 0, "{stats:?}");
    Ok(())
}

fn forward_pass_lets_a_router_route(mode: Mode) -> Result<()> {
    let lab = Lab::new()?;
    let server = neighbour_with_a_route(&lab)?;
    let attach = |forward| {
        lab.fw(&["attach", "eth0", "--mode", &mode.to_string(), "--allow", "22,80,443", "--forward", forward])
    };
    attach("drop")?;
    lab.is_closed(&server, Transport::Tcp, container4(0), 443)?;
    attach("pass")?;
    for address in [container4(0), container6(0)] {
        lab.lan.reaches(&server, Transport::Tcp, address, 443)?;
    }
    let closed = lab.container(0).serve_tcp(444)?;
    lab.is_closed(&closed, Transport::Tcp, container4(0), 444)?;
    assert_eq!(LAN6, server.senders().pop().context("nothing arrived")?.ip());
    Ok(())
}
