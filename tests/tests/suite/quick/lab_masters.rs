//! Interfaces that are part of others: ports of a bridge, the bridge itself, what stands above.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use fw_tests::{
    lab::{LAN4, Lab, Mode, Namespace, PI4, Transport},
    tests,
};

const TAKEN: i32 = 3;

tests! { in every mode:
    a_port_of_a_bridge_is_filtered_for_this_machine_and_for_those_behind_it;
    what_stands_above_an_interface_is_judged_by_its_ports;
}

tests! {
    a_bridge_is_filtered_for_this_machine_alone;
}

/// Another machine, behind a second port of the Pi's bridge, and the bridge with the Pi's address.
fn bridged(lab: &Lab) -> Result<Namespace> {
    let behind = Namespace::new()?;
    lab.pi.run("ip link add br0 type bridge")?;
    lab.pi.run("ip address flush dev eth0")?;
    lab.pi.run("ip link set eth0 master br0")?;
    lab.pi.run(&format!("ip link add eth1 type veth peer name eth0 netns {}", behind.path()))?;
    lab.pi.run("ip link set eth1 master br0 up")?;
    lab.pi.set_address("br0", &["192.0.2.1/24"])?;
    lab.pi.open_input()?;
    // There only where the kernel has br_netfilter.
    if lab.pi.enter(|| Path::new("/proc/sys/net/bridge").exists()) {
        lab.pi.sysctl("net/bridge/bridge-nf-call-iptables", "0")?;
        lab.pi.sysctl("net/bridge/bridge-nf-call-ip6tables", "0")?;
    }
    behind.set_address("eth0", &["192.0.2.20/24"])?;
    Ok(behind)
}

fn a_port_of_a_bridge_is_filtered_for_this_machine_and_for_those_behind_it(mode: Mode) -> Result<()> {
    let lab = Lab::without_containers()?;
    let behind = bridged(&lab)?;
    let far = "192.0.2.20".parse()?;
    let (host, other) = (lab.pi.serve_tcp(9123)?, behind.serve_tcp(9123)?);
    lab.lan.reaches(&host, Transport::Tcp, PI4, 9123).context("without the filter")?;
    lab.lan.reaches(&other, Transport::Tcp, far, 9123).context("without the filter")?;
    let said = lab.attach(mode, "22")?;
    for words in ["eth0 is a port of the bridge br0", "other machines", "attach to br0 instead"] {
        ensure!(said.contains(words), "no {words:?} in {said}");
    }
    lab.is_closed(&host, Transport::Tcp, PI4, 9123)?;
    lab.is_closed(&other, Transport::Tcp, far, 9123)?;
    // Replies come home to either: the port sees what leaves.
    let server = lab.lan.serve_tcp(5000)?;
    lab.pi.reaches(&server, Transport::Tcp, LAN4, 5000)?;
    behind.reaches(&server, Transport::Tcp, LAN4, 5000)
}

fn a_bridge_is_filtered_for_this_machine_alone() -> Result<()> {
    let lab = Lab::without_containers()?;
    let behind = bridged(&lab)?;
    let far = "192.0.2.20".parse()?;
    let (host, other) = (lab.pi.serve_tcp(9123)?, behind.serve_tcp(9123)?);
    lab.lan.reaches(&host, Transport::Tcp, PI4, 9123).context("without the filter")?;
    let said = lab.fw(&["attach", "br0", "--allow", "22"])?;
    for words in ["tc mode", "br0 is a bridge", "frames between its ports are not"] {
        ensure!(said.contains(words), "no {words:?} in {said}");
    }
    lab.is_closed_on("br0", &host, Transport::Tcp, PI4, 9123)?;
    // Of XDP, the kernel takes no second program below one.
    lab.fw(&["attach", "br0", "--allow", "22", "--mode", "generic"])?;
    let words = ["eth0 cannot be filtered while br0 has an XDP program", "fw-user detach br0"];
    lab.refuses(&["attach", "eth0", "--allow", "22"], TAKEN, &words)?;
    lab.is_closed_on("br0", &host, Transport::Tcp, PI4, 9123)?;
    lab.lan.reaches(&other, Transport::Tcp, far, 9123)?;
    let server = lab.lan.serve_tcp(5000)?;
    lab.pi.reaches(&server, Transport::Tcp, LAN4, 5000)?;
    behind.reaches(&server, Transport::Tcp, LAN4, 5000)
}

/// A container with an address of its own on the LAN, as Docker's macvlan networks have them.
fn what_stands_above_an_interface_is_judged_by_its_ports(mode: Mode) -> Result<()> {
    let lab = Lab::without_containers()?;
    let above = Namespace::new()?;
    lab.pi.run("ip link add mv0 link eth0 type macvlan mode bridge")?;
    let said = lab.attach(mode, "22")?;
    ensure!(said.contains("traffic for mv0 (on top of eth0) is filtered by the same rules"), "{said}");
    lab.fw(&["detach", "eth0"])?;
    lab.pi.run(&format!("ip link set mv0 netns {}", above.path()))?;
    above.set_address("mv0", &["192.0.2.30/24"])?;
    let server = above.serve_tcp(9123)?;
    lab.lan.reaches(&server, Transport::Tcp, "192.0.2.30".parse()?, 9123).context("without the filter")?;
    // As Docker does. The container's address is none of the Pi's own.
    lab.pi.sysctl("net/ipv4/ip_forward", "1")?;
    let open = above.serve_tcp(8080)?;
    lab.attach(mode, "22,8080/tcp")?;
    lab.is_closed(&server, Transport::Tcp, "192.0.2.30".parse()?, 9123)?;
    lab.lan.reaches(&open, Transport::Tcp, "192.0.2.30".parse()?, 8080).context("an allowed port")?;
    let server = lab.lan.serve_tcp(5000)?;
    above.reaches(&server, Transport::Tcp, LAN4, 5000)
}
