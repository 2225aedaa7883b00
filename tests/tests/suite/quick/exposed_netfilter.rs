//! `fw-user exposed`: what nftables does with what reaches each port, held against what the LAN gets.

use anyhow::{Context, Result, ensure};
use fw_tests::{
    lab::{Lab, PI4, Transport, command},
    tests,
};

use super::exposed::{Exposed, row, text};

tests! {
    what_nftables_does_is_told_beside_each_port;
}

/// Without a filter, its words on nftables match what the LAN gets.
fn what_nftables_does_is_told_beside_each_port() -> Result<()> {
    let lab = Lab::without_containers()?;
    let mut servers = Vec::new();
    for port in [22, 8000, 9123, 9124, 9125] {
        servers.push((port, lab.pi.serve_tcp(port)?));
    }
    lab.pi.nft(
        "table inet filter {
            chain input {
                tcp dport 8000-8010 jump some
                ip saddr 192.0.2.10 tcp dport 9124 accept
            }
            chain some { accept; }
        }
        table ip6 more {
            chain in { type filter hook input priority 10; tcp dport 22 drop; }
        }",
    )?;
    let exposed = Exposed::of(&lab)?;
    assert_eq!((exposed.netfilter.state.as_str(), &exposed.netfilter.why), ("read", &None));
    for (port, netfilter, is_reached) in [
        (22, "ipv4 accepted", true),
        (8000, "accepted", true),
        (9123, "dropped", false),
        // By this sender, whom nobody named.
        (9124, "unknown", true),
        (9125, "dropped", false),
    ] {
        let said = exposed.at("tcp", port)?;
        assert_eq!((said.netfilter.as_deref(), said.state.as_str()), (Some(netfilter), "open"), "{port}");
        let server = &servers.iter().find(|(at, _)| *at == port).context("it is served")?.1;
        if is_reached {
            lab.lan.reaches(server, Transport::Tcp, PI4, port)?;
        } else {
            lab.is_refused_by_input(server, Transport::Tcp, PI4, port)?;
        }
    }
    let said = text(&lab, &[])?;
    ensure!(row(&said, "9123/tcp")?.starts_with("9123/tcp open nftables drops it "), "{said}");
    ensure!(row(&said, "8000/tcp")?.starts_with("8000/tcp open nftables lets it in "), "{said}");
    ensure!(row(&said, "22/tcp")?.starts_with("22/tcp open nftables lets only IPv4 in "), "{said}");
    lab.pi.run("nft flush ruleset")?;
    let exposed = Exposed::of(&lab)?;
    assert_eq!((exposed.netfilter.state.as_str(), &exposed.at("tcp", 22)?.netfilter), ("no rules", &None));
    ensure!(!text(&lab, &[])?.contains("netfilter"));
    // Without nft nobody knows.
    let mut command = lab.pi.command("env");
    lab.fw.finish(command.arg("PATH=/nowhere").arg(lab.fw.program()), ["exposed"]);
    let said = command::run(&mut command)?;
    ensure!(said.contains("cannot tell what netfilter drops behind the filter: nft cannot be started"), "{said}");
    Ok(())
}
