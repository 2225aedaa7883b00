//! An interface without Ethernet headers whose packets come by the cable, in some protocol of another layer.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::{Context as _, Result, ensure};
use fw_tests::lab::{Lab, Mode, PI4, Transport, client::receives, has_tcx, wait};

/// The Pi's addresses in the tunnel.
pub(super) const PI: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::new(10, 9, 0, 1)), IpAddr::V6(inside(1))];
/// The LAN's.
pub(super) const LAN: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::new(10, 9, 0, 2)), IpAddr::V6(inside(2))];

const fn inside(host: u16) -> Ipv6Addr {
    Ipv6Addr::new(0xfd00, 9, 0, 0, 0, 0, 0, host)
}

/// The tunnel is open without a filter and with one on the cable alone, whose `attach` prints a note. With its own filter it is closed.
pub(super) fn is_filtered_like_a_cable(lab: &Lab, name: &str, note: Option<&str>) -> Result<()> {
    let (closed, open) = (lab.pi.serve_udp(9123)?, lab.pi.serve_udp(8080)?);
    for address in PI {
        lab.lan.reaches(&closed, Transport::Udp, address, 9123).context("without a filter")?;
    }
    let said = lab.attach(Mode::Generic, "22")?;
    ensure!(note.is_none_or(|note| said.contains(note)), "{said}");
    lab.is_closed(&closed, Transport::Udp, PI4, 9123)?;
    lab.lan.reaches(&closed, Transport::Udp, PI[0], 9123).context("with a filter on the cable alone")?;
    if !has_tcx()? {
        return lab.refuses(&["attach", name, "--allow", "22"], 1, &[name, "Linux 6.6"]);
    }
    let said = lab.fw(&["attach", name, "--allow", "22,8080/udp"])?;
    let expected = format!("{name}  attached, tc mode: packets are filtered at TC ingress\n");
    ensure!(said.contains(&expected), "{said}");
    for (there, here) in LAN.into_iter().zip(PI) {
        lab.is_closed_on(name, &closed, Transport::Udp, here, 9123)?;
        lab.lan.reaches(&open, Transport::Udp, here, 8080)?;
        answers_come_home(lab, name, there, here)?;
    }
    let drops = lab.fw(&["drops", name, "--last", "--json"])?;
    let source = format!("\"source\":\"{}\"", LAN[0]);
    ensure!(drops.lines().any(|line| line.contains(&source) && line.contains("9123")), "{drops}");
    lab.fw(&["detach", "--all"])?;
    lab.lan.reaches(&closed, Transport::Udp, PI[0], 9123)?;
    lab.nothing_is_left_behind()
}

/// From the port that was asked, and from no other.
fn answers_come_home(lab: &Lab, name: &str, there: IpAddr, here: IpAddr) -> Result<()> {
    let client = lab.pi.udp_socket(0, there)?;
    let port = client.local_addr()?.port();
    let (asked, other) = (lab.lan.udp_socket(5300, there)?, lab.lan.udp_socket(5301, there)?);
    client.send_to(b"question", SocketAddr::new(there, 5300))?;
    ensure!(receives(&asked, wait::PATIENCE)?, "the question does not arrive");
    other.send_to(b"knock", SocketAddr::new(here, port))?;
    wait::until("the drop", || Ok((lab.stats(name)?.dropped_at("udp", port) == 1).then_some(())))?;
    asked.send_to(b"answer", SocketAddr::new(here, port))?;
    let mut words = [0; 16];
    let (length, _) = client.recv_from(&mut words).context("the answer")?;
    ensure!(&words[..length] == b"answer", "{:?} came in", &words[..length]);
    Ok(())
}
