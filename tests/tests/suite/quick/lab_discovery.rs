//! Questions to everybody: mDNS, SSDP and `NetBIOS` answers come home, DHCP goes on, and strangers' questions stay outside.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};
use fw_tests::{
    lab::{
        FAR4, FAR6, LAN_BROADCAST, LAN4, LAN6, Lab, Mode, Namespace, PI4, PI6, command, process::Process,
        skip::Missing, wait,
    },
    tests,
};
use nix::{net::if_::if_nametoindex, sys::signal::Signal};
use socket2::{InterfaceIndexOrAddress, SockRef};

tests! { in every mode:
    a_dhcp_lease_is_got_and_renewed;
}

tests! { in native mode:
    answers_to_multicast_and_broadcast_questions_come_home;
    mdns_questions_of_others_arrive_once_it_is_allowed;
}

tests! { in generic mode:
    neighbours_answer_a_multicast_question_from_any_port_and_nobody_else_does;
    mdns_answers_arrive_while_mdns_is_closed_and_nothing_else_does;
}

/// Groups and ports of protocols that ask everybody: mDNS, SSDP, `NetBIOS`.
const QUESTIONS: [(&str, IpAddr, u16); 4] = [
    ("mDNS", IpAddr::V4(Ipv4Addr::new(224, 0, 0, 251)), 5353),
    ("mDNS over IPv6", IpAddr::V6(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb)), 5353),
    ("SSDP", IpAddr::V4(Ipv4Addr::new(239, 255, 255, 250)), 1900),
    ("NetBIOS", LAN_BROADCAST, 137),
];

/// The Pi's and the LAN host's address in the family of a group.
fn pi_and_lan(group: IpAddr) -> (IpAddr, IpAddr) {
    if group.is_ipv4() { (PI4, LAN4) } else { (PI6, LAN6) }
}

/// A socket on a port that hears a group on the LAN.
fn member(place: &Namespace, group: IpAddr, port: u16) -> Result<UdpSocket> {
    let socket = place.udp_socket(port, group)?;
    let index = place.enter(|| if_nametoindex("eth0"))?;
    match group {
        IpAddr::V4(group) if group.is_multicast() => {
            SockRef::from(&socket).join_multicast_v4_n(&group, &InterfaceIndexOrAddress::Index(index))?;
        }
        IpAddr::V4(_) => {}
        IpAddr::V6(group) => socket.join_multicast_v6(&group, index)?,
    }
    Ok(socket)
}

/// Ask a group from any port of one's own.
fn ask(place: &Namespace, from: &UdpSocket, group: IpAddr, port: u16) -> Result<()> {
    send(place, from, group, port, b"who is there?")
}

/// Say something to a group on the LAN.
fn send(place: &Namespace, from: &UdpSocket, group: IpAddr, port: u16, what: &[u8]) -> Result<()> {
    let index = place.enter(|| if_nametoindex("eth0"))?;
    let socket = SockRef::from(from);
    socket.set_broadcast(true)?;
    let to = match group {
        IpAddr::V4(_) => {
            socket.bind_device(Some(b"eth0"))?;
            SocketAddr::new(group, port)
        }
        IpAddr::V6(group) => SocketAddrV6::new(group, port, 0, index).into(),
    };
    from.send_to(what, to).with_context(|| format!("cannot ask {to}"))?;
    Ok(())
}

/// A question of the Pi that the LAN host hears: who asked it.
fn hear(listener: &UdpSocket) -> Result<SocketAddr> {
    let (_, asker) = listener.recv_from(&mut [0; 64]).context("the question is not heard")?;
    Ok(asker)
}

fn answers_to_multicast_and_broadcast_questions_come_home(mode: Mode) -> Result<()> {
    let lab = Lab::without_containers()?;
    // The input chain knows no answers to what was asked of many.
    lab.pi.open_input()?;
    let exchange = |lab: &Lab| -> Result<()> {
        for (name, group, port) in QUESTIONS {
            let listener = member(&lab.lan, group, port)?;
            let asker = lab.pi.udp_socket(0, group)?;
            ask(&lab.pi, &asker, group, port)?;
            listener.send_to(b"it is me", hear(&listener)?)?;
            let (length, _) = asker.recv_from(&mut [0; 64]).with_context(|| format!("no answer over {name}"))?;
            assert_eq!(length, 8);
        }
        Ok(())
    };
    exchange(&lab).context("without the filter")?;
    lab.attach(mode, "22")?;
    exchange(&lab).context("with the filter")?;
    assert_eq!(lab.stats("eth0")?.reason("reply").packets, QUESTIONS.len() as u64);
    Ok(())
}

fn neighbours_answer_a_multicast_question_from_any_port_and_nobody_else_does(mode: Mode) -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.pi.open_input()?;
    // Where the kernel can say who is on the link.
    lab.pi.sysctl("net/ipv4/ip_forward", "1")?;
    lab.pi.sysctl("net/ipv6/conf/all/forwarding", "1")?;
    let far = lab.add_far_host(1500)?;
    for (name, group, port) in QUESTIONS {
        let (pi, lan) = pi_and_lan(group);
        let listener = member(&lab.lan, group, port)?;
        let asker = lab.pi.udp_socket(0, group)?;
        let asked_from = asker.local_addr()?.port();
        let neighbour = lab.lan.udp_socket(port + 1, lan)?;
        let stranger = far.udp_socket(port, if group.is_ipv4() { FAR4 } else { FAR6 })?;
        stranger.send_to(b"from behind a router", SocketAddr::new(pi, asked_from))?;
        assert_eq!(asker.recv_from(&mut [0; 64])?.1.port(), port, "{name} without the filter");

        lab.attach(mode, "22")?;
        ask(&lab.pi, &asker, group, port)?;
        // Over IPv6 the question comes from the link-local address, and so the answer goes there.
        let to = hear(&listener)?;
        stranger.send_to(b"from behind a router", SocketAddr::new(pi, asked_from))?;
        lab.await_stats("the stranger's drop", |stats| stats.dropped_at("udp", asked_from) == 1)?;
        neighbour.send_to(b"it is me", to)?;
        assert_eq!(asker.recv_from(&mut [0; 64])?.1.port(), port + 1, "{name}: the first that arrives is the answer");
        lab.fw(&["detach", "eth0"])?;
    }
    Ok(())
}

/// As avahi asks and answers: from mDNS's own port, for as long as it runs.
fn mdns_answers_arrive_while_mdns_is_closed_and_nothing_else_does(mode: Mode) -> Result<()> {
    const QUESTION: &[u8] = &[0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    const ANSWER: &[u8] = &[0, 0, 0x84, 0, 0, 0, 0, 1, 0, 0, 0, 0];
    let lab = Lab::without_containers()?;
    lab.pi.open_input()?;
    for (name, group, port) in &QUESTIONS[..2] {
        let (pi, _) = pi_and_lan(*group);
        let [ours, theirs] = [&lab.pi, &lab.lan].map(|place| member(place, *group, *port));
        let (ours, theirs) = (ours?, theirs?);
        // What one says is not for oneself.
        if group.is_ipv4() {
            ours.set_multicast_loop_v4(false)?;
        } else {
            ours.set_multicast_loop_v6(false)?;
        }
        let say = |place: &Namespace, socket: &UdpSocket, what: &[u8]| send(place, socket, *group, *port, what);
        let arrives = |what: &str| ours.recv_from(&mut [0; 64]).with_context(|| format!("{name}: {what}"));
        say(&lab.lan, &theirs, QUESTION)?;
        arrives("a question without the filter")?;

        lab.attach(mode, "22")?;
        let dropped = |count| {
            lab.await_stats("a drop at mDNS's port", move |stats| stats.dropped_at("udp", 5353) == count).map(drop)
        };
        say(&lab.lan, &theirs, ANSWER)?;
        dropped(1).context("an answer that nobody asked for")?;
        say(&lab.pi, &ours, QUESTION)?;
        hear(&theirs)?;
        say(&lab.lan, &theirs, ANSWER)?;
        arrives("an answer to the group")?;
        say(&lab.lan, &theirs, QUESTION)?;
        dropped(2).context("a question")?;
        // From a socket like any other, whose TTL is 64.
        theirs.send_to(ANSWER, SocketAddr::new(pi, *port))?;
        dropped(3).context("an answer that routers may have passed on")?;
        if group.is_ipv4() {
            SockRef::from(&theirs).set_ttl_v4(255)?;
        } else {
            SockRef::from(&theirs).set_unicast_hops_v6(255)?;
        }
        theirs.send_to(ANSWER, SocketAddr::new(pi, *port))?;
        arrives("an answer to the Pi")?;
        ours.set_nonblocking(true)?;
        assert!(ours.recv(&mut [0; 64]).is_err(), "{name}: something that was dropped arrived after all");
        lab.fw(&["detach", "eth0"])?;
    }
    Ok(())
}

fn mdns_questions_of_others_arrive_once_it_is_allowed(mode: Mode) -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.pi.open_input()?;
    for (_, group, port) in &QUESTIONS[..2] {
        let responder = member(&lab.pi, *group, *port)?;
        let asker = lab.lan.udp_socket(0, *group)?;
        ask(&lab.lan, &asker, *group, *port)?;
        hear(&responder).context("without the filter")?;

        lab.attach(mode, "22")?;
        ask(&lab.lan, &asker, *group, *port)?;
        lab.await_stats("the question's drop", |stats| stats.dropped_at("udp", *port) == 1)?;
        lab.fw(&["allow", "mdns"])?;
        ask(&lab.lan, &asker, *group, *port)?;
        hear(&responder).context("with mDNS allowed")?;
        responder.set_nonblocking(true)?;
        assert!(responder.recv(&mut [0; 64]).is_err(), "the question that was dropped arrived after all");
        lab.fw(&["detach", "eth0"])?;
    }
    Ok(())
}

/// A DHCP server and a client, busybox's both. The client reads raw frames at first, and a socket's when it renews.
fn a_dhcp_lease_is_got_and_renewed(mode: Mode) -> Result<()> {
    let applets = command::run(Command::new("busybox").arg("--list")).unwrap_or_default();
    if !["udhcpc", "udhcpd"].iter().all(|applet| applets.lines().any(|line| line == *applet)) {
        bail!(Missing("no DHCP server and client: apt install busybox-static".to_owned()));
    }
    let lab = Lab::without_containers()?;
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name);
    let [log, script, leases, pid, config] = ["log", "script", "leases", "pid", "config"].map(path);
    fs::write(
        &config,
        format!(
            "interface eth0\nstart 192.0.2.100\nend 192.0.2.110\nmax_leases 11\nlease_file {}\npidfile {}\n\
             option subnet 255.255.255.0\noption lease 600\n",
            leases.display(),
            pid.display()
        ),
    )?;
    fs::write(&leases, "")?;
    fs::write(
        &script,
        format!(
            "#!/bin/sh\nif [ \"$1\" = bound ]; then ip address replace \"$ip/24\" dev eth0; fi\necho \"$1\" >> {}\n",
            log.display()
        ),
    )?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    let quiet = |command: &mut Command| Process::start(command.stdout(Stdio::null()).stderr(Stdio::null()));
    let _server = quiet(lab.lan.command("busybox").arg("udhcpd").arg("-f").arg(&config))?;

    // With -B the client asks for answers by broadcast.
    for flags in [&["-f"][..], &["-f", "-B"]] {
        for filtered in [false, true] {
            if filtered {
                lab.attach(mode, "22")?;
            }
            fs::write(&log, "")?;
            let mut command = lab.pi.command("busybox");
            command.args(["udhcpc", "-i", "eth0", "-s"]).arg(&script).args(flags);
            let client = quiet(&mut command)?;
            await_event(&log, "bound").with_context(|| format!("{flags:?}, filtered: {filtered}"))?;
            if filtered {
                let essential = lab.stats("eth0")?.reason("essential").packets;
                assert!(essential >= 2, "offer and acknowledgement answer nothing that left from this address");
            }
            client.signal(Signal::SIGUSR1)?;
            await_event(&log, "renew").with_context(|| format!("{flags:?}, filtered: {filtered}"))?;
            drop(client);
            if filtered {
                lab.fw(&["detach", "eth0"])?;
            }
        }
    }
    Ok(())
}

fn await_event(log: &Path, event: &str) -> Result<()> {
    wait::until(format!("the DHCP event {event}"), || {
        Ok(fs::read_to_string(log)?.lines().any(|line| line == event).then_some(()))
    })
}
