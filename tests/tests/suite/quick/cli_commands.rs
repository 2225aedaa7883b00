//! Each command: what it does, what it says, and the JSON that programs read.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result};
use fw_tests::{
    lab::{
        Lab, Mode, PI4, PI6,
        client::WORDS,
        stats::{Changes, Count, PortStats, Stats, Status},
    },
    tests,
};
use serde::de::DeserializeOwned;

tests! { in every mode:
    attach_says_what_a_person_wants_to_know;
    attach_and_status_agree_in_json;
    stats_count_exactly_what_was_sent;
}

tests! { in native mode:
    allow_and_deny_say_what_is_open_now;
}

tests! { in generic mode:
    detach_names_what_it_took_off;
    stats_survive_another_attach;
}

tests! {
    names_and_ranges_and_networks_are_understood;
    stats_in_words_name_reasons_and_ports;
    every_command_explains_itself;
    a_name_that_is_given_twice_counts_once;
}

fn json<T: DeserializeOwned>(lab: &Lab, args: &[&str]) -> Result<T> {
    let text = lab.fw(args)?;
    assert_eq!(text.lines().count(), 1, "one JSON value on a line of its own");
    serde_json::from_str(&text).with_context(|| format!("{args:?} printed {text}"))
}

fn attach_says_what_a_person_wants_to_know(mode: Mode) -> Result<()> {
    let lab = Lab::without_containers()?;
    let said = lab.attach(mode, "22,80,443")?;
    for words in [
        "eth0",
        "attached",
        &format!("{mode} mode"),
        "22, 80, 443",
        "Docker",
        "mDNS",
        "fw-user allow mdns",
        "fw-user enable eth0",
    ] {
        assert!(said.contains(words), "attach does not mention {words:?}: {said}");
    }
    let said = lab.attach(mode, "22,mdns")?;
    assert!(said.contains("replaced") && said.contains("22, 5353"), "{said}");
    assert!(!said.contains("mDNS is closed"), "mDNS is open now: {said}");
    Ok(())
}

fn attach_and_status_agree_in_json(mode: Mode) -> Result<()> {
    let lab = Lab::without_containers()?;
    let empty: Status = json(&lab, &["status", "--json"])?;
    let Status { interfaces: none, unfiltered: open, map_memory: 0, flow_capacity: None, bans: Some(0) } = empty else {
        panic!("{empty:?}");
    };
    assert!(none.is_empty() && open.len() == 1 && open[0].name == "eth0", "{none:?} {open:?}");
    let mode = mode.to_string();
    let attach = ["attach", "eth0", "--allow", "22/tcp,6000-6010/udp", "--mode", &mode, "--allow-proto", "gre,50"];
    let attach = [&attach[..], &["--forward", "pass", "--flows", "2048", "--json"]].concat();
    let Changes { interfaces, .. } = json(&lab, &attach)?;
    let Status { interfaces: status, unfiltered, map_memory, flow_capacity, bans: _ } =
        json(&lab, &["status", "--json"])?;
    let ([attached], [status]) = (&interfaces[..], &status[..]) else { panic!("{interfaces:?} {status:?}") };
    assert_eq!((&*attached.name, attached.mode.as_deref(), attached.replaced), ("eth0", Some(&*mode), Some(false)));
    assert_eq!(attached.policy.allow, ["22/tcp", "6000-6010/udp"]);
    assert_eq!(attached.policy.allow_proto, ["gre", "esp"]);
    assert_eq!(attached.policy.forward, "pass");
    assert_eq!((&*status.name, &*status.state, &status.mode), ("eth0", "active", &mode));
    assert!(["tcx", "clsact"].contains(&&*status.egress), "{status:?}");
    assert_eq!(status.policy, attached.policy);
    assert_eq!(status.uid, 0);
    assert_eq!(flow_capacity, Some(2048));
    assert!(map_memory > status.map_memory && status.map_memory > 0);
    assert!(unfiltered.is_empty(), "{unfiltered:?}");
    let before = status.clone();
    let Changes { interfaces, .. } = json(&lab, &["attach", "eth0", "--allow", "22", "--json"])?;
    assert_eq!(interfaces[0].replaced, Some(true));
    let Status { interfaces: status, .. } = json(&lab, &["status", "--json"])?;
    assert_eq!(status[0].since, before.since, "it is attached since the first time");
    assert_eq!(status[0].policy.allow, ["22/tcp", "22/udp"]);
    assert_eq!(status[0].policy.forward, "drop");
    let attach =
        ["attach", "eth0", "--allow", "22", "--forward", "2001:db8:5::/64,10.8.0.128/25,10.8.0.0/25", "--json"];
    let Changes { interfaces, .. } = json(&lab, &attach)?;
    assert_eq!(interfaces[0].policy.forward, serde_json::json!(["10.8.0.0/24", "2001:db8:5::/64"]));
    let Status { interfaces: status, .. } = json(&lab, &["status", "--json"])?;
    assert_eq!(status[0].policy, interfaces[0].policy);
    let router = "router  every packet that is routed on to 10.8.0.0/24, 2001:db8:5::/64 passes, whatever its port";
    assert!(lab.fw(&["status"])?.contains(router));
    assert!(lab.fw(&attach[..attach.len() - 1])?.contains(router));
    Ok(())
}

fn allow_and_deny_say_what_is_open_now(mode: Mode) -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.attach(mode, "22/tcp")?;
    let said = lab.fw(&["allow", "8080/tcp", "5353/udp,6000-6002/tcp"])?;
    assert_eq!(said.trim_end(), "eth0  open: 22/tcp, 5353/udp, 6000-6002/tcp, 8080/tcp");
    let said = lab.fw(&["allow", "8080/tcp"])?;
    assert!(said.contains("as before"), "{said}");
    let Changes { interfaces, .. } = json(&lab, &["deny", "6001/tcp", "5353", "--json"])?;
    let [changed] = &interfaces[..] else { panic!("{interfaces:?}") };
    assert_eq!((&*changed.name, changed.changed), ("eth0", Some(true)));
    assert_eq!(changed.policy.allow, ["22/tcp", "6000/tcp", "6002/tcp", "8080/tcp"]);
    let Changes { interfaces, .. } = json(&lab, &["allow", "22/tcp", "--interface", "eth0", "--json"])?;
    assert_eq!(interfaces[0].changed, Some(false));
    assert_eq!(interfaces[0].policy.allow, changed.policy.allow);
    Ok(())
}

fn detach_names_what_it_took_off(mode: Mode) -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.attach(mode, "22")?;
    let said = lab.fw(&["detach", "eth0"])?;
    assert!(said.starts_with("eth0  detached"), "{said}");
    lab.attach(mode, "22")?;
    let gone: serde_json::Value = json(&lab, &["detach", "--all", "--json"])?;
    assert_eq!(gone, serde_json::json!({"detached": ["eth0"]}));
    let said = lab.fw(&["detach", "--all"])?;
    assert!(said.contains("not attached"), "{said}");
    lab.nothing_is_left_behind()
}

/// Bytes of a frame that carries a UDP payload.
fn frame(address: IpAddr, payload: usize) -> u64 {
    let ip = if address.is_ipv4() { 20 } else { 40 };
    (14 + ip + 8 + payload) as u64
}

fn stats_count_exactly_what_was_sent(mode: Mode) -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.pi.open_input()?;
    let server = lab.pi.serve_udp(5000)?;
    lab.attach(mode, "22/tcp,5000/udp@192.0.2.0/24")?;
    for count in 1..=3 {
        lab.lan.echo_udp(SocketAddr::new(PI4, 5000))?;
        server.await_reached(count)?;
    }
    for payload in 0..7 {
        lab.lan.send_udp_from(0, SocketAddr::new(PI4, 9125), &vec![b'x'; payload])?;
        lab.lan.send_udp_from(0, SocketAddr::new(PI6, 9125), &vec![b'x'; payload])?;
        lab.lan.send_udp_from(0, SocketAddr::new(PI6, 5000), &vec![b'x'; payload])?;
    }
    let bytes = (0..7).map(|payload| frame(PI4, payload) + 2 * frame(PI6, payload)).sum();
    let stats = lab.await_stats("21 drops", |stats| stats.dropped.packets >= 21)?;
    assert_eq!(stats.reason("closed-port"), Count { packets: 21, bytes });
    assert_eq!(stats.dropped, Count { packets: 21, bytes }, "nothing else was dropped");
    assert_eq!(stats.reason("allowed"), Count { packets: 3, bytes: 3 * frame(PI4, WORDS.len()) });
    let sum = |names: &[&str]| {
        names.iter().map(|name| stats.reason(name)).fold(Count::default(), |sum, count| Count {
            packets: sum.packets + count.packets,
            bytes: sum.bytes + count.bytes,
        })
    };
    // ARP, neighbour discovery and the like go on all the time, and are counted too.
    assert_eq!(stats.passed, sum(&["allowed", "not-ip", "protocol"]));
    assert_eq!(stats.reasons.keys().filter(|name| !["not-ip", "protocol"].contains(&&***name)).count(), 2);
    let ports: Vec<_> = stats
        .ports
        .iter()
        .map(|port| {
            let PortStats { proto, port, allowed, passed, dropped } = port;
            (&**proto, *port, *allowed, *passed, *dropped)
        })
        .collect();
    assert_eq!(ports, [("tcp", 22, true, 0, 0), ("udp", 5000, true, 3, 7), ("udp", 9125, false, 0, 14)]);
    assert_eq!(stats.flows, 0, "answers of an allowed service are not recorded");
    Ok(())
}

fn stats_survive_another_attach(mode: Mode) -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.attach(mode, "22")?;
    lab.lan.send_udp_from(0, SocketAddr::new(PI4, 9125), b"x")?;
    lab.await_stats("a drop", |stats| stats.dropped_at("udp", 9125) == 1)?;
    lab.attach(mode, "22,80")?;
    assert_eq!(lab.stats("eth0")?.dropped_at("udp", 9125), 1);
    lab.fw(&["detach", "eth0"])?;
    lab.attach(mode, "22")?;
    assert_eq!(lab.stats("eth0")?.dropped_at("udp", 9125), 0, "a new filter counts from zero");
    Ok(())
}

fn names_and_ranges_and_networks_are_understood() -> Result<()> {
    let lab = Lab::without_containers()?;
    // Rules as typed, and as in `status --json`.
    let cases: [(&str, &[&str]); 7] = [
        ("22", &["22/tcp", "22/udp"]),
        ("ssh/tcp,https/tcp,mdns", &["22/tcp", "443/tcp", "5353/udp"]),
        ("1-65535", &["1-65535/tcp", "1-65535/udp"]),
        ("65535/sctp,1/dccp,7/udplite", &["65535/sctp", "1/dccp", "7/udplite"]),
        ("22/tcp@192.168.1.0/24", &["22/tcp@192.168.1.0/24"]),
        ("443/tcp@[2001:db8::]/32", &["443/tcp@[2001:db8::]/32"]),
        ("80/tcp,81/tcp,81-90/tcp", &["80-90/tcp"]),
    ];
    for (typed, understood) in cases {
        lab.attach(Mode::Native, typed)?;
        let Status { interfaces, .. } = json(&lab, &["status", "--json"])?;
        let mut allow = interfaces[0].policy.allow.clone();
        let mut understood = understood.to_vec();
        allow.sort_unstable();
        understood.sort_unstable();
        assert_eq!(allow, understood, "{typed}");
        // Its output can be typed again.
        let said = lab.fw(&["allow", &allow.join(",")])?;
        assert!(said.contains("as before"), "{typed}: {said}");
    }
    Ok(())
}

fn stats_in_words_name_reasons_and_ports() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.attach(Mode::Native, "22,80")?;
    lab.lan.send_udp_from(0, SocketAddr::new(PI4, 9125), b"x")?;
    lab.await_stats("a drop", |stats| stats.dropped_at("udp", 9125) == 1)?;
    for args in [&["stats"][..], &["stats", "--once"], &["stats", "eth0"]] {
        let said = lab.fw(args)?;
        for words in ["eth0", "native mode", "closed-port", "9125/udp", "closed"] {
            assert!(said.contains(words), "{args:?} does not mention {words:?}: {said}");
        }
    }
    let said = lab.fw(&["status"])?;
    for words in ["eth0", "active", "native mode", "22, 80", "root"] {
        assert!(said.contains(words), "status does not mention {words:?}: {said}");
    }
    let Stats { interfaces } = json(&lab, &["stats", "--json"])?;
    assert_eq!(interfaces.len(), 1);
    Ok(())
}

fn every_command_explains_itself() -> Result<()> {
    let lab = Lab::without_containers()?;
    for verb in ["attach", "detach", "allow", "deny", "status", "stats"] {
        let said = lab.fw(&[verb, "--help"])?;
        assert!(said.contains(&format!("fw-user {verb}")) && said.contains("--json"), "{said}");
    }
    for verb in ["attach", "allow", "deny"] {
        let said = lab.fw(&[verb, "--help"])?;
        assert!(said.contains("PORT[-PORT][/PROTO][@NETWORK]"), "{said}");
        assert_eq!(lab.fw(&["help", verb])?, said);
    }
    let said = lab.fw(&["help"])?;
    assert_eq!(lab.fw(&["--help"])?, said);
    for words in [
        "Exit codes: 0 done, 1 failed and nothing changed, 2 usage, 3 ",
        "4 privilege",
        "5 changed in part",
        "detach --all",
    ] {
        assert!(said.contains(words), "{said}");
    }
    assert!(lab.fw(&["--version"])?.starts_with("fw-user "));
    Ok(())
}

fn a_name_that_is_given_twice_counts_once() -> Result<()> {
    let lab = Lab::without_containers()?;
    let said = lab.fw(&["attach", "eth0", "eth0", "--allow", "22"])?;
    assert_eq!(said.matches("eth0  attached").count(), 1, "{said}");
    let Changes { interfaces, .. } =
        json(&lab, &["allow", "80", "--interface", "eth0", "--interface", "eth0", "--json"])?;
    assert_eq!(interfaces.len(), 1, "{interfaces:?}");
    let said = lab.fw(&["detach", "eth0", "eth0"])?;
    assert_eq!(said.lines().count(), 1, "{said}");
    Ok(())
}
