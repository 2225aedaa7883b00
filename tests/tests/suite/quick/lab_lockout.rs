//! Nobody cuts the session that they type in, nor `sshd`, without saying so.

use std::{
    fs,
    io::Write,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    os::unix::fs::symlink,
    process::Output,
};

use anyhow::{Context, Result, ensure};
use fw_tests::{
    lab::{
        LAN4, LAN6, Lab, PI4, PI6, SECOND_LAN4, SECOND_PI4,
        netfilter::CLOSED_TARGET,
        process::Process,
        ssh::{EVERYWHERE, Session, Sshd},
        stats::{Changes, Cut},
        wait,
    },
    tests,
};
use tempfile::TempDir;

tests! {
    an_attach_that_cuts_its_own_session_is_refused_and_the_advice_is_good;
    neither_an_empty_environment_nor_another_session_hides_the_own_one;
    over_ipv6_it_is_the_same;
    a_link_local_session_is_known_by_its_zone;
    force_goes_on_and_the_session_is_cut;
    the_port_of_the_session_is_not_denied;
    the_session_is_known_after_its_interface_is_renamed;
    monitoring_refuses_nothing_but_the_end_of_it_does;
    a_network_without_the_own_address_is_refused;
    sshd_is_spared_also_where_nobody_is_logged_in;
    sshd_and_sessions_on_another_interface_do_not_matter;
    a_session_that_is_redirected_counts_at_the_port_on_the_wire;
    a_session_through_a_bridge_is_that_of_its_port;
    a_session_through_a_relay_counts_at_the_relays_port;
    the_peer_of_a_session_through_a_relay_is_not_banned;
    a_server_of_ssh_is_known_by_its_other_names;
    a_desktops_viewer_is_spared_where_it_may_be_the_only_session;
    what_is_left_of_an_earlier_session_makes_every_session_ones_own;
    the_environment_of_another_machine_disturbs_nobody;
    other_connections_are_listed_with_their_process_and_cut;
    connections_to_containers_are_listed_by_the_published_port;
    what_stays_inside_is_not_listed;
    many_connections_are_summed_up;
}

/// An `sshd` on a port that nobody remembers, and a session in it.
fn ssh(lab: &Lab) -> Result<(Sshd, Session)> {
    lab.pi.open_input()?;
    let sshd = Sshd::start(&lab.pi, &EVERYWHERE, 2222)?;
    let session = sshd.session(&lab.lan, &PI4.to_string(), "sh")?;
    Ok((sshd, session))
}

fn an_attach_that_cuts_its_own_session_is_refused_and_the_advice_is_good() -> Result<()> {
    let lab = Lab::without_containers()?;
    let (_sshd, mut session) = ssh(&lab)?;
    let words = ["lock you out", "eth0", &LAN4.to_string(), "2222/tcp", "sshd", "your session", "--force"];
    let said = session.fw_refused(&lab, "attach eth0 --allow 22,80/tcp", &words)?;
    lab.nothing_is_left_behind()?;
    let advice = said.split_once("--allow ").context("an advice")?.1.split_whitespace().next().context("a list")?;
    assert_eq!(advice, "22,80/tcp,2222/tcp");
    session.fw_succeeds(&lab, &format!("attach eth0 --allow {advice}"))?;
    assert_eq!(session.run("echo alive")?.said.trim(), "alive");
    assert!(lab.stats("eth0")?.ports.iter().any(|port| port.port == 2222 && port.passed > 0));
    Ok(())
}

/// `sudo` and `su -` strip the environment; the processes that started them have theirs still, and `sshd` its socket.
fn neither_an_empty_environment_nor_another_session_hides_the_own_one() -> Result<()> {
    let lab = Lab::without_containers()?;
    let (sshd, mut session) = ssh(&lab)?;
    // Only this one is the own one: the port is open to another, at whose address the second session comes from.
    lab.lan.run("ip address add 192.0.2.99/24 dev eth0")?;
    let attach = "attach eth0 --allow 2222/tcp@192.0.2.99";
    let attach_line = format!("env -i PATH=$PATH setsid --wait {}", fw_tests::lab::ssh::fw_line(&lab, attach));
    let outcome = session.run(&attach_line)?;
    assert!(outcome.code == 1 && outcome.said.contains("your session"), "{outcome:?}");
    // Nobody at all has the variable.
    let mut bare = sshd.session(&lab.lan, &PI4.to_string(), "exec env -i PATH=$PATH sh")?;
    assert_eq!(bare.connection()?, "");
    bare.fw_refused(&lab, attach, &["your session"])?;
    assert_eq!(bare.fw(&lab, attach)?.said.matches("your session").count(), 1, "the other session is not the own one");
    lab.nothing_is_left_behind()
}

fn the_session_is_known_after_its_interface_is_renamed() -> Result<()> {
    let lab = Lab::without_containers()?;
    let (_sshd, mut session) = ssh(&lab)?;
    session.fw_succeeds(&lab, "attach eth0 --allow 2222/tcp")?;
    for (from, to, args) in [("eth0", "lan0", "deny 2222/tcp"), ("lan0", "eth0", "enforce")] {
        lab.pi.run(&format!("ip link set {from} down"))?;
        lab.pi.run(&format!("ip link set {from} name {to}"))?;
        lab.pi.set_address(to, &[])?;
        let outcome = session.fw(&lab, args)?;
        ensure!(outcome.code == 1 && outcome.said.contains("your session"), "{outcome:?}");
        ensure!(outcome.said.contains(&format!("note: {to} was renamed and stays filtered")), "{outcome:?}");
        assert_eq!(session.run("echo alive")?.said.trim(), "alive");
        session.fw_succeeds(&lab, &format!("attach {to} --allow 22/tcp --monitor"))?;
    }
    Ok(())
}

fn over_ipv6_it_is_the_same() -> Result<()> {
    let lab = Lab::without_containers()?;
    let (sshd, _) = ssh(&lab)?;
    let mut session = sshd.session(&lab.lan, &PI6.to_string(), "sh")?;
    session.fw_refused(&lab, "attach eth0 --allow 22", &[&format!("[{LAN6}]"), "your session"])?;
    session.fw_succeeds(&lab, &format!("attach eth0 --allow 2222/tcp@[{LAN6}]"))?;
    assert_eq!(session.run("echo alive")?.said.trim(), "alive");
    Ok(())
}

fn a_link_local_session_is_known_by_its_zone() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.add_second_lan()?;
    let (sshd, _) = ssh(&lab)?;
    let links = lab.pi.run("ip -6 address show dev eth1 scope link")?;
    let address = links.split_whitespace().find(|word| word.starts_with("fe80")).context("a link-local address")?;
    let address = address.split('/').next().unwrap_or_default();
    let mut session = sshd.session(&lab.lan, &format!("{address}%eth1"), "sh")?;
    assert!(session.connection()?.contains("%eth1"), "{:?}", session.connection()?);
    let said = session.fw_refused(&lab, "attach eth1 --allow 22", &["your session", "2222/tcp"])?;
    assert!(said.contains("fe80"), "{said}");
    // The listener is on every interface, the session is not.
    let said = session.fw_refused(&lab, "attach eth0 --allow 22", &["sshd", "2222/tcp"])?;
    assert!(!said.contains("your session"), "{said}");
    Ok(())
}

fn force_goes_on_and_the_session_is_cut() -> Result<()> {
    let lab = Lab::without_containers()?;
    let (_sshd, mut session) = ssh(&lab)?;
    let mut attach = lab.fw.command(&lab.pi, ["attach", "eth0", "--allow", "22", "--force"]);
    let output = attach.env("SSH_CONNECTION", session.connection()?).output()?;
    let said = String::from_utf8(output.stderr)?;
    assert!(output.status.success() && said.contains("your session") && said.contains("2222/tcp"), "{said}");
    session.type_line("echo alive")?;
    lab.await_stats("the session's packets to be dropped", |stats| stats.dropped_at("tcp", 2222) > 0)?;
    lab.fw(&["detach", "eth0"])?;
    assert_eq!(session.answer("echo alive")?.said.trim(), "alive", "it was the filter");
    Ok(())
}

fn the_port_of_the_session_is_not_denied() -> Result<()> {
    let lab = Lab::without_containers()?;
    let (_sshd, mut session) = ssh(&lab)?;
    session.fw_succeeds(&lab, "attach eth0 --allow 80,443,2222/tcp")?;
    session.fw_refused(&lab, "deny 2222/tcp", &["your session", "leave 2222/tcp open", "--force"])?;
    session.fw_refused(&lab, "deny 2222/tcp@192.0.2.0/24", &["your session", "--force"])?;
    // Two at once: nothing of it is done.
    session.fw_refused(&lab, "deny 80 2222/tcp", &["leave 2222/tcp open"])?;
    session.fw_succeeds(&lab, "deny 80")?;
    assert_eq!(session.run("echo alive")?.said.trim(), "alive");
    Ok(())
}

fn monitoring_refuses_nothing_but_the_end_of_it_does() -> Result<()> {
    let lab = Lab::without_containers()?;
    let (_sshd, mut session) = ssh(&lab)?;
    let said = session.fw_succeeds(&lab, "attach eth0 --monitor --allow 22")?;
    assert!(said.contains("note: eth0 would cut") && said.contains("your session"), "{said}");
    session.fw_refused(&lab, "enforce", &["your session", "fw-user allow 2222/tcp --interface eth0"])?;
    session.fw_refused(&lab, "attach eth0 --allow 22", &["your session", "--allow 22,2222/tcp"])?;
    session.fw_succeeds(&lab, "allow 2222/tcp --interface eth0")?;
    session.fw_succeeds(&lab, "enforce")?;
    assert_eq!(session.run("echo alive")?.said.trim(), "alive");
    Ok(())
}

fn a_network_without_the_own_address_is_refused() -> Result<()> {
    let lab = Lab::without_containers()?;
    let (_sshd, mut session) = ssh(&lab)?;
    let advice = format!("--allow 2222/tcp@{LAN4}/32,2222/tcp@203.0.113.0/24");
    session.fw_refused(&lab, "attach eth0 --allow 2222/tcp@203.0.113.0/24", &["your session", &advice])?;
    session.fw_succeeds(&lab, "attach eth0 --allow 2222/tcp@192.0.2.0/28,2222/tcp@203.0.113.0/24")?;
    session.fw_refused(&lab, "deny 2222/tcp@192.0.2.0/28", &["your session"])?;
    session.fw_succeeds(&lab, "deny 2222/tcp@203.0.113.0/24").map(drop)
}

fn sshd_is_spared_also_where_nobody_is_logged_in() -> Result<()> {
    let lab = Lab::without_containers()?;
    let sshd = Sshd::start(&lab.pi, &EVERYWHERE, 2222)?;
    lab.refuses(&["attach", "eth0", "--allow", "22"], 1, &["new sessions", "2222/tcp", "sshd", "--allow 22,2222/tcp"])?;
    // To somebody is enough, whoever that is.
    lab.fw(&["attach", "eth0", "--allow", "2222/tcp@203.0.113.0/24"])?;
    lab.refuses(&["deny", "2222/tcp@203.0.113.0/24"], 1, &["new sessions", "leave 2222/tcp open"])?;
    lab.fw(&["detach", "eth0"])?;
    drop(sshd);
    let _local = Sshd::start(&lab.pi, &[Ipv4Addr::LOCALHOST.into()], 2222)?;
    lab.fw(&["attach", "eth0", "--allow", "22"]).map(drop)
}

fn sshd_and_sessions_on_another_interface_do_not_matter() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.add_second_lan()?;
    lab.pi.open_input()?;
    let sshd = Sshd::start(&lab.pi, &[SECOND_PI4], 2222)?;
    let mut session = sshd.session(&lab.lan, &SECOND_PI4.to_string(), "sh")?;
    session.fw_succeeds(&lab, "attach eth0 --allow 22")?;
    let words = ["eth1 would cut", &SECOND_LAN4.to_string(), "your session"];
    let said = session.fw_refused(&lab, "attach eth0 eth1 --allow 22", &words)?;
    assert!(!said.contains("eth0"), "{said}");
    Ok(())
}

fn a_session_that_is_redirected_counts_at_the_port_on_the_wire() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.pi.open_input()?;
    lab.pi.nft(
        "table ip moved {
            chain prerouting {
                type nat hook prerouting priority dstnat
                tcp dport 2200 redirect to :2222
            }
        }",
    )?;
    let sshd = Sshd::start(&lab.pi, &EVERYWHERE, 2222)?;
    let mut session = sshd.session_at(&lab.lan, &PI4.to_string(), 2200, "sh")?;
    assert!(session.connection()?.ends_with(" 2222"), "the server knows nothing of it");
    session.fw_refused(
        &lab,
        "attach eth0 --allow 2222/tcp",
        &["your session", "2200/tcp", "--allow 2200/tcp,2222/tcp"],
    )?;
    session.fw_succeeds(&lab, "attach eth0 --allow 2200/tcp,2222/tcp")?;
    assert_eq!(session.run("echo alive")?.said.trim(), "alive");
    Ok(())
}

fn a_session_through_a_bridge_is_that_of_its_port() -> Result<()> {
    let lab = Lab::without_containers()?;
    let (sshd, session) = ssh(&lab)?;
    drop(session);
    lab.pi.run("ip link add br0 type bridge")?;
    lab.pi.run("ip address flush dev eth0 scope global")?;
    lab.pi.run("ip link set eth0 master br0")?;
    lab.pi.set_address("br0", &["192.0.2.1/24"])?;
    let mut session = sshd.session(&lab.lan, &PI4.to_string(), "sh")?;
    let outcome = session.fw(&lab, "attach eth0 --allow 22")?;
    ensure!(outcome.code == 1 && outcome.said.contains("your session"), "{outcome:?}");
    lab.nothing_is_left_behind()
}

/// A program on the Pi that passes connections on to a port of loopback, as sslh does: a process for each connection.
fn relay(lab: &Lab, port: u16, to: u16) -> Result<Process> {
    let mut relay = lab.pi.command("busybox");
    relay.args(["nc", "-ll", "-p", &port.to_string(), "-e", "/bin/busybox", "nc", "127.0.0.1", &to.to_string()]);
    let relay = Process::start(&mut relay)?;
    await_listener(lab, port)?;
    Ok(relay)
}

fn a_session_through_a_relay_counts_at_the_relays_port() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.pi.open_input()?;
    let sshd = Sshd::start(&lab.pi, &[Ipv4Addr::LOCALHOST.into()], 2222)?;
    let _relays = [relay(&lab, 443, 2222)?, relay(&lab, 8443, 443)?];
    let mut session = sshd.session_at(&lab.lan, &PI4.to_string(), 443, "sh")?;
    assert!(session.connection()?.starts_with("127.0.0.1 "), "the server knows nothing of it");
    session.fw_refused(&lab, "attach eth0 --allow 22,2222/tcp", &[&LAN4.to_string(), "443/tcp", "your session"])?;
    // Nothing but the socket tells of it, and there is another relay in front.
    let mut behind_two = sshd.session_at(&lab.lan, &PI4.to_string(), 8443, "exec env -i PATH=$PATH sh")?;
    let said = behind_two.fw_refused(&lab, "attach eth0 --allow 22,443/tcp", &["8443/tcp", "your session"])?;
    assert!(!said.contains(" 443/tcp "), "{said}");
    session.fw_succeeds(&lab, "attach eth0 --allow 22,443/tcp")?;
    assert_eq!(session.run("echo alive")?.said.trim(), "alive");
    assert!(lab.stats("eth0")?.ports.iter().any(|port| port.port == 443 && port.passed > 0));
    Ok(())
}

/// The environment names the relay at best; only the sockets name the peer.
fn the_peer_of_a_session_through_a_relay_is_not_banned() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.pi.open_input()?;
    let sshd = Sshd::start(&lab.pi, &[Ipv4Addr::LOCALHOST.into()], 2222)?;
    let _relay = relay(&lab, 443, 2222)?;
    let mut session = sshd.session_at(&lab.lan, &PI4.to_string(), 443, "exec env -i PATH=$PATH sh")?;
    session.fw_refused(
        &lab,
        "ban 192.0.0.0/16",
        &[&format!("covers the peer of your session {LAN4}"), "--skip-own"],
    )?;
    session.fw_succeeds(&lab, "ban 198.51.100.0/24")?;
    Ok(())
}

fn a_server_of_ssh_is_known_by_its_other_names() -> Result<()> {
    let lab = Lab::without_containers()?;
    let _servers = [
        Web::start(&lab, "sshd.pam", 2222)?,
        Web::start(&lab, "sshd-session", 2223)?,
        Web::start(&lab, "dropbear", 2224)?,
    ];
    let _others = Web::start(&lab, "sshdx", 2225)?;
    lab.refuses(&["attach", "eth0", "--allow", "22"], 1, &["--allow 22,2222-2224/tcp\n"]).map(drop)
}

fn a_desktops_viewer_is_spared_where_it_may_be_the_only_session() -> Result<()> {
    let lab = Lab::without_containers()?;
    let (_sshd, mut session) = ssh(&lab)?;
    let _desktop = Web::start(&lab, "wayvnc", 5900)?;
    let viewer = lab.lan.connect_tcp(SocketAddr::new(PI4, 5900))?;
    await_accepted(&lab, "wayvnc", 5900, 1)?;
    let peer = viewer.local_addr()?.to_string();
    lab.refuses(&["attach", "eth0", "--allow", "2222/tcp"], 1, &[&peer, "5900/tcp", "wayvnc", "may be your session"])?;
    // It is not where the session is known.
    let said = session.fw_succeeds(&lab, "attach eth0 --allow 2222/tcp")?;
    assert!(said.contains(&peer) && !said.contains("your session"), "{said}");
    Ok(())
}

/// In `tmux` the environment is that of the session in which it was started.
fn what_is_left_of_an_earlier_session_makes_every_session_ones_own() -> Result<()> {
    let lab = Lab::without_containers()?;
    let (sshd, mut earlier) = ssh(&lab)?;
    lab.lan.run("ip address add 192.0.2.99/24 dev eth0")?;
    let left = earlier.connection()?;
    let attach = |connection: &str| -> Result<Output> {
        let mut attach = lab.fw.command(&lab.pi, ["attach", "eth0", "--allow", "2222/tcp@192.0.2.99"]);
        Ok(attach.env("SSH_CONNECTION", connection).output()?)
    };
    let _now = sshd.session(&lab.lan, &PI4.to_string(), "sh")?;
    // As long as the earlier one lives, it is the own one, and no other.
    let said = String::from_utf8(attach(&left)?.stderr)?;
    assert_eq!(said.matches("your session").count(), 1, "{said}");
    drop(earlier);
    let output = wait::until("the earlier session to end", || {
        let output = attach(&left)?;
        let said = String::from_utf8_lossy(&output.stderr);
        Ok((!said.contains(&format!("{LAN4}:{}", left.split(' ').nth(1).unwrap_or_default()))).then_some(output))
    })?;
    let said = String::from_utf8(output.stderr)?;
    assert!(output.status.code() == Some(1) && said.matches("your session").count() == 1, "{said}");
    Ok(())
}

fn the_environment_of_another_machine_disturbs_nobody() -> Result<()> {
    let lab = Lab::without_containers()?;
    let (_sshd, mut session) = ssh(&lab)?;
    let connection = session.connection()?;
    let mut attach = lab.fw.command(&lab.pi, ["attach", "eth0", "--allow", "2222/tcp@203.0.113.0/24"]);
    // Somebody else's session is cut, and that is no reason to refuse. The own one came to an address that is not here.
    let output = attach.env("SSH_CONNECTION", "198.51.100.77 50000 198.51.100.78 2222").output()?;
    let said = String::from_utf8(output.stderr)?;
    let peer = format!("{LAN4}:{}", connection.split(' ').nth(1).context("four words")?);
    ensure!(output.status.success() && said.contains(&peer) && !said.contains("your session"), "{said}");
    Ok(())
}

/// A server of another name than that of this process, which started `fw-user` and would count as the own session.
struct Web {
    folder: TempDir,
    _process: Process,
}

impl Web {
    fn start(lab: &Lab, name: &str, port: u16) -> Result<Self> {
        let folder = TempDir::with_prefix("fw-lab-web-")?;
        let program = folder.path().join(name);
        // busybox takes the first argument for the command, and the kernel the file's name for the process.
        symlink("/bin/busybox", &program)?;
        let mut server = lab.pi.command("bash");
        server.args(["-c", r#"exec -a httpd "$0" "$@""#]).arg(&program);
        server.args(["-f", "-p", &port.to_string(), "-h"]).arg(folder.path());
        let process = Process::start(&mut server)?;
        await_listener(lab, port)?;
        Ok(Self { folder, _process: process })
    }
}

fn await_listener(lab: &Lab, port: u16) -> Result<()> {
    wait::until(format!("a server to listen at {port}"), || {
        let listening = lab.pi.run(&format!("ss --no-header --listening --tcp --numeric sport = :{port}"))?;
        Ok((!listening.is_empty()).then_some(()))
    })
}

/// Wait until a process has so many connections: the kernel opens them before.
fn await_accepted(lab: &Lab, name: &str, port: u16, count: usize) -> Result<()> {
    wait::until(format!("{name} to have accepted"), || {
        let open =
            lab.pi.run(&format!("ss --no-header --tcp --numeric --processes state established sport = :{port}"))?;
        Ok((open.lines().filter(|line| line.contains(name)).count() == count).then_some(()))
    })
}

fn other_connections_are_listed_with_their_process_and_cut() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.pi.open_input()?;
    let web = Web::start(&lab, "website", 8000)?;
    fs::write(web.folder.path().join("page"), "the page")?;
    let mut reader = lab.lan.connect_tcp(SocketAddr::new(PI4, 8000))?;
    let mut reader6 = lab.lan.connect_tcp(SocketAddr::new(PI6, 8000))?;
    await_accepted(&lab, "website", 8000, 2)?;
    let peers = [reader.local_addr()?.to_string(), reader6.local_addr()?.to_string()];
    let attach = |args: &[&str]| -> Result<Output> {
        Ok(lab.fw.command(&lab.pi, [&["attach", "eth0", "--allow"], args].concat()).output()?)
    };
    let output = attach(&["22,8000"])?;
    ensure!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    lab.fw(&["detach", "eth0"])?;

    let said = String::from_utf8(attach(&["22"])?.stderr)?;
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[0], "note: eth0 cuts:", "{said}");
    for peer in &peers {
        let line = lines.iter().find(|line| line.contains(peer)).context("each peer has a line")?;
        assert!(line.contains("8000/tcp") && line.contains("website ("), "{said}");
    }
    lab.fw(&["detach", "eth0"])?;

    let output = attach(&["22", "--json"])?;
    ensure!(output.stderr.is_empty(), "{output:?}");
    let Changes { interfaces, .. } = serde_json::from_slice(&output.stdout)?;
    let of = |peer: &String| Cut {
        peer: Some(peer.clone()),
        proto: "tcp".to_owned(),
        port: 8000,
        process: Some("website".to_owned()),
    };
    assert_eq!(interfaces[0].cut, peers.iter().map(of).collect::<Vec<_>>());
    // Cut they are, and no longer listed when it is done again.
    for reader in [&mut reader, &mut reader6] {
        let before = lab.stats("eth0")?.dropped_at("tcp", 8000);
        reader.write_all(b"GET /page HTTP/1.0\r\n\r\n")?;
        lab.await_stats("the reader's drop", |stats| stats.dropped_at("tcp", 8000) > before)?;
    }
    ensure!(attach(&["22"])?.stderr.is_empty());
    Ok(())
}

fn connections_to_containers_are_listed_by_the_published_port() -> Result<()> {
    let lab = Lab::new()?;
    let _server = lab.container(0).serve_tcp(CLOSED_TARGET)?;
    let mut open = Vec::new();
    for pi in [PI4, PI6] {
        let mut stream = lab.lan.connect_tcp(SocketAddr::new(pi, 9125))?;
        fw_tests::lab::client::echo(&mut stream)?;
        open.push(stream);
    }
    let attach = |allow: &str| -> Result<Vec<Cut>> {
        let Changes { mut interfaces, .. } =
            serde_json::from_str(&lab.fw(&["attach", "eth0", "--json", "--allow", allow])?)?;
        Ok(interfaces.remove(0).cut)
    };
    // The port inside says nothing.
    let cut = attach("22,80")?;
    let of =
        |peer: SocketAddr| Cut { peer: Some(peer.to_string()), proto: "tcp".to_owned(), port: 9125, process: None };
    let peers: Result<Vec<_>> = open.iter().map(|stream| Ok(of(stream.local_addr()?))).collect();
    assert_eq!(cut, peers?);
    lab.fw(&["detach", "eth0"])?;
    assert_eq!(attach("9125/tcp")?, []);
    Ok(())
}

/// Connections over loopback, and those of a container to the host: even to the address on the filtered interface.
fn what_stays_inside_is_not_listed() -> Result<()> {
    let lab = Lab::new()?;
    lab.pi.open_input()?;
    let _web = Web::start(&lab, "website", 8000)?;
    let mut open = Vec::new();
    for to in [PI4, PI6, Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()] {
        open.push(lab.pi.connect_tcp(SocketAddr::new(to, 8000))?);
    }
    for to in [PI4, PI6] {
        open.push(lab.container(0).connect_tcp(SocketAddr::new(to, 8000))?);
    }
    let Changes { interfaces, .. } = serde_json::from_str(&lab.fw(&["attach", "eth0", "--json", "--allow", "22"])?)?;
    assert_eq!(interfaces[0].cut, []);
    lab.fw(&["detach", "eth0"])?;
    open.push(lab.lan.connect_tcp(SocketAddr::new(PI4, 8000))?);
    let Changes { interfaces, .. } = serde_json::from_str(&lab.fw(&["attach", "eth0", "--json", "--allow", "22"])?)?;
    assert_eq!(interfaces[0].cut.len(), 1, "the one from the LAN");
    Ok(())
}

fn many_connections_are_summed_up() -> Result<()> {
    let lab = Lab::new()?;
    let _server = lab.container(0).serve_tcp(CLOSED_TARGET)?;
    let open: Result<Vec<_>> = (0..25).map(|_| lab.lan.connect_tcp(SocketAddr::new(PI4, 9125))).collect();
    let _open = open?;
    let output = lab.fw.command(&lab.pi, ["attach", "eth0", "--allow", "22"]).output()?;
    let said = String::from_utf8(output.stderr)?;
    assert_eq!(said.matches("9125/tcp").count(), 10, "{said}");
    assert!(said.contains("and 15 more"), "{said}");
    Ok(())
}
