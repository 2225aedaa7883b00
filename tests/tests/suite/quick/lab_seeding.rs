//! Outbound connections from before `attach` live on, even idle ones whose peer speaks first. Inbound ones do not, unless their port is open.

use std::{
    io::{Read, Write},
    net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
};

use anyhow::{Context, Result, ensure};
use fw_tests::{
    lab::{
        LAN4, LAN6, Lab, Mode, Namespace, PI4, PI6,
        client::unspecified,
        netfilter::CLOSED_TARGET,
        stats::Changes,
        wait::{self, PATIENCE},
    },
    tests,
};

tests! { in native mode:
    idle_tcp_connections_live_on_when_the_remote_speaks_first;
    a_filter_that_did_not_let_replies_in_learns_what_is_open;
    only_the_very_connection_lives_on;
}

tests! { in generic mode:
    connected_udp_sockets_hear_the_remote_that_speaks_first;
    another_attach_keeps_what_was_open;
    what_came_in_at_a_closed_port_is_not_resurrected;
}

tests! {
    datagrams_of_which_nothing_is_known_are_listed_as_cut;
}

/// A TCP connection, seen from both ends.
struct Pair {
    whose: &'static str,
    /// The end on the Pi or in the container.
    inside: TcpStream,
    /// The end on the LAN.
    outside: TcpStream,
}

impl Pair {
    /// The remote says a word, and is answered.
    fn talk(&mut self) -> Result<()> {
        let Self { whose, inside, outside } = self;
        let peer = inside.peer_addr()?;
        let told = |what: &str| format!("{what} {whose} connection with {peer}");
        let mut word = [0; 4];
        outside.write_all(b"word")?;
        inside.read_exact(&mut word).with_context(|| told("the remote speaks first over"))?;
        ensure!(&word == b"word");
        inside.write_all(b"back")?;
        outside.read_exact(&mut word).with_context(|| told("an answer over"))?;
        ensure!(&word == b"back");
        Ok(())
    }
}

/// A server that leaves its connections to the test.
struct Listener(TcpListener);

impl Listener {
    fn on(place: &Namespace, port: u16) -> Result<Self> {
        let bind = || TcpListener::bind((Ipv6Addr::UNSPECIFIED, port));
        Ok(Self(place.enter(|| wait::bind(format!("TCP port {port}"), bind))?))
    }

    /// Open connections from the host and from a container, over both families, and do not use them.
    fn pairs(&self, lab: &Lab, [host, container]: [&'static str; 2]) -> Result<Vec<Pair>> {
        let port = self.0.local_addr()?.port();
        let both = |lan| [(host, &lab.pi, lan), (container, lab.container(0), lan)];
        let from = [LAN4, LAN6].into_iter().flat_map(both);
        from.map(|(whose, from, lan)| self.pair(whose, from, lan, port)).collect()
    }

    /// Open a connection from a namespace, and do not use it.
    fn pair(&self, whose: &'static str, from: &Namespace, to: IpAddr, port: u16) -> Result<Pair> {
        let opened = from.connect_tcp(SocketAddr::new(to, port))?;
        let (accepted, _) = self.0.accept()?;
        accepted.set_read_timeout(Some(PATIENCE))?;
        Ok(Pair { whose, inside: opened, outside: accepted })
    }
}

fn idle_tcp_connections_live_on_when_the_remote_speaks_first(mode: Mode) -> Result<()> {
    let lab = Lab::new()?;
    let server = Listener::on(&lab.lan, 5000)?;
    let mut open = server.pairs(&lab, ["the host's", "the container's"])?;
    lab.attach(mode, "22")?;
    open.iter_mut().try_for_each(Pair::talk)?;
    let stats = lab.stats("eth0")?;
    ensure!(stats.dropped.packets == 0, "something was dropped: {stats:?}");
    Ok(())
}

/// A datagram socket with a peer on the LAN, which knows where to answer.
fn connected(from: &Namespace, to: IpAddr, server: &UdpSocket) -> Result<(UdpSocket, SocketAddr)> {
    let socket = from.udp_socket(0, to)?;
    socket.connect(SocketAddr::new(to, server.local_addr()?.port()))?;
    socket.send(b"hello")?;
    let (_, from) = server.recv_from(&mut [0; 16])?;
    Ok((socket, from))
}

fn connected_udp_sockets_hear_the_remote_that_speaks_first(mode: Mode) -> Result<()> {
    let lab = Lab::new()?;
    // On a loaded machine netfilter would forget within its 30 s what was never answered.
    lab.pi.sysctl("net/netfilter/nf_conntrack_udp_timeout", "600")?;
    for lan in [LAN4, LAN6] {
        let server = lab.lan.udp_socket(5001, lan)?;
        let host = connected(&lab.pi, lan, &server)?;
        let container = connected(lab.container(0), lan, &server)?;
        lab.attach(mode, "22")?;
        for (whose, (socket, seen)) in [("host", &host), ("container", &container)] {
            server.send_to(b"word", seen)?;
            let mut word = [0; 16];
            let told = || format!("a word for the {whose} from {lan}: {:?}", lab.stats("eth0"));
            let length = socket.recv(&mut word).with_context(told)?;
            ensure!(&word[..length] == b"word");
        }
        lab.fw(&["detach", "eth0"])?;
    }
    Ok(())
}

/// Where nothing was noted of what left, what is open is noted when that begins.
fn a_filter_that_did_not_let_replies_in_learns_what_is_open(mode: Mode) -> Result<()> {
    let lab = Lab::new()?;
    let server = Listener::on(&lab.lan, 5000)?;
    let mut open = server.pairs(&lab, ["the host's", "the container's"])?;
    lab.fw(&["attach", "eth0", "--mode", &mode.to_string(), "--allow", "22", "--no-replies"])?;
    let before = lab.stats("eth0")?.dropped.packets;
    open[0].outside.write_all(b"lost")?;
    lab.await_stats("the word to be dropped", |stats| stats.dropped.packets > before)?;
    lab.attach(mode, "22")?;
    // TCP says it again.
    let mut word = [0; 4];
    open[0].inside.read_exact(&mut word)?;
    ensure!(&word == b"lost");
    open.iter_mut().try_for_each(Pair::talk)
}

fn another_attach_keeps_what_was_open(mode: Mode) -> Result<()> {
    let lab = Lab::new()?;
    let server = Listener::on(&lab.lan, 5000)?;
    let mut open = server.pairs(&lab, ["the host's", "the container's"])?;
    lab.attach(mode, "22")?;
    open.extend(server.pairs(&lab, ["the host's later", "the container's later"])?);
    lab.attach(mode, "22,443")?;
    open.iter_mut().try_for_each(Pair::talk)
}

/// Near misses: the right remote at another port of ours, another port of the remote, another remote, another protocol.
fn only_the_very_connection_lives_on(mode: Mode) -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.pi.open_input()?;
    lab.lan.run("ip address add 192.0.2.99/24 dev eth0")?;
    lab.lan.run("ip address add 2001:db8:1::99/64 dev eth0 nodad")?;
    let others = ["192.0.2.99".parse::<IpAddr>()?, "2001:db8:1::99".parse()?];
    for ((pi, lan), other) in [(PI4, LAN4), (PI6, LAN6)].into_iter().zip(others) {
        let from = |address: IpAddr, port: u16| -> Result<UdpSocket> {
            lab.lan.enter(|| wait::bind(format!("UDP port {port}"), || UdpSocket::bind((address, port))))
        };
        let server = from(lan, 5001)?;
        let (socket, seen) = connected(&lab.pi, lan, &server)?;
        // It would hear anybody now; what the filter was told stays.
        let bystander = lab.pi.udp_socket(0, lan)?;
        let bystander_port = bystander.local_addr()?.port();
        lab.attach(mode, "22")?;
        let misses = [
            ("another port of the remote", from(lan, 5002)?, seen.port()),
            ("another remote", from(other, 5001)?, seen.port()),
            ("another port of the host", from(unspecified(lan), 0)?, bystander_port),
        ];
        for (what, sender, port) in misses {
            let before = lab.stats("eth0")?.dropped_at("udp", port);
            sender.send_to(b"forged", SocketAddr::new(pi, port))?;
            lab.await_stats(format!("{what} to be dropped"), |stats| stats.dropped_at("udp", port) == before + 1)?;
        }
        let before = lab.stats("eth0")?.dropped_at("tcp", seen.port());
        let _knocking = lab.lan.try_tcp(SocketAddr::new(pi, seen.port()))?;
        lab.await_stats("another protocol to be dropped", |stats| stats.dropped_at("tcp", seen.port()) > before)?;
        // The very one is heard, and nothing before it.
        server.send_to(b"word", seen)?;
        let mut word = [0; 16];
        let length = socket.recv(&mut word)?;
        ensure!(&word[..length] == b"word");
        lab.fw(&["detach", "eth0"])?;
    }
    Ok(())
}

/// The peer of a socket without one is unknown, unless connection tracking knows it.
fn datagrams_of_which_nothing_is_known_are_listed_as_cut() -> Result<()> {
    let lab = Lab::new()?;
    lab.pi.open_input()?;
    let server = lab.lan.udp_socket(5001, LAN4)?;
    let silent = lab.pi.udp_socket(5353, LAN4)?;
    let resolver = lab.pi.udp_socket(5300, LAN4)?;
    let game = lab.pi.udp_socket(5400, LAN4)?;
    let _container = lab.container(0).serve_udp(CLOSED_TARGET)?;
    // On a loaded machine netfilter would forget within its 30 s what was never answered.
    lab.pi.sysctl("net/netfilter/nf_conntrack_udp_timeout", "600")?;
    resolver.send_to(b"ask", SocketAddr::new(LAN4, 5001))?;
    server.recv_from(&mut [0; 16])?;
    server.send_to(b"play", SocketAddr::new(PI4, 5400))?;
    game.recv_from(&mut [0; 16])?;
    lab.lan.echo_udp(SocketAddr::new(PI4, 9125))?;
    let Changes { interfaces, .. } = serde_json::from_str(&lab.fw(&["attach", "eth0", "--allow", "22", "--json"])?)?;
    let cut: Vec<_> = interfaces[0].cut.iter().map(|cut| (&*cut.proto, cut.port, cut.peer.as_deref())).collect();
    assert_eq!(cut, [("udp", 5353, None), ("udp", 5400, None), ("udp", 9125, None)]);
    // The one that is not listed is heard, also when the remote speaks first.
    server.send_to(b"word", SocketAddr::new(PI4, 5300))?;
    let mut word = [0; 16];
    let length = resolver.recv(&mut word)?;
    ensure!(&word[..length] == b"word");
    for (socket, port) in [(silent, 5353), (game, 5400)] {
        let before = lab.stats("eth0")?.dropped_at("udp", port);
        server.send_to(b"word", SocketAddr::new(PI4, port))?;
        lab.await_stats(format!("{port} to be closed"), |stats| stats.dropped_at("udp", port) == before + 1)?;
        socket.set_nonblocking(true)?;
        ensure!(socket.recv(&mut word).is_err(), "{port} was counted as dropped, and yet it arrived");
    }
    Ok(())
}

fn what_came_in_at_a_closed_port_is_not_resurrected(mode: Mode) -> Result<()> {
    let lab = Lab::new()?;
    lab.pi.open_input()?;
    let host = Listener::on(&lab.pi, 9123)?;
    let container = Listener::on(lab.container(0), CLOSED_TARGET)?;
    for pi in [PI4, PI6] {
        for (server, port) in [(&host, 9123), (&container, 9125)] {
            let Pair { inside: mut opener, outside: accepted, .. } = server.pair("inbound", &lab.lan, pi, port)?;
            // This process has the host's end, which makes it the session that `fw-user` is started in.
            lab.fw(&["attach", "eth0", "--force", "--allow", "22", "--mode", &mode.to_string()])?;
            let before = lab.stats("eth0")?.dropped_at("tcp", port);
            opener.write_all(b"word")?;
            lab.await_stats(format!("{port} to be closed"), |stats| stats.dropped_at("tcp", port) > before)?;
            accepted.set_nonblocking(true)?;
            let mut accepted = accepted;
            let nothing = accepted.read(&mut [0; 4]);
            ensure!(nothing.is_err(), "{port} is counted as dropped, and yet it arrived: {nothing:?}");
            lab.fw(&["detach", "eth0"])?;
        }
    }
    Ok(())
}
