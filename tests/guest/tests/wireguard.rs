//! A real `WireGuard`: an interface without Ethernet headers, whose peer comes in by the cable.

use std::{
    net::{IpAddr, SocketAddr},
    process::Command,
};

use anyhow::Result;
use fw_tests::{
    lab::{LAN4, Lab, Namespace, PI4, command},
    tests,
};

use crate::tunnel::{self, LAN, PI};

tests! {
    a_wireguard_is_filtered_like_a_cable;
}

const PORT: u16 = 51_820;

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
    // A filter on the cable knows of the peer what WireGuard knows.
    tunnel::is_filtered_like_a_cable(&lab, "wg0", None)
}
