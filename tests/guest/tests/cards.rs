//! The filter on the driver of a network card, where everything else of the lab is on veth.

use anyhow::{Result, ensure};
use fw_guest::cards::Cards;
use fw_tests::{
    lab::{LAN4, Lab, Mode, PI4, PI6, Server, Transport, has_tcx, wait},
    tests,
};

tests! {
    by_itself_attach_takes_the_best_mode_that_the_driver_has;
    what_keeps_the_card_from_native_mode_is_told;
    a_file_that_is_applied_before_the_card_is_up_holds_from_the_first_packet;
}

tests! { in both modes:
    a_closed_port_is_closed_and_an_open_one_open;
}

struct Servers {
    closed: Server,
    open: Server,
}

impl Servers {
    /// Both are reached without the filter.
    fn start(lab: &Lab) -> Result<Self> {
        lab.pi.open_input()?;
        lab.pi.run("ip link set eth0 up")?;
        // A cable that was pulled and plugged again works after a moment.
        wait::until("the cable to work", || Ok(lab.pi.ping(LAN4).ok()))?;
        let servers = Self { closed: lab.pi.serve_tcp(9123)?, open: lab.pi.serve_tcp(80)? };
        for address in [PI4, PI6] {
            lab.lan.reaches(&servers.closed, Transport::Tcp, address, 9123)?;
            lab.lan.reaches(&servers.open, Transport::Tcp, address, 80)?;
        }
        Ok(servers)
    }

    fn are_filtered(&self, lab: &Lab, mode: &str) -> Result<()> {
        ensure!(lab.stats("eth0")?.mode == mode, "{:?}", lab.stats("eth0")?);
        wait::until("the cable to work", || Ok(lab.pi.ping(LAN4).ok()))?;
        for address in [PI4, PI6] {
            lab.is_closed(&self.closed, Transport::Tcp, address, 9123)?;
            lab.lan.reaches(&self.open, Transport::Tcp, address, 80)?;
        }
        // Replies to the Pi's own requests pass.
        let server = lab.lan.serve_udp(5000)?;
        lab.pi.reaches(&server, Transport::Udp, LAN4, 5000)
    }
}

fn a_closed_port_is_closed_and_an_open_one_open(mode: Mode) -> Result<()> {
    let cards = Cards::take()?;
    let lab = cards.lab()?;
    let servers = Servers::start(&lab)?;
    if mode == Mode::Native && !cards.have_native_mode() {
        let refusal = lab.fw_fails(&["attach", "eth0", "--mode", "native", "--allow", "22,80"])?;
        ensure!(refusal.code == 1 && refusal.message.contains("the driver has no native XDP"), "{refusal:?}");
        lab.nothing_is_left_behind()?;
        return lab.lan.reaches(&servers.closed, Transport::Tcp, PI4, 9123);
    }
    lab.attach(mode, "22,80")?;
    servers.are_filtered(&lab, &mode.to_string())?;
    lab.fw(&["detach", "eth0"])?;
    wait::until("the cable to work", || Ok(lab.pi.ping(LAN4).ok()))?;
    lab.lan.reaches(&servers.closed, Transport::Tcp, PI4, 9123)?;
    lab.nothing_is_left_behind()
}

fn by_itself_attach_takes_the_best_mode_that_the_driver_has() -> Result<()> {
    let cards = Cards::take()?;
    let lab = cards.lab()?;
    let servers = Servers::start(&lab)?;
    lab.fw(&["attach", "eth0", "--allow", "22,80"])?;
    let mode = if cards.have_native_mode() { Mode::Native } else { otherwise()? };
    println!("noted: {} runs in {mode} mode", cards.driver());
    servers.are_filtered(&lab, &mode.to_string())
}

/// The mode where the driver has none of its own.
fn otherwise() -> Result<Mode> {
    Ok(if has_tcx()? { Mode::Tc } else { Mode::Generic })
}

/// Other drivers than veth answer with another error, and their own words. The MTU is more than a page of 16 KiB holds.
fn what_keeps_the_card_from_native_mode_is_told() -> Result<()> {
    let cards = Cards::take()?;
    let lab = cards.lab()?;
    if !cards.have_native_mode() {
        let said = lab.fw(&["attach", "eth0", "--allow", "22"])?;
        let mode = format!("{} mode", otherwise()?);
        ensure!(said.contains(&mode) && said.contains("because the driver has no native XDP"), "{said}");
        return Ok(());
    }
    lab.pi.run("ip link set eth0 mtu 30000")?;
    let told = so_large_an_mtu_is_told(&lab);
    lab.pi.run("ip link set eth0 mtu 1500")?;
    told?;
    lab.nothing_is_left_behind()
}

/// The driver takes programs for frames with fragments from 6.3 on, and no kernel of these guests lies between that one and 6.6.
fn so_large_an_mtu_is_told(lab: &Lab) -> Result<()> {
    let said = lab.fw(&["attach", "eth0", "--allow", "22"])?;
    lab.fw(&["detach", "eth0"])?;
    if has_tcx()? {
        ensure!(said.contains("native mode"), "{said}");
        return Ok(());
    }
    let refusal = lab.fw_fails(&["attach", "eth0", "--mode", "native", "--allow", "22"])?;
    for said in [&said, &refusal.message] {
        ensure!(said.contains("the driver refuses native mode") && said.contains("MTU is 30000"), "{said}");
    }
    ensure!(said.contains(&format!("{} mode", otherwise()?)) && refusal.code == 1, "{said}, {refusal:?}");
    Ok(())
}

/// As the service does it at boot.
fn a_file_that_is_applied_before_the_card_is_up_holds_from_the_first_packet() -> Result<()> {
    let cards = Cards::take()?;
    let lab = cards.lab()?;
    let servers = Servers::start(&lab)?;
    lab.pi.run("ip link set eth0 down")?;
    lab.write_file("eth0", "allow = [\"22\", \"80\"]\n")?;
    lab.fw(&["apply", "eth0"])?;
    let before = servers.closed.reached();
    lab.pi.run("ip link set eth0 up")?;
    // Which takes IPv6's addresses along when it goes down.
    lab.pi.run("ip address replace 2001:db8:1::1/64 nodad dev eth0")?;
    wait::until("the cable to work", || Ok(lab.pi.ping(LAN4).ok()))?;
    for address in [PI4, PI6] {
        lab.is_closed(&servers.closed, Transport::Tcp, address, 9123)?;
        lab.lan.reaches(&servers.open, Transport::Tcp, address, 80)?;
    }
    ensure!(servers.closed.reached() == before, "something arrived at a port that the file closes");
    Ok(())
}
