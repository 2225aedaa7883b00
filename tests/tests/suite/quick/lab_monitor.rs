//! Looking before closing: everything is judged and counted, nothing dropped, and one write ends that.

use anyhow::{Result, ensure};
use fw_tests::{
    lab::{
        Lab, Mode, PI4, PI6, Server, Transport,
        netfilter::CLOSED_TARGET,
        stats::{Changes, Status},
    },
    tests,
};

tests! { in tc mode:
    monitoring_counts_what_would_drop_and_drops_nothing;
}

tests! { in native mode:
    monitoring_counts_what_would_drop_and_drops_nothing;
    enforcing_and_monitoring_switch_at_once_and_change_nothing_else;
    attaching_again_without_monitor_enforces;
}

tests! { in generic mode:
    changes_of_ports_leave_it_monitoring;
}

tests! {
    several_interfaces_switch_together_or_alone;
    everybody_is_told_loudly;
}

/// A filter that only monitors, and what the container serves at the published port that nobody allowed.
fn monitored(mode: Mode) -> Result<(Lab, Server)> {
    let lab = Lab::new()?;
    let server = lab.container(0).serve_tcp(CLOSED_TARGET)?;
    lab.fw(&["attach", "eth0", "--mode", &mode.to_string(), "--allow", "22,80", "--monitor"])?;
    Ok((lab, server))
}

fn monitoring_counts_what_would_drop_and_drops_nothing(mode: Mode) -> Result<()> {
    let (lab, server) = monitored(mode)?;
    for address in [PI4, PI6] {
        lab.lan.reaches(&server, Transport::Tcp, address, 9125)?;
    }
    let stats = lab.stats("eth0")?;
    ensure!(stats.monitor && stats.dropped_at("tcp", 9125) >= 2, "{stats:?}");
    ensure!(stats.reason("closed-port").packets == stats.dropped.packets, "{stats:?}");
    Ok(())
}

fn enforcing_and_monitoring_switch_at_once_and_change_nothing_else(mode: Mode) -> Result<()> {
    let (lab, server) = monitored(mode)?;
    lab.lan.reaches(&server, Transport::Tcp, PI4, 9125)?;
    let before: Status = serde_json::from_str(&lab.fw(&["status", "--json"])?)?;
    let said = lab.fw(&["enforce"])?;
    ensure!(said == "eth0  enforcing: everything that is not allowed is dropped\n", "{said}");
    lab.is_closed(&server, Transport::Tcp, PI4, 9125)?;
    ensure!(lab.fw(&["enforce"])?.contains("(as before)"));
    let mut enforcing: Status = serde_json::from_str(&lab.fw(&["status", "--json"])?)?;
    ensure!(!enforcing.interfaces[0].monitor, "{enforcing:?}");
    enforcing.interfaces[0].monitor = true;
    assert_eq!(enforcing, before, "nothing else changed");
    lab.fw(&["monitor", "eth0"])?;
    lab.lan.reaches(&server, Transport::Tcp, PI4, 9125)
}

fn changes_of_ports_leave_it_monitoring(mode: Mode) -> Result<()> {
    let (lab, server) = monitored(mode)?;
    lab.fw(&["allow", "9125"])?;
    lab.fw(&["deny", "9125"])?;
    lab.lan.reaches(&server, Transport::Tcp, PI4, 9125)?;
    lab.fw(&["enforce"])?;
    lab.fw(&["allow", "9125"])?;
    lab.lan.reaches(&server, Transport::Tcp, PI4, 9125)?;
    lab.fw(&["deny", "9125"])?;
    lab.is_closed(&server, Transport::Tcp, PI4, 9125)
}

fn attaching_again_without_monitor_enforces(mode: Mode) -> Result<()> {
    let (lab, server) = monitored(mode)?;
    lab.lan.reaches(&server, Transport::Tcp, PI4, 9125)?;
    lab.attach(mode, "22,80")?;
    lab.is_closed(&server, Transport::Tcp, PI4, 9125)?;
    lab.fw(&["attach", "eth0", "--allow", "22,80", "--monitor"])?;
    lab.lan.reaches(&server, Transport::Tcp, PI4, 9125)
}

/// Name, `monitor` and `changed` of an interface.
type Outcome = (String, Option<bool>, Option<bool>);

fn several_interfaces_switch_together_or_alone() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.add_second_lan()?;
    lab.fw(&["attach", "eth0", "eth1", "--allow", "22", "--monitor"])?;
    let switch = |args: &[&str]| -> Result<Vec<Outcome>> {
        let answer: serde_json::Value = serde_json::from_str(&lab.fw(args)?)?;
        let interfaces = answer["interfaces"].as_array().cloned().unwrap_or_default();
        let facts = |one: &serde_json::Value| {
            (one["name"].as_str().unwrap_or_default().to_owned(), one["monitor"].as_bool(), one["changed"].as_bool())
        };
        Ok(interfaces.iter().map(facts).collect())
    };
    let outcome = |name: &str, monitor, changed| (name.to_owned(), Some(monitor), Some(changed));
    assert_eq!(switch(&["enforce", "eth1", "--json"])?, [outcome("eth1", false, true)]);
    assert_eq!(switch(&["enforce", "--json"])?, [outcome("eth0", false, true), outcome("eth1", false, false)]);
    assert_eq!(switch(&["monitor", "--json"])?, [outcome("eth0", true, true), outcome("eth1", true, true)]);
    lab.refuses(&["enforce", "eth7"], 1, &["eth7", "fw-user status"])
}

fn everybody_is_told_loudly() -> Result<()> {
    let lab = Lab::without_containers()?;
    let server = lab.pi.serve_udp(22)?;
    let attached = lab.fw(&["attach", "eth0", "--allow", "22", "--monitor"])?;
    ensure!(!attached.contains("closed  every"), "nothing is closed: {attached}");
    lab.lan.reaches(&server, Transport::Udp, PI4, 22)?;
    lab.lan.send_udp_from(0, std::net::SocketAddr::new(PI4, 9125), b"x")?;
    lab.await_stats("what would drop", |stats| stats.dropped_at("udp", 9125) == 1)?;
    let stats = lab.fw(&["stats"])?;
    for said in [&attached, &stats, &lab.fw(&["status"])?, &lab.fw(&["monitor"])?] {
        ensure!(said.contains("MONITOR ONLY") && said.contains("fw-user enforce"), "{said}");
    }
    ensure!(stats.contains("would drop") && !stats.contains("dropped  "), "{stats}");
    let Changes { interfaces, .. } =
        serde_json::from_str(&lab.fw(&["attach", "eth0", "--allow", "22", "--monitor", "--json"])?)?;
    assert_eq!(interfaces[0].monitor, Some(true));
    lab.fw(&["enforce"])?;
    for said in [lab.fw(&["stats"])?, lab.fw(&["status"])?] {
        ensure!(!said.contains("MONITOR"), "{said}");
    }
    Ok(())
}
