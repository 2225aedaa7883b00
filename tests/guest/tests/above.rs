//! Real VLANs, and ipvlan: interfaces above the one with the filter, and a filter on one of them.

use anyhow::{Context as _, Result, ensure};
use fw_tests::{
    lab::{LAN4, Lab, Mode, Namespace, PI4, SECOND_LAN4, SECOND_PI4, SECOND_PI6, Transport, container4, has_tcx, wait},
    tests,
};

tests! { in every mode:
    a_filter_below_a_vlan_holds_for_it;
    a_filter_below_an_ipvlan_judges_it_by_its_ports;
}

tests! {
    a_filter_on_a_vlan_holds_for_it_alone;
}

/// The same VLAN at either end of the cable.
fn add_vlan(lab: &Lab) -> Result<()> {
    for (place, addresses) in
        [(&lab.lan, ["198.51.100.10/24", "2001:db8:2::10/64"]), (&lab.pi, ["198.51.100.1/24", "2001:db8:2::1/64"])]
    {
        // XDP cannot see a tag that the card removes: the manual says to keep it.
        place.run("ethtool --offload eth0 rxvlan off txvlan off")?;
        place.run("ip link add link eth0 name eth0.5 type vlan id 5")?;
        place.set_address("eth0.5", &addresses)?;
    }
    Ok(())
}

fn a_filter_below_a_vlan_holds_for_it(mode: Mode) -> Result<()> {
    let lab = Lab::new()?;
    add_vlan(&lab)?;
    lab.pi.open_input()?;
    let (closed, open) = (lab.pi.serve_tcp(9123)?, lab.pi.serve_tcp(8080)?);
    // Nobody published it.
    let container = lab.container(0).serve_tcp(8080)?;
    lab.lan.run(&format!("ip route add 172.17.0.0/16 via {SECOND_PI4}"))?;
    for address in [SECOND_PI4, SECOND_PI6] {
        lab.lan.reaches(&closed, Transport::Tcp, address, 9123).context("without the filter")?;
    }
    lab.lan.reaches(&container, Transport::Tcp, container4(0), 8080).context("without the filter")?;
    let said = lab.attach(mode, "22,8080/tcp")?;
    ensure!(said.contains("traffic for eth0.5 (on top of eth0) is filtered by the same rules"), "{said}");
    for address in [SECOND_PI4, SECOND_PI6] {
        lab.is_closed(&closed, Transport::Tcp, address, 9123)?;
        lab.lan.reaches(&open, Transport::Tcp, address, 8080)?;
    }
    lab.is_closed(&closed, Transport::Tcp, PI4, 9123)?;
    lab.is_closed(&container, Transport::Tcp, container4(0), 8080)?;
    ensure!(lab.stats("eth0")?.reason("forwarded").packets > 0, "dropped for another reason");
    let server = lab.lan.serve_tcp(5000)?;
    lab.pi.reaches(&server, Transport::Tcp, SECOND_LAN4, 5000)
}

fn a_filter_on_a_vlan_holds_for_it_alone() -> Result<()> {
    let lab = Lab::without_containers()?;
    add_vlan(&lab)?;
    lab.pi.open_input()?;
    let (closed, open) = (lab.pi.serve_tcp(9123)?, lab.pi.serve_tcp(8080)?);
    lab.lan.reaches(&closed, Transport::Tcp, SECOND_PI4, 9123).context("without the filter")?;
    lab.refuses(&["attach", "eth0.5", "--mode", "native", "--allow", "22"], 1, &["eth0.5", "no native XDP"])?;
    let modes = if has_tcx()? { &["tc", "generic"][..] } else { &["generic"] };
    for mode in modes {
        // First the mode that `attach` chooses by itself.
        let by_itself: &[&str] = if *mode == modes[0] { &[] } else { &["--mode", mode] };
        let said = lab.fw(&[&["attach", "eth0.5", "--allow", "22,8080/tcp"], by_itself].concat())?;
        for words in [&format!("{mode} mode"), "eth0.5 is one VLAN of eth0"] {
            ensure!(said.contains(words), "no {words:?} in {said}");
        }
        for address in [SECOND_PI4, SECOND_PI6] {
            lab.is_closed_on("eth0.5", &closed, Transport::Tcp, address, 9123)?;
            lab.lan.reaches(&open, Transport::Tcp, address, 8080)?;
        }
        lab.lan.reaches(&closed, Transport::Tcp, PI4, 9123).context("beside the VLAN")?;
        let server = lab.lan.serve_tcp(5000)?;
        lab.pi.reaches(&server, Transport::Tcp, SECOND_LAN4, 5000)?;
        lab.fw(&["detach", "eth0.5"])?;
    }
    lab.nothing_is_left_behind()
}

/// A container whose address is none of the Pi's own, on the LAN (L2) or behind the Pi (L3).
fn a_filter_below_an_ipvlan_judges_it_by_its_ports(mode: Mode) -> Result<()> {
    for (kind, address) in [("l2", "192.0.2.30"), ("l3", "198.51.100.30")] {
        let work = || -> Result<()> {
            let lab = Lab::without_containers()?;
            let above = Namespace::new()?;
            let there = address.parse()?;
            lab.pi.run(&format!("ip link add link eth0 name iv0 type ipvlan mode {kind}"))?;
            lab.pi.run(&format!("ip link set iv0 netns {}", above.path()))?;
            above.set_address("iv0", &[&format!("{address}/24")])?;
            above.run("ip route replace default dev iv0")?;
            lab.lan.run(&format!("ip route replace {address}/32 dev eth0"))?;
            // In L3 nobody answers for it.
            let mac = lab.pi.mac("eth0")?.map(|byte| format!("{byte:02x}")).join(":");
            lab.lan.run(&format!("ip neighbour replace {address} lladdr {mac} dev eth0"))?;
            // As Docker does.
            lab.pi.sysctl("net/ipv4/ip_forward", "1")?;
            let (closed, open) = (above.serve_tcp(9123)?, above.serve_tcp(8080)?);
            wait::until("the way there", || Ok(lab.lan.echo_tcp((there, 9123).into()).ok()))?;
            lab.attach(mode, "22,8080/tcp")?;
            lab.is_closed(&closed, Transport::Tcp, there, 9123)?;
            lab.lan.reaches(&open, Transport::Tcp, there, 8080).context("an allowed port")?;
            let server = lab.lan.serve_tcp(5000)?;
            above.reaches(&server, Transport::Tcp, LAN4, 5000)
        };
        work().with_context(|| format!("ipvlan in {kind} mode"))?;
    }
    Ok(())
}
