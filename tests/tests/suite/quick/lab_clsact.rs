//! Kernels before 6.6 have no TCX: what leaves is seen by a filter of the clsact qdisc, which others use as well, and take away.

use anyhow::{Context, Result, ensure};
use fw_common::{grammar::Rule, policy::Policy};
use fw_tests::{
    lab::{LAN4, LAN6, Lab, Transport},
    tests,
};
use fw_user::testing::{
    attachment, egress::Hook, ingress::ModeChoice, interface, pins::Pins, plan::Plan, policy_map::Terms,
};

tests! {
    a_clsact_filter_that_somebody_took_away_is_missed_and_put_back;
    a_filter_in_the_place_of_ours_is_named_and_left;
}

/// Attach as on a kernel without TCX, whatever this one has.
fn attach(lab: &Lab) -> Result<()> {
    let rules = ["22/tcp", "22/udp"].map(str::parse::<Rule>).into_iter().collect::<Result<Vec<_>, _>>()?;
    let plan = Plan {
        policy: Policy::new(rules),
        terms: Terms::default(),
        mode: ModeChoice::Auto,
        flows: None,
        replies: true,
        hook: Hook::Clsact,
        debug: false,
        replace: false,
        arrival: None,
    };
    let pins = Pins::new(lab.fw.bpffs());
    lab.pi.enter(|| {
        let interface = interface::present("eth0")?.context("the lab's interface")?;
        attachment::check(&pins, &interface, &plan)?;
        attachment::attach(&pins, &interface, &plan)?;
        Ok(())
    })
}

/// Answers to what the Pi asks come in.
fn replies_come_in(lab: &Lab) -> Result<()> {
    let server = lab.lan.serve_tcp(5000)?;
    [LAN4, LAN6].into_iter().try_for_each(|lan| lab.pi.reaches(&server, Transport::Tcp, lan, 5000).map(drop))
}

fn a_clsact_filter_that_somebody_took_away_is_missed_and_put_back() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.write_file("eth0", "allow = [\"22\"]\n")?;
    for (qdisc_is_ours, took_away) in [
        (true, "tc filter delete dev eth0 egress"),
        (true, "tc qdisc delete dev eth0 clsact"),
        (false, "tc filter delete dev eth0 egress"),
    ] {
        let work = || -> Result<()> {
            if !qdisc_is_ours {
                lab.pi.run("tc qdisc add dev eth0 clsact")?;
            }
            attach(&lab)?;
            replies_come_in(&lab)?;
            let status = lab.fw(&["status"])?;
            ensure!(status.contains("eth0  active, ") && status.contains("replies by clsact"), "{status}");
            ensure!(!status.contains("wrong"), "{status}");
            lab.pi.run(took_away)?;
            let status = lab.fw(&["status"])?;
            let missed = "the clsact filter of eth0: it is missing";
            ensure!(status.contains("eth0  active, but damaged") && status.contains(missed), "{status}");
            let doctor = lab.fw.command(&lab.pi, ["doctor", "eth0"]).output()?;
            let said = String::from_utf8(doctor.stdout)?;
            ensure!(doctor.status.code() == Some(1) && said.contains(missed), "{said}");
            // The file says what is in force, and yet there is something to do.
            lab.fw(&["apply"])?;
            let status = lab.fw(&["status"])?;
            ensure!(status.contains("replies by clsact") && !status.contains("wrong"), "{status}");
            replies_come_in(&lab)?;
            lab.fw(&["detach", "eth0"])?;
            if !qdisc_is_ours {
                ensure!(lab.pi.run("tc qdisc show dev eth0")?.contains("clsact"), "somebody else's qdisc is gone");
                lab.pi.run("tc qdisc delete dev eth0 clsact")?;
            }
            lab.nothing_is_left_behind()
        };
        work()
            .with_context(|| format!("{took_away}, the qdisc is {}", if qdisc_is_ours { "ours" } else { "theirs" }))?;
    }
    Ok(())
}

/// The kernel has filters of one kind and one protocol at each priority, and ours has to be the first.
fn a_filter_in_the_place_of_ours_is_named_and_left() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.pi.run("tc qdisc add dev eth0 clsact")?;
    let filters = || lab.pi.run("tc filter show dev eth0 egress");
    lab.pi.run("tc filter add dev eth0 egress priority 1 protocol all u32 match u32 0 0")?;
    let before = filters()?;
    let refusal = attach(&lab).err().context("attached over another filter")?.to_string();
    for words in ["eth0", "u32 filter has priority 1", "tc filter show dev eth0 egress", "another priority"] {
        ensure!(refusal.contains(words), "no {words:?} in {refusal}");
    }
    ensure!(filters()? == before, "{}", filters()?);
    ensure!(lab.fw.pins()?.is_empty() && !lab.pi.run("ip link show eth0")?.contains("xdp"), "something is left");
    // As the message says.
    lab.pi.run("tc filter delete dev eth0 egress")?;
    lab.pi.run("tc filter add dev eth0 egress priority 2 protocol all u32 match u32 0 0")?;
    let before = filters()?;
    attach(&lab)?;
    replies_come_in(&lab)?;
    lab.fw(&["detach", "eth0"])?;
    ensure!(filters()? == before, "{}", filters()?);
    Ok(())
}
