//! A real `WireGuard`: an interface without Ethernet headers, whose peer comes in by the cable.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use fw_tests::{
    lab::{LAN4, Lab, Mode, Namespace, PI4, Transport, client::receives, command, has_tcx, wait},
    tests,
};

tests! {
    a_wireguard_is_filtered_like_a_cable;
}

const PORT: u16 = 51_820;
const PI: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::new(10, 9, 0, 1)), IpAddr::V6(inside(1))];
const LAN: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::new(10, 9, 0, 2)), IpAddr::V6(inside(2))];

const fn inside(host: u16) -> Ipv6Addr {
    Ipv6Addr::new(0xfd00, 9, 0, 0, 0, 0, 0, host)
}

fn public_key(private: &str) -> Result<String> {
    command::run_with_input(Command::new("wg").arg("pubkey"), private.as_bytes()).map(|key| key.trim().to_owned())
}

/// One end, which knows the other one's key.
fn set_up(place: &Namespace, private: &str, peer: &str, endpoint: IpAddr, addresses: [IpAddr; 2]) -> Result<()> {
    place.run("ip link add wg0 type wireguard")?;
    let mut wg = place.command("wg");
    wg.args(["set", "wg0", "private-key", "/dev/fd/0", "listen-port", &PORT.to_string(), "peer", peer]);
    wg.args(["allowed-ips", "10.9.0.0/24,fd00:9::/64", "endpoint", &SocketAddr::new(endpoint, PORT).to_string()]);
    command::run_with_input(&mut wg, private.as_bytes())?;
    let [v4, v6] = addresses;
    place.run(&format!("ip address add {v4}/24 dev wg0"))?;
    place.run(&format!("ip address add {v6}/64 nodad dev wg0"))?;
    place.run("ip link set wg0 up").map(drop)
}

fn a_wireguard_is_filtered_like_a_cable() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.pi.open_input()?;
    let keys = [command::run(Command::new("wg").arg("genkey"))?, command::run(Command::new("wg").arg("genkey"))?];
    set_up(&lab.pi, &keys[0], &public_key(&keys[1])?, LAN4, PI)?;
    set_up(&lab.lan, &keys[1], &public_key(&keys[0])?, PI4, LAN)?;
    let (closed, open) = (lab.pi.serve_udp(9123)?, lab.pi.serve_udp(8080)?);
    for address in PI {
        lab.lan.reaches(&closed, Transport::Udp, address, 9123).context("without a filter")?;
    }
    // A filter on the cable knows of the peer what WireGuard knows.
    lab.attach(Mode::Generic, "22")?;
    lab.is_closed(&closed, Transport::Udp, PI4, 9123)?;
    lab.lan.reaches(&closed, Transport::Udp, PI[0], 9123).context("with a filter on the cable alone")?;
    if !has_tcx()? {
        return lab.refuses(&["attach", "wg0", "--allow", "22"], 1, &["wg0", "Linux 6.6"]);
    }
    let said = lab.fw(&["attach", "wg0", "--allow", "22,8080/udp"])?;
    ensure!(said.contains("wg0  attached, tc mode: packets are filtered at TC ingress\n"), "{said}");
    for (there, here) in LAN.into_iter().zip(PI) {
        lab.is_closed_on("wg0", &closed, Transport::Udp, here, 9123)?;
        lab.lan.reaches(&open, Transport::Udp, here, 8080)?;
        answers_come_home(&lab, there, here)?;
    }
    let drops = lab.fw(&["drops", "wg0", "--last", "--json"])?;
    ensure!(drops.lines().any(|line| line.contains("\"source\":\"10.9.0.2\"") && line.contains("9123")), "{drops}");
    lab.fw(&["detach", "--all"])?;
    lab.lan.reaches(&closed, Transport::Udp, PI[0], 9123)?;
    lab.nothing_is_left_behind()
}

/// From the port that was asked, and from no other.
fn answers_come_home(lab: &Lab, there: IpAddr, here: IpAddr) -> Result<()> {
    let client = lab.pi.udp_socket(0, there)?;
    let port = client.local_addr()?.port();
    let (asked, other) = (lab.lan.udp_socket(5300, there)?, lab.lan.udp_socket(5301, there)?);
    client.send_to(b"question", SocketAddr::new(there, 5300))?;
    ensure!(receives(&asked, wait::PATIENCE)?, "the question does not arrive");
    other.send_to(b"knock", SocketAddr::new(here, port))?;
    wait::until("the drop", || Ok((lab.stats("wg0")?.dropped_at("udp", port) == 1).then_some(())))?;
    asked.send_to(b"answer", SocketAddr::new(here, port))?;
    let mut words = [0; 16];
    let (length, _) = client.recv_from(&mut words).context("the answer")?;
    ensure!(&words[..length] == b"answer", "{:?} came in", &words[..length]);
    Ok(())
}
