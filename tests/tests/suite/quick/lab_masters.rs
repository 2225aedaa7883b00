//! Interfaces that are part of others: ports of a bridge, the bridge itself, what stands above.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use fw_tests::{
    lab::{LAN4, Lab, Mode, Namespace, PI4, PI6, Transport},
    tests,
};

const TAKEN: i32 = 3;

tests! { in every mode:
    a_port_of_a_bridge_is_filtered_for_this_machine_and_for_those_behind_it;
    what_stands_above_an_interface_is_judged_by_its_ports;
    a_port_that_does_not_forward_where_its_bridge_does_leads_to_no_container;
    a_guest_behind_the_same_bridge_is_reached_at_an_allowed_port;
}

tests! {
    a_bridge_is_filtered_for_this_machine_alone;
    a_bridge_that_came_later_is_known_after_allow_and_forgotten_after_deny;
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

/// A container behind a second bridge, none of its ports published, and a LAN host that knows the way.
fn unpublished(lab: &Lab) -> Result<Namespace> {
    let container = Namespace::new()?;
    lab.pi.run("ip link add docker0 type bridge")?;
    lab.pi.set_address("docker0", &["172.17.0.1/16", "fd00:17::1/64"])?;
    lab.pi.run(&format!("ip link add veth0 type veth peer name eth0 netns {}", container.path()))?;
    lab.pi.run("ip link set veth0 master docker0 up")?;
    container.set_address("eth0", &["172.17.0.2/16", "fd00:17::2/64"])?;
    container.run("ip route add default via 172.17.0.1")?;
    container.run("ip -6 route add default via fd00:17::1")?;
    lab.lan.run(&format!("ip route add 172.17.0.0/16 via {PI4}"))?;
    lab.lan.run(&format!("ip -6 route add fd00:17::/64 via {PI6}"))?;
    lab.pi.sysctl("net/ipv4/ip_forward", "1")?;
    lab.pi.sysctl("net/ipv6/conf/all/forwarding", "1")?;
    Ok(container)
}

/// Forwarding of the bridge counts: the network layer does not see the port.
fn a_port_that_does_not_forward_where_its_bridge_does_leads_to_no_container(mode: Mode) -> Result<()> {
    let lab = Lab::without_containers()?;
    let _behind = bridged(&lab)?;
    lab.pi.set_address("br0", &[&format!("{PI6}/64")])?;
    let container = unpublished(&lab)?;
    for family in ["ipv4", "ipv6"] {
        lab.pi.sysctl(&format!("net/{family}/conf/eth0/forwarding"), "0")?;
    }
    let server = container.serve_tcp(8080)?;
    let addresses = ["172.17.0.2".parse()?, "fd00:17::2".parse()?];
    for address in addresses {
        lab.lan.reaches(&server, Transport::Tcp, address, 8080).context("without the filter")?;
    }
    lab.attach(mode, "22,8080/tcp")?;
    for address in addresses {
        lab.is_closed(&server, Transport::Tcp, address, 8080)?;
    }
    let stats = lab.stats("eth0")?;
    ensure!(stats.reason("forwarded").packets >= 2, "dropped for another reason: {stats:?}");
    Ok(())
}

/// As a virtual machine is on the bridge of the host, which forwards since it runs Docker as well.
fn a_guest_behind_the_same_bridge_is_reached_at_an_allowed_port(mode: Mode) -> Result<()> {
    let lab = Lab::without_containers()?;
    let guest = bridged(&lab)?;
    let container = unpublished(&lab)?;
    let far = "192.0.2.20".parse()?;
    let (open, closed, inside) = (guest.serve_tcp(8080)?, guest.serve_tcp(9123)?, container.serve_tcp(8080)?);
    lab.lan.reaches(&open, Transport::Tcp, far, 8080).context("without the filter")?;
    lab.attach(mode, "22,8080/tcp")?;
    lab.lan.reaches(&open, Transport::Tcp, far, 8080).context("an allowed port")?;
    lab.is_closed(&closed, Transport::Tcp, far, 9123)?;
    lab.is_closed(&inside, Transport::Tcp, "172.17.0.2".parse()?, 8080)?;
    Ok(())
}

fn a_bridge_that_came_later_is_known_after_allow_and_forgotten_after_deny() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.pi.sysctl("net/ipv4/ip_forward", "1")?;
    lab.attach(Mode::Native, "22,8080/tcp")?;
    let guest = bridged(&lab)?;
    let (open, far) = (guest.serve_tcp(8080)?, "192.0.2.20".parse()?);
    lab.is_closed(&open, Transport::Tcp, far, 8080)?;
    lab.fw(&["allow", "9000/tcp"])?;
    lab.lan.reaches(&open, Transport::Tcp, far, 8080)?;
    lab.pi.run("ip link set eth0 nomaster")?;
    lab.pi.run("ip address add 192.0.2.3/24 dev eth0")?;
    lab.fw(&["deny", "9000/tcp"])?;
    // Packets to the bridge leave by another interface again.
    lab.pi.run("ip route add 198.51.100.0/24 dev br0")?;
    lab.lan.run("ip route add 198.51.100.0/24 via 192.0.2.3")?;
    let judged = lab.fw(&["explain", "8080/tcp", "--to", "198.51.100.9", "--json"])?;
    ensure!(judged.contains("\"forwarded\""), "{judged}");
    Ok(())
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
