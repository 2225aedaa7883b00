//! `IPsec` that the Pi terminates: what it decrypts comes in a second time, by the same interface, and each mode sees that in its own way.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context as _, Result, ensure};
use fw_tests::{
    lab::{LAN4, Lab, Mode, Namespace, PI4, Transport, has_tcx},
    tests,
};

tests! {
    what_this_machine_decrypts_is_known_at_tc_ingress_alone;
    an_interface_of_ipsec_is_refused_and_named_as_open;
}

const INSIDE_PI: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 8, 0, 1));
const INSIDE_LAN: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 8, 0, 2));
/// A key of 16 bytes and a salt of 4 (RFC 4106).
const ALGORITHM: &str = "aead rfc4106(gcm(aes)) 0x000102030405060708090a0b0c0d0e0f10111213 128";

/// One end of a tunnel: outer and inner addresses, its own first. `rest` is said of each state and policy.
fn protect(place: &Namespace, [here, there]: [IpAddr; 2], [inner, outer]: [IpAddr; 2], rest: &str) -> Result<()> {
    for (from, to, inner_from, inner_to, direction) in
        [(here, there, inner, outer, "out"), (there, here, outer, inner, "in")]
    {
        // The sender's address says which direction it is at either end.
        let spi = if from == PI4 { "0x1001" } else { "0x1002" };
        let tunnel = format!("src {from} dst {to} proto esp");
        place.run(&format!("ip xfrm state add {tunnel} spi {spi} reqid 1 mode tunnel {ALGORITHM} {rest}"))?;
        place.run(&format!(
            "ip xfrm policy add src {inner_from}/32 dst {inner_to}/32 dir {direction} {rest} tmpl {tunnel} reqid 1 mode tunnel"
        ))?;
    }
    Ok(())
}

/// A LAN host whose tunnel ends at the Pi.
fn tunnelled(rest: &str) -> Result<Lab> {
    let lab = Lab::without_containers()?;
    lab.pi.open_input()?;
    protect(&lab.pi, [PI4, LAN4], [INSIDE_PI, INSIDE_LAN], rest)?;
    protect(&lab.lan, [LAN4, PI4], [INSIDE_LAN, INSIDE_PI], "")?;
    lab.lan.run(&format!("ip address add {INSIDE_LAN}/32 dev lo"))?;
    lab.lan.run(&format!("ip route add {INSIDE_PI}/32 via {PI4} src {INSIDE_LAN}"))?;
    Ok(lab)
}

fn what_this_machine_decrypts_is_known_at_tc_ingress_alone() -> Result<()> {
    let lab = tunnelled("")?;
    lab.pi.run(&format!("ip address add {INSIDE_PI}/32 dev lo"))?;
    lab.pi.run(&format!("ip route add {INSIDE_LAN}/32 via {LAN4} src {INSIDE_PI}"))?;
    let server = lab.pi.serve_udp(9123)?;
    lab.lan.reaches(&server, Transport::Udp, INSIDE_PI, 9123).context("without the filter")?;
    for mode in [Mode::Native, Mode::Generic, Mode::Tc] {
        if mode == Mode::Tc && !has_tcx()? {
            continue;
        }
        let said = lab.fw(&["attach", "eth0", "--mode", &mode.to_string(), "--allow", "22"])?;
        let doctor = lab.fw(&["doctor", "eth0"]).unwrap_or_else(|error| error.to_string());
        let words = match mode {
            Mode::Native => "native mode filters only the encrypted packets",
            Mode::Generic => "generic mode drops decrypted packets",
            Mode::Tc => "decrypted packets pass",
        };
        for said in [&said, &doctor] {
            ensure!(said.contains("IPsec") && said.contains(words), "no {words:?} in {said}");
        }
        lab.is_closed(&server, Transport::Udp, PI4, 9123)?;
        // The Pi begins: its peer's ESP is a reply.
        lab.pi.ping(INSIDE_LAN).with_context(|| format!("{mode} mode: a ping and its answer"))?;
        let reached = || lab.lan.reaches(&server, Transport::Udp, INSIDE_PI, 9123);
        match mode {
            Mode::Native | Mode::Tc => reached().with_context(|| format!("in {mode} mode"))?,
            Mode::Generic => lab.is_closed(&server, Transport::Udp, INSIDE_PI, 9123)?,
        }
        let decrypted = lab.stats("eth0")?.reason("decrypted").packets;
        ensure!((decrypted > 0) == (mode == Mode::Tc), "{decrypted} packets counted as decrypted in {mode} mode");
        let status = lab.fw(&["status"])?;
        ensure!(status.contains("IPsec decrypts") == (mode == Mode::Tc), "{status}");
        lab.fw(&["detach", "eth0"])?;
    }
    Ok(())
}

/// Whether its packets have an Ethernet header at TC depends on what carried them, and a program cannot tell.
fn an_interface_of_ipsec_is_refused_and_named_as_open() -> Result<()> {
    let lab = tunnelled("if_id 7")?;
    lab.pi.run("ip link add xfrm0 type xfrm dev eth0 if_id 7")?;
    lab.pi.run(&format!("ip address add {INSIDE_PI}/24 dev xfrm0"))?;
    lab.pi.run("ip link set xfrm0 up")?;
    let server = lab.pi.serve_udp(9123)?;
    lab.lan.reaches(&server, Transport::Udp, INSIDE_PI, 9123).context("without a filter")?;
    lab.refuses(&["attach", "xfrm0", "--allow", "22"], 1, &["xfrm0", "IPsec has decrypted", "netfilter"])?;
    let said = lab.fw(&["attach", "--all", "--allow", "22", "--allow-proto", "esp"])?;
    ensure!(said.contains("xfrm0 stays open (IPsec: "), "{said}");
    let status = lab.fw(&["status"])?;
    ensure!(status.contains("xfrm0  NOT FILTERED"), "{status}");
    // As it says.
    lab.is_closed(&server, Transport::Udp, PI4, 9123)?;
    lab.lan.reaches(&server, Transport::Udp, INSIDE_PI, 9123).context("with a filter on the cable")
}
