//! `fw-user exposed`: who listens, and what of it the LAN gets, held against what the LAN really gets.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket},
    os::unix::fs::symlink,
    process,
};

use anyhow::{Context, Result, ensure};
use fw_tests::{
    lab::{
        LAN4, Lab, Mode, PI4, SECOND_PI4, Transport,
        background::Background,
        command,
        ssh::{EVERYWHERE, Sshd},
        wait,
    },
    tests,
};
use serde::Deserialize;

tests! {
    before_attach_everything_that_is_served_is_open;
    what_attach_closes_is_what_the_lan_loses;
    the_way_in_is_proposed_by_name;
    where_nobody_listens_a_command_is_proposed_too;
    two_interfaces_have_a_verdict_each;
    a_filter_that_only_monitors_leaves_ports_open;
    what_is_open_and_not_served_is_named;
    ports_that_the_kernel_chose_are_not_taken_for_services;
    a_bridge_of_containers_is_not_the_network;
    another_xdp_program_is_not_taken_for_ours;
    without_privileges_it_says_what_is_missing;
    a_name_moves_no_cursor_and_begins_no_line;
}

tests! { in native mode:
    knocks_are_counted;
}

/// The output of `exposed --json`, with exactly the documented fields.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Exposed {
    interfaces: Vec<Interface>,
    pub(super) ports: Vec<Served>,
    unused: Vec<Unused>,
    pub(super) docker: DockerState,
    pub(super) netfilter: NetfilterState,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NetfilterState {
    pub(super) state: String,
    pub(super) why: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Interface {
    name: String,
    class: String,
    class_reason: String,
    filters: Vec<Filter>,
}

#[derive(Debug, Deserialize)]
struct Filter {
    name: Option<String>,
    kind: String,
    monitor: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Served {
    proto: String,
    pub(super) port: u16,
    pub(super) state: String,
    reached_by: Vec<Reached>,
    pub(super) addresses: Vec<String>,
    device: Option<String>,
    pub(super) process: Option<Process>,
    pub(super) container: Option<Container>,
    client: bool,
    pub(super) netfilter: Option<String>,
    passed: Option<u64>,
    dropped: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reached {
    name: String,
    state: String,
    sources: Vec<String>,
    except: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Process {
    pub(super) name: String,
    pid: u32,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(super) struct Container {
    pub(super) name: String,
    pub(super) image: String,
    pub(super) port: u16,
    pub(super) forward: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Unused {
    name: String,
    allow: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DockerState {
    pub(super) state: String,
    pub(super) socket: Option<String>,
    pub(super) why: Option<String>,
}

impl Exposed {
    pub(super) fn of(lab: &Lab) -> Result<Self> {
        Ok(serde_json::from_str(&lab.fw(&["exposed", "--json"])?)?)
    }

    pub(super) fn at(&self, proto: &str, port: u16) -> Result<&Served> {
        let mut found = self.ports.iter().filter(|one| (one.proto.as_str(), one.port) == (proto, port));
        let one = found.next().with_context(|| format!("{port}/{proto} is missing in {self:#?}"))?;
        ensure!(found.next().is_none(), "{port}/{proto} stands twice in {self:#?}");
        Ok(one)
    }

    pub(super) fn state(&self, proto: &str, port: u16) -> Result<&str> {
        self.at(proto, port).map(|port| port.state.as_str())
    }
}

pub(super) fn text(lab: &Lab, args: &[&str]) -> Result<String> {
    lab.fw(&[&["exposed"], args].concat())
}

/// The words of the row of a port, each blank a single one.
pub(super) fn row(text: &str, port: &str) -> Result<String> {
    let row = text.lines().find(|line| line.split_whitespace().next() == Some(port));
    let row = row.with_context(|| format!("no row for {port} in:\n{text}"))?;
    Ok(row.split_whitespace().collect::<Vec<_>>().join(" "))
}

fn before_attach_everything_that_is_served_is_open() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.pi.run("nft flush ruleset")?;
    let tcp = lab.pi.serve_tcp(9123)?;
    let udp = lab.pi.serve_udp(9123)?;
    let local4 = lab.pi.enter(|| TcpListener::bind((Ipv4Addr::LOCALHOST, 631)))?;
    let local6 = lab.pi.enter(|| TcpListener::bind((Ipv6Addr::LOCALHOST, 631)))?;
    let exposed = Exposed::of(&lab)?;
    assert_eq!(exposed.interfaces.len(), 1);
    let Interface { name, class, class_reason, .. } = &exposed.interfaces[0];
    assert_eq!(
        (name.as_str(), class.as_str(), class_reason.as_str()),
        ("eth0", "outside", "the default route leaves by it")
    );
    assert_eq!(
        (exposed.interfaces[0].filters[0].kind.as_str(), &exposed.interfaces[0].filters[0].name),
        ("none", &None)
    );
    for (server, transport) in [(&tcp, Transport::Tcp), (&udp, Transport::Udp)] {
        let port = exposed.at(&transport.to_string(), 9123)?;
        assert_eq!((port.state.as_str(), port.passed, port.dropped), ("open", None, None));
        assert_eq!(port.addresses, ["::"]);
        let process = port.process.as_ref().context("a process serves it")?;
        // The kernel keeps 15 bytes of the name.
        ensure!(process.pid == process::id() && process.name.starts_with("suite-"), "{process:?}");
        lab.lan.reaches(server, transport, PI4, 9123).context("it says open")?;
    }
    let local = exposed.at("tcp", 631)?;
    assert_eq!((local.state.as_str(), local.reached_by.len()), ("local only", 0));
    assert_eq!(local.addresses, ["127.0.0.1", "::1"]);
    assert_eq!(exposed.docker.state, "absent");
    drop((local4, local6));

    let said = text(&lab, &[])?;
    ensure!(said.starts_with("eth0  no filter\n"), "{said}");
    ensure!(row(&said, "9123/tcp")?.starts_with("9123/tcp open suite-"), "{said}");
    ensure!(row(&said, "9123/tcp")?.ends_with(" any address"), "{said}");
    for word in ["fw-user attach eth0 --allow PORTS", "to choose from: 9123\n"] {
        ensure!(said.contains(word), "{word:?} is missing in:\n{said}");
    }
    lab.nothing_is_left_behind()
}

/// Every port that is said to be closed is closed, and every open one open.
fn what_attach_closes_is_what_the_lan_loses() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.pi.run("nft flush ruleset")?;
    let ports = [22, 80, 443, 9123];
    let servers: Vec<_> = ports.iter().map(|&port| lab.pi.serve_tcp(port)).collect::<Result<_>>()?;
    lab.fw(&["attach", "eth0", "--allow", "22,80@192.0.2.0/24,443@198.51.100.0/24", "--force"])?;
    let exposed = Exposed::of(&lab)?;
    let expected = [(22, "open"), (80, "open to some"), (443, "open to some"), (9123, "closed")];
    for ((port, state), server) in expected.into_iter().zip(&servers) {
        assert_eq!(exposed.state("tcp", port)?, state, "{port}");
        match port {
            // The LAN's host is in 192.0.2.0/24.
            22 | 80 => lab.lan.reaches(server, Transport::Tcp, PI4, port)?,
            _ => lab.is_closed(server, Transport::Tcp, PI4, port)?,
        }
    }
    assert_eq!(exposed.at("tcp", 80)?.reached_by[0].sources, ["192.0.2.0/24"]);
    let filter = &exposed.interfaces[0].filters[0];
    assert_eq!((filter.name.as_deref(), filter.kind.as_str(), filter.monitor), (Some("eth0"), "fw", false));
    let said = text(&lab, &[])?;
    ensure!(said.contains("  80/tcp    open to 192.0.2.0/24 "), "{said}");
    ensure!(row(&said, "9123/tcp")?.starts_with("9123/tcp closed "), "{said}");
    ensure!(!said.contains("fw is not on"), "{said}");
    // The most open first.
    let order: Vec<u16> = exposed.ports.iter().map(|port| port.port).collect();
    assert_eq!(order, ports);
    // Then the LAN's host is refused.
    lab.fw(&["deny", &format!("22@{LAN4}"), "--force"])?;
    let exposed = Exposed::of(&lab)?;
    assert_eq!(exposed.state("tcp", 22)?, "open to most");
    assert_eq!(exposed.at("tcp", 22)?.reached_by[0].except, [format!("{LAN4}/32")]);
    let said = text(&lab, &[])?;
    ensure!(said.contains(&format!("  22/tcp    open to everyone except {LAN4}/32 ")), "{said}");
    lab.is_closed(&servers[0], Transport::Tcp, PI4, 22)
}

/// The proposed command keeps the current session, and closes the rest.
fn the_way_in_is_proposed_by_name() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.pi.run("nft flush ruleset")?;
    let _sshd = Sshd::start(&lab.pi, &EVERYWHERE, 2222)?;
    let other = lab.pi.serve_tcp(9123)?;
    let said = text(&lab, &[])?;
    ensure!(row(&said, "2222/tcp")?.starts_with("2222/tcp open sshd ("), "{said}");
    let proposed = said.lines().find_map(|line| line.strip_prefix("to keep only SSH open: fw-user "));
    let proposed = proposed.with_context(|| format!("nothing is proposed in:\n{said}"))?;
    assert_eq!(proposed, "attach eth0 --allow 2222/tcp");
    lab.fw(&proposed.split(' ').collect::<Vec<_>>())?;
    assert!(!text(&lab, &[])?.contains("to keep only SSH open"));
    lab.is_closed(&other, Transport::Tcp, PI4, 9123)
}

/// A service that starts later would be reachable.
fn where_nobody_listens_a_command_is_proposed_too() -> Result<()> {
    const FOUND: &str = "to close every port except SSH: fw-user ";
    let lab = Lab::without_containers()?;
    lab.add_second_lan()?;
    lab.add_inside_bridge()?;
    let said = text(&lab, &[])?;
    ensure!(said.contains("\n  nobody listens\n\nfw is not on eth0 and eth1: nobody listens there now"), "{said}");
    let proposed = said.lines().find_map(|line| line.strip_prefix(FOUND));
    let proposed = proposed.with_context(|| format!("nothing is proposed in:\n{said}"))?;
    lab.fw(&proposed.split(' ').collect::<Vec<_>>())?;
    for later in [&[][..], &["br0"]] {
        let said = text(&lab, later)?;
        ensure!(!said.contains("fw is not on"), "{later:?}: {said}");
    }
    Ok(())
}

fn two_interfaces_have_a_verdict_each() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.add_second_lan()?;
    let _everywhere = lab.pi.serve_tcp(9123)?;
    let _one_address = lab.pi.enter(|| TcpListener::bind((SECOND_PI4, 9124)))?;
    let bound = lab.pi.enter(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 67)))?;
    socket2::SockRef::from(&bound).bind_device(Some(b"eth1"))?;
    lab.attach(Mode::Native, "22")?;
    let exposed = Exposed::of(&lab)?;
    let reached = |proto, port| -> Result<Vec<(String, String)>> {
        let reached = exposed.at(proto, port)?.reached_by.iter();
        Ok(reached.map(|by| (by.name.clone(), by.state.clone())).collect())
    };
    let by = |name: &str, state: &str| (name.to_owned(), state.to_owned());
    assert_eq!(reached("tcp", 9123)?, [by("eth0", "closed"), by("eth1", "open")]);
    assert_eq!(reached("tcp", 9124)?, [by("eth1", "open")]);
    assert_eq!(reached("udp", 67)?, [by("eth1", "open")]);
    assert_eq!(exposed.at("udp", 67)?.device.as_deref(), Some("eth1"));
    let said = text(&lab, &[])?;
    ensure!(said.contains("eth1  no filter\n") && said.contains("fw-user attach eth1 --allow PORTS"), "{said}");
    ensure!(row(&said, "9123/tcp")?.starts_with("9123/tcp open on eth1 "), "{said}");
    ensure!(said.contains("\n            closed on eth0\n"), "{said}");
    // With one of them named, the other one is somewhere else.
    let said = text(&lab, &["eth0"])?;
    ensure!(row(&said, "9123/tcp")?.starts_with("9123/tcp closed "), "{said}");
    ensure!(row(&said, "9124/tcp")?.starts_with("9124/tcp eth1 only "), "{said}");
    // With both attached alike they agree again.
    lab.fw(&["attach", "eth1", "--allow", "22"])?;
    ensure!(row(&text(&lab, &[])?, "9123/tcp")?.starts_with("9123/tcp closed "));
    lab.refuses(&["exposed", "eth7"], 1, &["`eth7`", "eth0", "eth1"])
}

fn a_filter_that_only_monitors_leaves_ports_open() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.pi.run("nft flush ruleset")?;
    let server = lab.pi.serve_tcp(9123)?;
    lab.fw(&["attach", "eth0", "--allow", "22", "--monitor"])?;
    let exposed = Exposed::of(&lab)?;
    assert_eq!(exposed.state("tcp", 9123)?, "monitored");
    assert!(exposed.interfaces[0].filters[0].monitor);
    lab.lan.reaches(&server, Transport::Tcp, PI4, 9123)?;
    let said = text(&lab, &[])?;
    for word in ["MONITOR ONLY", "open (monitor)", "`fw-user enforce` closes"] {
        ensure!(said.contains(word), "{word:?} is missing in:\n{said}");
    }
    lab.fw(&["enforce"])?;
    assert_eq!(Exposed::of(&lab)?.state("tcp", 9123)?, "closed");
    lab.is_closed(&server, Transport::Tcp, PI4, 9123)
}

fn what_is_open_and_not_served_is_named() -> Result<()> {
    let lab = Lab::without_containers()?;
    let _ssh = lab.pi.serve_tcp(22)?;
    let _local = lab.pi.enter(|| TcpListener::bind((Ipv4Addr::LOCALHOST, 631)))?;
    lab.attach(Mode::Native, "22/tcp,443,631/tcp,6000-6010/udp")?;
    let exposed = Exposed::of(&lab)?;
    assert_eq!(exposed.unused.len(), 1);
    assert_eq!(exposed.unused[0].name, "eth0");
    assert_eq!(exposed.unused[0].allow, ["443/tcp", "631/tcp", "443/udp", "6000-6010/udp"]);
    let said = text(&lab, &[])?;
    ensure!(said.contains("open on eth0, and nobody listens: 443, 631/tcp, 6000-6010/udp\n"), "{said}");
    lab.fw(&["deny", "443", "631/tcp", "6000-6010/udp"])?;
    assert!(Exposed::of(&lab)?.unused.is_empty());
    assert!(!text(&lab, &[])?.contains("nobody listens"));
    Ok(())
}

fn ports_that_the_kernel_chose_are_not_taken_for_services() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.pi.sysctl("net/ipv4/ip_local_port_range", "40000 40001")?;
    let client = lab.pi.enter(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)))?;
    let connected = lab.pi.enter(|| {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 50_000))?;
        socket.connect((PI4, 9)).map(|()| socket)
    })?;
    let _service = lab.pi.enter(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 5353)))?;
    let port = client.local_addr()?.port();
    let exposed = Exposed::of(&lab)?;
    assert!(exposed.at("udp", port)?.client);
    assert!(!exposed.at("udp", 5353)?.client);
    ensure!(exposed.at("udp", connected.local_addr()?.port()).is_err(), "it hears its peer alone: {exposed:#?}");
    let said = text(&lab, &[])?;
    ensure!(said.contains(&format!("clients, at ports chosen by the kernel: {port}/udp (suite-")), "{said}");
    ensure!(row(&said, &format!("{port}/udp")).is_err() && row(&said, "5353/udp").is_ok(), "{said}");
    // A port that somebody opened on purpose is a service.
    lab.attach(Mode::Native, &format!("22,{port}/udp"))?;
    assert!(!Exposed::of(&lab)?.at("udp", port)?.client);
    row(&text(&lab, &[])?, &format!("{port}/udp")).map(drop)
}

fn a_bridge_of_containers_is_not_the_network() -> Result<()> {
    let lab = Lab::new()?;
    let bridge: IpAddr = Ipv4Addr::new(172, 17, 0, 1).into();
    let _dns = lab.pi.enter(|| UdpSocket::bind((bridge, 53)))?;
    let exposed = Exposed::of(&lab)?;
    let names: Vec<&str> = exposed.interfaces.iter().map(|interface| interface.name.as_str()).collect();
    assert_eq!(names, ["eth0"]);
    let dns = exposed.at("udp", 53)?;
    assert_eq!((dns.state.as_str(), dns.device.as_deref()), ("elsewhere", Some("docker0")));
    let said = text(&lab, &[])?;
    ensure!(row(&said, "53/udp")?.starts_with("53/udp docker0 only "), "{said}");
    // A named bridge is listed.
    assert!(row(&text(&lab, &["docker0"])?, "53/udp")?.starts_with("53/udp open "));
    Ok(())
}

fn another_xdp_program_is_not_taken_for_ours() -> Result<()> {
    let lab = Lab::without_containers()?;
    let _server = lab.pi.serve_tcp(9123)?;
    lab.attach(Mode::Native, "22")?;
    // Seen with other pins, our filter is a stranger.
    let mut command = lab.pi.command(fw_tests::lab::fw::binary());
    command.args(["exposed", "--bpffs"]).arg(lab.fw.bpffs().join("elsewhere")).env("DOCKER_HOST", "unix:///nowhere");
    let said = command::run(&mut command)?;
    ensure!(row(&said, "9123/tcp")?.starts_with("9123/tcp unknown "), "{said}");
    ensure!(said.starts_with("eth0  another XDP program, "), "{said}");
    Ok(())
}

fn without_privileges_it_says_what_is_missing() -> Result<()> {
    let lab = Lab::without_containers()?;
    let mut command = lab.pi.command("setpriv");
    command.args(["--bounding-set=-net_admin", "--"]).arg(fw_tests::lab::fw::binary());
    lab.fw.finish(&mut command, ["exposed"]);
    let refusal = fw_tests::lab::Refusal::of(&command.output()?)?;
    assert_eq!(refusal.code, 4);
    ensure!(refusal.message.contains("CAP_NET_ADMIN") && refusal.message.contains("sudo"), "{}", refusal.message);
    Ok(())
}

/// A process is called after the file that it was started from, whatever that is called.
fn a_name_moves_no_cursor_and_begins_no_line() -> Result<()> {
    let lab = Lab::without_containers()?;
    let folder = tempfile::tempdir()?;
    let evil = folder.path().join("\u{1b}[2J\n  22\u{202e}d");
    symlink(fw_tests::lab::fw::binary(), &evil)?;
    let mut command = lab.pi.command(&evil);
    lab.fw.finish(&mut command, ["metrics", "--listen", "0.0.0.0:9123"]);
    let mut server = Background::start(&mut command)?;
    server.await_said("metrics are at")?;
    lab.attach(Mode::Native, "22")?;
    lab.lan.send_udp_from(0, SocketAddr::new(PI4, 9123), b"knock")?;
    lab.await_stats("the knock", |stats| stats.dropped_at("udp", 9123) == 1)?;
    let name = "?[2J?  22?d";
    let listed = text(&lab, &[])?;
    ensure!(
        row(&listed, "9123/tcp")?
            .starts_with(&format!("9123/tcp closed nftables drops it 0 {} (", name.replace("  ", " "))),
        "{listed}"
    );
    assert_eq!(Exposed::of(&lab)?.at("tcp", 9123)?.process.as_ref().map(|process| process.name.as_str()), Some(name));
    let explained = lab.fw(&["explain", "9123/tcp"])?;
    ensure!(explained.contains(&format!("  listens  {name}\n")), "{explained}");
    for said in [listed, explained] {
        ensure!(!said.contains(['\u{1b}', '\u{202e}']), "{said:?}");
    }
    Ok(())
}

fn knocks_are_counted(mode: Mode) -> Result<()> {
    let lab = Lab::without_containers()?;
    let _open = lab.pi.serve_udp(80)?;
    let _closed = lab.pi.serve_udp(9123)?;
    lab.attach(mode, "22,80")?;
    for (port, count) in [(80, 2), (9123, 3)] {
        for _ in 0..count {
            lab.lan.send_udp_from(0, SocketAddr::new(PI4, port), b"knock")?;
        }
    }
    let counted = |exposed: &Exposed, port| -> Result<_> {
        let port = exposed.at("udp", port)?;
        Ok((port.passed, port.dropped))
    };
    wait::until("five packets to be counted", || {
        let exposed = Exposed::of(&lab)?;
        let is_so = counted(&exposed, 80)? == (Some(2), Some(0)) && counted(&exposed, 9123)? == (Some(0), Some(3));
        Ok(is_so.then_some(()))
    })?;
    let said = text(&lab, &[])?;
    ensure!(row(&said, "80/udp")?.starts_with("80/udp open nftables lets it in 2 "), "{said}");
    ensure!(row(&said, "9123/udp")?.starts_with("9123/udp closed nftables drops it 3 "), "{said}");
    Ok(())
}
