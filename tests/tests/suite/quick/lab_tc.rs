//! Features of TC mode: steps from and to the other modes, a list with other programs, and interfaces without Ethernet headers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::{Context as _, Result, ensure};
use aya::{
    EbpfLoader,
    programs::{ProgramError, links::FdLink},
};
use etherparse::PacketBuilder;
use fw_tests::{
    lab::{
        Lab, Mode, Server,
        client::receives,
        traffic::{OPEN, Traffic},
        tun::Tun,
        wait,
    },
    tests,
};
use fw_user::testing::{OBJECT, object};
use serde_json::Value;

tests! {
    a_filter_steps_to_another_mode_without_a_gap;
    without_a_word_a_filter_in_generic_mode_steps_to_tc;
    a_program_before_the_filter_is_told_of_and_overtaken;
    a_step_that_was_interrupted_is_finished_by_the_next_command;
    a_tun_is_filtered_like_a_cable;
    a_tunnel_of_ipsec_that_ends_here_is_told_of;
}

const FAILED: i32 = 1;

/// How many packets the filter dropped, and the mode that it counts in.
fn counted(lab: &Lab) -> Result<(u64, String)> {
    let stats = lab.stats("eth0")?;
    Ok((stats.dropped_at("udp", 9123), stats.mode))
}

fn is_alone(lab: &Lab, mode: Mode) -> Result<()> {
    let expected: &[&str] = if mode == Mode::Tc { &["fw_ingress_tc"] } else { &[] };
    assert_eq!(lab.tc_ingress()?, expected, "in {mode} mode");
    let has_xdp = lab.pi.run("ip -details link show eth0")?.contains("prog/xdp");
    assert_eq!(has_xdp, mode != Mode::Tc, "in {mode} mode");
    Ok(())
}

fn a_filter_steps_to_another_mode_without_a_gap() -> Result<()> {
    let lab = Lab::without_containers()?;
    let traffic = Traffic::without_filter(&lab)?;
    lab.attach(Mode::Generic, OPEN)?;
    let mut dropped = 0;
    for mode in [Mode::Tc, Mode::Native, Mode::Tc, Mode::Generic, Mode::Tc] {
        traffic.during(|| {
            let said = lab.attach(mode, OPEN)?;
            ensure!(said.contains(&format!("eth0  replaced, {mode} mode")), "{said}");
            Ok(())
        })?;
        is_alone(&lab, mode)?;
        let (now, counted_in) = counted(&lab)?;
        ensure!(now > dropped, "the counters went on from {dropped} at {now}");
        assert_eq!(counted_in, mode.to_string());
        dropped = now;
    }
    let refused = lab.fw_fails(&["attach", "eth0", "--mode", "native", "--allow", OPEN, "--confirm", "60"])?;
    ensure!(refused.code == FAILED && refused.message.contains("a change of mode"), "{}", refused.message);
    lab.fw(&["detach", "eth0"])?;
    lab.nothing_is_left_behind()
}

fn without_a_word_a_filter_in_generic_mode_steps_to_tc() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.attach(Mode::Generic, "22")?;
    lab.fw(&["allow", "80"])?;
    assert_eq!(lab.stats("eth0")?.mode, "generic", "another port is no other mode");
    lab.fw(&["attach", "eth0", "--allow", "22"])?;
    is_alone(&lab, Mode::Tc)
}

fn a_program_before_the_filter_is_told_of_and_overtaken() -> Result<()> {
    let lab = Lab::without_containers()?;
    let traffic = Traffic::without_filter(&lab)?;
    lab.attach(Mode::Tc, OPEN)?;
    let ahead = |count: u32| -> Result<()> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("fw.prom");
        lab.fw(&["metrics", "--textfile", file.to_str().context("a path in UTF-8")?])?;
        let metrics = std::fs::read_to_string(&file)?;
        ensure!(metrics.contains(&format!("fw_programs_ahead{{interface=\"eth0\"}} {count}\n")), "{metrics}");
        Ok(())
    };
    ahead(0)?;
    let (_object, _link) = lab.put_before_the_filter()?;
    assert_eq!(lab.tc_ingress()?, ["fw_egress", "fw_ingress_tc"]);
    let status = lab.fw(&["status"])?;
    for words in ["eth0  active, tc mode", "`fw_egress` (id ", "sees packets first at TC ingress", "fw-user run"] {
        ensure!(status.contains(words), "no {words:?} in {status}");
    }
    let doctor = lab.fw(&["doctor", "eth0"]).unwrap_or_else(|error| error.to_string());
    ensure!(doctor.contains("sees packets first at TC ingress"), "{doctor}");
    ahead(1)?;
    traffic.during(|| lab.attach(Mode::Tc, OPEN).map(drop))?;
    assert_eq!(lab.tc_ingress()?, ["fw_ingress_tc", "fw_egress"]);
    ahead(0)
}

/// The state after a SIGKILL between the two halves of a step: two active programs.
fn a_step_that_was_interrupted_is_finished_by_the_next_command() -> Result<()> {
    let lab = Lab::without_containers()?;
    let traffic = Traffic::without_filter(&lab)?;
    let pin = |name: &str| lab.pin_folder().join(name);
    lab.attach(Mode::Tc, OPEN)?;
    std::fs::rename(pin("ingress-link"), pin("next-link"))?;
    // The link of the filter that was to be replaced.
    let mut object = EbpfLoader::new().btf(None).load(OBJECT)?;
    let program: &mut aya::programs::Xdp = object.program_mut(object::INGRESS).context("the program")?.try_into()?;
    wait::until("the program to be verified", || match program.load() {
        Err(ProgramError::LoadError { io_error, .. }) if io_error.kind() == std::io::ErrorKind::WouldBlock => Ok(None),
        loaded => Ok(Some(loaded?)),
    })?;
    let attach = || program.attach("eth0", aya::programs::XdpMode::Skb).and_then(|id| program.take_link(id));
    FdLink::try_from(lab.pi.enter(attach)?)?.pin(pin("ingress-link"))?;
    drop(object);
    lab.attach(Mode::Tc, OPEN)?;
    is_alone(&lab, Mode::Tc)?;
    ensure!(!pin("next-link").exists(), "the pin is left");
    traffic.is_filtered()?;
    lab.fw(&["detach", "eth0"])?;
    lab.nothing_is_left_behind()
}

const TUN: &str = "tun7";
const HERE4: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
const THERE4: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 2);
const HERE6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 7, 0, 0, 0, 0, 1);
const THERE6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 7, 0, 0, 0, 0, 2);

/// A datagram from the other end of the tun.
fn datagram(is_v4: bool, from: u16, to: u16) -> Result<Vec<u8>> {
    let mut packet = Vec::new();
    let builder = if is_v4 {
        PacketBuilder::ipv4(THERE4.octets(), HERE4.octets(), 64)
    } else {
        PacketBuilder::ipv6(THERE6.octets(), HERE6.octets(), 64)
    };
    builder.udp(from, to).write(&mut packet, b"datagram")?;
    Ok(packet)
}

fn a_tun_is_filtered_like_a_cable() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.pi.open_input()?;
    let tun = Tun::new(&lab.pi, TUN, &["198.51.100.1/24", "2001:db8:7::1/64"])?;
    let (open, closed) = (lab.pi.serve_udp(8080)?, lab.pi.serve_udp(9123)?);
    let arrives = |server: &Server, port: u16, is_v4: bool| -> Result<()> {
        let before = server.reached();
        tun.send(&datagram(is_v4, 40_000, port)?)?;
        server.await_reached(before + 1).with_context(|| format!("{port}, IPv4 {is_v4}"))
    };
    for is_v4 in [true, false] {
        arrives(&open, 8080, is_v4)?;
        arrives(&closed, 9123, is_v4)?;
    }
    lab.refuses(&["attach", TUN, "--mode", "native", "--allow", OPEN], FAILED, &[TUN, "TC mode alone", "--mode tc"])?;
    let said = lab.fw(&["attach", TUN, "--allow", OPEN])?;
    ensure!(said.contains("tun7  attached, tc mode: packets are filtered at TC ingress\n"), "{said}");
    for (count, is_v4) in [(1, true), (2, false)] {
        tun.send(&datagram(is_v4, 40_000, 9123)?)?;
        wait::until("the drop", || Ok((lab.stats(TUN)?.dropped_at("udp", 9123) == count).then_some(())))?;
        arrives(&open, 8080, is_v4)?;
    }
    assert_eq!(closed.reached(), 2, "what was sent without the filter");
    answers_come_home(&lab, &tun)?;
    drops_have_no_ethernet_header(&lab)?;
    let status = lab.fw(&["status"])?;
    ensure!(status.contains("tun7  active, tc mode, replies by tcx"), "{status}");
    lab.fw(&["detach", TUN])?;
    arrives(&closed, 9123, true)?;
    lab.nothing_is_left_behind()
}

/// The Pi gets replies to its requests through the tun, from the requested port and from no other.
fn answers_come_home(lab: &Lab, tun: &Tun) -> Result<()> {
    for (there, is_v4) in [(IpAddr::V4(THERE4), true), (IpAddr::V6(THERE6), false)] {
        let client = lab.pi.udp_socket(0, there)?;
        let port = client.local_addr()?.port();
        client.send_to(b"question", SocketAddr::new(there, 53))?;
        tun.await_packet("the question", |packet| packet.ends_with(b"question"))?;
        tun.send(&datagram(is_v4, 54, port)?)?;
        tun.send(&datagram(is_v4, 53, port)?)?;
        ensure!(receives(&client, wait::PATIENCE)?, "no answer from {there}");
        // The first packet was judged first.
        client.set_nonblocking(true)?;
        ensure!(client.recv_from(&mut [0; 16]).is_err(), "an answer from another port of {there} arrived");
        wait::until("the drop", || Ok((lab.stats(TUN)?.dropped_at("udp", port) == 1).then_some(())))?;
    }
    Ok(())
}

fn drops_have_no_ethernet_header(lab: &Lab) -> Result<()> {
    let lines = lab.fw(&["drops", TUN, "--last", "--json"])?;
    let first: Value = serde_json::from_str(lines.lines().next().context("a drop")?)?;
    for (field, value) in [("source", "198.51.100.2"), ("destination", "198.51.100.1"), ("proto", "udp")] {
        assert_eq!(first[field], value, "{first}");
    }
    assert_eq!((&first["port"], &first["length"], &first["mac"]), (&9123.into(), &36.into(), &Value::Null), "{first}");
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("drops.pcapng");
    let path = file.to_str().context("a path in UTF-8")?;
    lab.fw(&["drops", TUN, "--last", "--pcap", path])?;
    // A packet that was dropped before is explained as dropped.
    let explained = lab.fw(&["explain", "--iface", TUN, "--pcap", path])?;
    ensure!(explained.lines().filter(|line| line.contains("closed-port")).count() >= 2, "{explained}");
    let (by_hand, open) =
        (lab.fw(&["explain", "9123/udp", "--iface", TUN])?, lab.fw(&["explain", "8080/udp", "--iface", TUN])?);
    ensure!(by_hand.contains("closed-port") && open.contains("allowed"), "{by_hand}{open}");
    Ok(())
}

/// Tests in guests show that it passes: this kernel may have no ESP.
fn a_tunnel_of_ipsec_that_ends_here_is_told_of() -> Result<()> {
    let lab = Lab::without_containers()?;
    let policy =
        "policy add src 10.8.0.2/32 dst 10.8.0.1/32 dir in tmpl src 192.0.2.10 dst 192.0.2.1 proto esp mode tunnel";
    let told = |is_there: bool| -> Result<()> {
        let (status, json) = (lab.fw(&["status"])?, lab.fw(&["status", "--json"])?);
        let words = "also    packets that this machine's IPsec decrypts, whatever their port";
        ensure!(status.contains(words) == is_there, "{status}");
        ensure!(json.contains(&format!("\"passes_decrypted\":{is_there}")), "{json}");
        Ok(())
    };
    let said = lab.attach(Mode::Tc, "22")?;
    ensure!(!said.contains("IPsec"), "{said}");
    told(false)?;
    // Of an interface of its own: that one is judged by itself.
    lab.pi.run(&format!("ip xfrm {policy} if_id 7"))?;
    told(false)?;
    lab.pi.run("ip xfrm policy flush")?;
    lab.pi.run(&format!("ip xfrm {policy}"))?;
    told(true)?;
    let said = lab.attach(Mode::Tc, "22")?;
    ensure!(said.contains("note    an IPsec tunnel ends at this machine: decrypted packets pass"), "{said}");
    lab.fw(&["detach", "eth0"])?;
    let doctor = lab.fw(&["doctor", "eth0"]).unwrap_or_else(|error| error.to_string());
    ensure!(doctor.contains("generic mode drops decrypted packets to closed ports"), "{doctor}");
    Ok(())
}
