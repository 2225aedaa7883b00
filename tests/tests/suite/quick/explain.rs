//! `fw-user explain`: what it says is what the wire gets, and asking changes nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::SocketAddr,
    time::Instant,
};

use anyhow::{Context, Result, ensure};
use aya::{
    Ebpf, EbpfLoader,
    maps::{HashMap, Map, MapData},
    programs::{
        ProgramError, Xdp,
        links::{FdLink, PinnedLink},
        xdp::XdpLink,
    },
};
use fw_common::{
    PortProtocol, Verdict,
    abi::map,
    flow::{FlowEntry, FlowKey4, SECOND},
};
use fw_tests::{
    cases,
    lab::{
        LAN4, LAN6, Lab, Mode, PI4, PI6, container4,
        dropped::Drops,
        explained::{Explained, write_pcap},
        wait,
        wire_world::{Change, WireWorld, fits_a_wire},
    },
    packet::{eth, hex},
    row::Row,
    tests,
};
use fw_user::testing::{counters::Counters, object, pins::Pins, plain::Plain, sources};

tests! {
    packets_of_every_kind_are_explained_as_the_wire_judges_them;
    an_answer_is_explained_without_prolonging_what_it_answers;
    asking_counts_nothing;
    the_rule_that_lets_a_packet_in_is_named;
    who_listens_is_named_also_behind_a_closed_port;
    typing_the_fix_opens_the_port_to_the_sender;
    typing_the_fix_lets_a_protocol_in_and_keeps_all_else;
    typing_the_fix_lets_packets_through_a_router;
    a_packet_comes_from_the_network_of_the_interface_unless_told_otherwise;
    a_port_of_a_bridge_is_asked_for_the_address_of_the_bridge;
    monitoring_and_trials_are_told;
    one_of_several_interfaces_must_be_named;
    the_filter_of_another_build_is_not_spoken_for;
    what_makes_no_packet_is_refused;
    people_read_a_few_lines;
}

const FAILED: i32 = 1;
const USAGE: i32 = 2;

/// Rows of the table that one attachment can judge one after the other.
fn rows_by_policy() -> Vec<Vec<Row>> {
    let mut rows: Vec<Row> =
        cases::all().into_iter().filter(|row| fits_a_wire(row) && row.earlier.is_empty()).collect();
    let key = |row: &Row| (row.routing, format!("{:?}", row.policy));
    rows.sort_by_key(key);
    rows.chunk_by(|one, other| key(one) == key(other)).map(<[Row]>::to_vec).collect()
}

/// Each reason that a packet can have by itself occurs; answers have a test of their own.
fn packets_of_every_kind_are_explained_as_the_wire_judges_them() -> Result<()> {
    const A_GROUP: usize = 12;
    let mut world = WireWorld::new(Mode::Native)?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("rows.pcap");
    let mut seen = BTreeSet::new();
    let (mut count, mut routing) = (0, None);
    for mut rows in rows_by_policy() {
        // One of each reason, then another of each.
        let mut occurrences = BTreeMap::new();
        rows.sort_by_cached_key(|row| {
            let occurrence = occurrences.entry(row.reason).or_insert(0);
            *occurrence += 1;
            *occurrence
        });
        rows.truncate(A_GROUP);
        if count > 100 && rows.iter().all(|row| seen.contains(row.reason.name())) {
            continue;
        }
        // Routes are remembered for a second.
        if routing != Some(rows[0].routing) {
            world.set_routing(rows[0].routing)?;
            world.attach_anew()?;
            routing = Some(rows[0].routing);
        }
        world.put_in_force(&rows[0].policy).with_context(|| format!("the policy of {:?}", rows[0].name))?;
        write_pcap(&file, &rows.iter().map(|row| row.frame.clone()).collect::<Vec<_>>())?;
        let before = world.counters()?;
        let path = file.to_str().context("a path in UTF-8")?;
        let said = Explained::read(&world.fw(&["explain", "--pcap", path, "--json"])?)?;
        ensure!(said.len() == rows.len(), "{} of {} packets were explained", said.len(), rows.len());
        let mut last = world.counters()?;
        ensure!(Change::between(&before, &last).reasons.is_empty(), "explaining counted something");
        for (row, said) in rows.iter().zip(said) {
            let now = world.deliver(&row.frame, &last)?;
            let Change { reasons, .. } = Change::between(&last, &now);
            let [(reason, 1, _)] = reasons.as_slice() else { anyhow::bail!("{}: counted {reasons:?}", row.name) };
            ensure!(
                said.reason.as_deref() == Some(reason.name()),
                "{}: the wire says {reason}, and {said:?}",
                row.name
            );
            ensure!(said.length == row.frame.len(), "{}: {said:?}", row.name);
            let dropped = |counters: &Counters| counters.total(Verdict::Drop).packets;
            let verdict = if dropped(&now) > dropped(&last) { "drop" } else { "pass" };
            ensure!(said.verdict.as_deref() == Some(verdict), "{}: the wire says {verdict}, and {said:?}", row.name);
            seen.insert(row.reason.name());
            last = now;
            count += 1;
        }
    }
    // What is limited depends on the packets before, as a reply does.
    let is_missing = |name: &&str| !seen.contains(name) && !["reply", "limited"].contains(name);
    let missing: Vec<&str> = cases::reasons().map(fw_common::Reason::name).filter(is_missing).collect();
    ensure!(missing.is_empty() && count > 100, "{count} rows, and none of {missing:?}");
    Ok(())
}

fn explain(lab: &Lab, args: &[&str]) -> Result<Explained> {
    let args: Vec<&str> = ["explain"].iter().chain(args).chain(&["--json"]).copied().collect();
    let mut said = Explained::read(&lab.fw(&args)?)?;
    ensure!(said.len() == 1, "{args:?} printed {said:?}");
    Ok(said.remove(0))
}

type Flows = HashMap<MapData, Plain<FlowKey4>, Plain<FlowEntry>>;

fn flows(lab: &Lab) -> Result<Flows> {
    let pins = Pins::new(lab.fw.bpffs());
    Ok(Map::LruHashMap(MapData::from_pin(pins.shared_map(map::DATAGRAMS4))?).try_into()?)
}

fn an_answer_is_explained_without_prolonging_what_it_answers() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.attach(Mode::Native, "22")?;
    lab.pi.enter(|| -> Result<()> {
        let socket = std::net::UdpSocket::bind(SocketAddr::new(PI4, 50_000))?;
        socket.send_to(b"question", SocketAddr::new(LAN4, 53))?;
        Ok(())
    })?;
    let mut flows = flows(&lab)?;
    let (key, Plain(fresh)) = wait::until("the question to be noted", || Ok(flows.iter().next().transpose()?))?;
    let aged = Instant::now();
    // A live answer would bring an entry of this age to the present.
    let minute_ago = FlowEntry { last_seen: fresh.last_seen - 60 * SECOND };
    flows.insert(key, Plain(minute_ago), 0)?;
    let ask = |from: &str, port: &str| explain(&lab, &[port, "--from", from]);
    let answer = ask("192.0.2.10:53", "50000/udp")?;
    assert_eq!(answer.outcome(), "pass reply");
    let age = answer.notes.iter().find_map(|note| note.strip_suffix(" s ago")?.rsplit(' ').next()?.parse::<u64>().ok());
    let age = age.with_context(|| format!("{answer:?}"))?;
    ensure!((60..=61 + aged.elapsed().as_secs()).contains(&age), "{age} s, {:?} later", aged.elapsed());
    // Neither another port nor another sender answers it.
    for (from, port) in [("192.0.2.10:54", "50000/udp"), ("192.0.2.11:53", "50000/udp"), ("192.0.2.10:53", "50001/udp")]
    {
        assert_eq!(ask(from, port)?.outcome(), "drop closed-port", "{from} {port}");
    }
    assert_eq!(flows.get(&key, 0)?.0, minute_ago, "it is as old as it was");
    assert_eq!(flows.keys().count(), 1);
    flows.remove(&key)?;
    assert_eq!(ask("192.0.2.10:53", "50000/udp")?.outcome(), "drop closed-port");
    Ok(())
}

fn asking_counts_nothing() -> Result<()> {
    let lab = Lab::new()?;
    lab.attach(Mode::Native, "22,80")?;
    lab.lan.send_udp_from(0, SocketAddr::new(PI4, 9125), b"x")?;
    lab.await_stats("a drop", |stats| stats.dropped_at("udp", 9125) == 1)?;
    let pins = Pins::new(lab.fw.bpffs());
    let recorded = || -> Result<_> {
        let drops = Drops::read(&lab.fw(&["drops", "--last", "--json"])?)?;
        let knocks: Vec<_> =
            sources::read(&pins, "eth0")?.into_iter().map(|knock| (knock.source, knock.packets, knock.port)).collect();
        Ok((drops.lines.len(), drops.left_out, knocks))
    };
    assert_eq!(recorded()?, (1, 0, vec![(LAN4, 1, Some((PortProtocol::Udp, 9125)))]));
    let before = (lab.fw(&["stats", "--json"])?, lab.traces()?);
    let container = container4(0).to_string();
    for args in [
        &["9125/tcp"][..],
        &["9125/udp"],
        &["80/tcp", "--to", &container],
        &["9125/sctp"],
        &["22/tcp", "--from", "2001:db8:1::10"],
        &["icmp"],
    ] {
        explain(&lab, args)?;
    }
    // The neighbours' own housekeeping may pass meanwhile; nothing of it drops, and it has no port.
    let after = (lab.fw(&["stats", "--json"])?, lab.traces()?);
    let ports = |stats: &str| -> Result<serde_json::Value> {
        Ok(serde_json::from_str::<serde_json::Value>(stats)?["interfaces"][0]["ports"].clone())
    };
    assert_eq!(ports(&before.0)?, ports(&after.0)?);
    assert_eq!(lab.stats("eth0")?.dropped.packets, 1);
    assert_eq!(recorded()?, (1, 0, vec![(LAN4, 1, Some((PortProtocol::Udp, 9125)))]), "nothing is recorded");
    assert_eq!(before.1, after.1, "no pin, program or policy is another");
    Ok(())
}

fn the_rule_that_lets_a_packet_in_is_named() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.fw(&[
        "attach",
        "eth0",
        "--allow",
        "22,8000-8010/tcp,443/tcp@192.0.2.0/24,443/tcp@192.0.2.8/29,443/tcp@[2001:db8:1::]/64",
        "--allow-proto",
        "gre",
    ])?;
    for (args, outcome, rule) in [
        (&["22/tcp"][..], "pass allowed", Some("22/tcp")),
        (&["8003/tcp"], "pass allowed", Some("8000-8010/tcp")),
        (&["443/tcp", "--from", "192.0.2.10"], "pass allowed", Some("443/tcp@192.0.2.8/29")),
        (&["443/tcp", "--from", "192.0.2.99"], "pass allowed", Some("443/tcp@192.0.2.0/24")),
        (&["443/tcp", "--from", "2001:db8:1::10"], "pass allowed", Some("443/tcp@[2001:db8:1::]/64")),
        (&["gre"], "pass protocol", Some("--allow-proto gre")),
        (&["icmp"], "pass protocol", None),
        (&["igmp"], "pass protocol", None),
        (&["ipv6-icmp"], "pass protocol", None),
        (&["ssh"], "pass allowed", Some("22/tcp")),
        (&["8011/tcp"], "drop closed-port", None),
        (&["8003/udp"], "drop closed-port", None),
        (&["8003/sctp"], "drop closed-port", None),
        (&["8003/dccp"], "drop closed-port", None),
        (&["8003/udplite"], "drop closed-port", None),
        (&["esp"], "drop closed-protocol", None),
        (&["22/tcp", "--from", "127.0.0.1"], "drop martian", None),
        (&["22/udp", "--from", "0.0.0.0:68", "--to", "255.255.255.255"], "drop martian", None),
        (&["68/udp", "--from", "192.0.2.10:67"], "pass essential", None),
    ] {
        let said = explain(&lab, args)?;
        assert_eq!((said.outcome().as_str(), said.rule.as_deref()), (outcome, rule), "{args:?}");
    }
    let shut_out = explain(&lab, &["443/tcp", "--from", "203.0.113.9"])?;
    assert_eq!(shut_out.outcome(), "drop closed-port");
    let rule = shut_out.rule.context("the rules that are for others")?;
    ensure!(rule.contains("443/tcp@192.0.2.0/24") && rule.contains("not for this sender"), "{rule}");
    // A bare port means two packets.
    let both = Explained::read(&lab.fw(&["explain", "8003", "--json"])?)?;
    let outcomes: Vec<_> = both.iter().map(|said| (said.proto.as_str(), said.outcome())).collect();
    assert_eq!(outcomes, [("tcp", "pass allowed".to_owned()), ("udp", "drop closed-port".to_owned())]);
    Ok(())
}

fn who_listens_is_named_also_behind_a_closed_port() -> Result<()> {
    let lab = Lab::without_containers()?;
    let _servers = (lab.pi.serve_tcp(9125)?, lab.pi.serve_udp(22)?);
    lab.attach(Mode::Native, "22")?;
    let own_name = fs::read_to_string("/proc/self/comm")?;
    for (port, outcome, target) in [
        ("9125/tcp", "drop closed-port", Some(own_name.trim())),
        ("9125/udp", "drop closed-port", None),
        ("22/udp", "pass allowed", Some(own_name.trim())),
        ("22/tcp", "pass allowed", None),
        ("icmp", "pass protocol", None),
    ] {
        let said = explain(&lab, &[port])?;
        assert_eq!((said.outcome().as_str(), said.target.as_deref()), (outcome, target), "{port}");
    }
    let text = lab.fw(&["explain", "9125/tcp"])?;
    ensure!(text.contains(&format!("\n  listens  {own_name}  fix      fw-user allow 9125/tcp\n")), "{text}");
    Ok(())
}

/// Run what it says is to be typed.
fn type_fix(lab: &Lab, said: &Explained) -> Result<()> {
    let fix = said.fix.as_deref().context("a fix")?;
    let words: Vec<&str> = fix.strip_prefix("fw-user ").context("a command")?.split(' ').collect();
    lab.fw(&words).map(drop)
}

fn typing_the_fix_opens_the_port_to_the_sender() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.add_second_lan()?;
    lab.fw(&["attach", "eth0", "eth1", "--allow", "22"])?;
    for (port, from, wanted) in [
        ("9125/tcp", "192.0.2.10", "fw-user allow 9125/tcp@192.0.2.10 --interface eth0"),
        ("9125/udp", "2001:db8:1::10", "fw-user allow 9125/udp@[2001:db8:1::10] --interface eth0"),
        ("9125/sctp", "192.0.2.10", "fw-user allow 9125/sctp@192.0.2.10 --interface eth0"),
    ] {
        let args = [port, "--from", from, "--interface", "eth0"];
        let closed = explain(&lab, &args)?;
        assert_eq!((closed.outcome().as_str(), closed.fix.as_deref()), ("drop closed-port", Some(wanted)));
        type_fix(&lab, &closed)?;
        assert_eq!(explain(&lab, &args)?.outcome(), "pass allowed");
        assert_eq!(explain(&lab, &[port, "--iface", "eth1"])?.outcome(), "drop closed-port", "only there");
    }
    lab.fw(&["detach", "eth1"])?;
    // A question without a sender leads to a rule for everybody.
    assert_eq!(explain(&lab, &["9126/tcp"])?.fix.as_deref(), Some("fw-user allow 9126/tcp"));
    Ok(())
}

fn typing_the_fix_lets_a_protocol_in_and_keeps_all_else() -> Result<()> {
    let lab = Lab::without_containers()?;
    let allow = "22/tcp,53,8000-8010/tcp@192.0.2.0/24";
    lab.fw(&["attach", "eth0", "--allow", allow, "--allow-proto", "esp", "--no-replies", "--monitor"])?;
    let status = || -> Result<serde_json::Value> {
        let mut status: serde_json::Value = serde_json::from_str(&lab.fw(&["status", "--json"])?)?;
        // Networks in a map take a little memory, until it is given back.
        status["map_memory"].take();
        status["interfaces"][0]["map_memory"].take();
        Ok(status)
    };
    let mut wanted = status()?;
    let closed = explain(&lab, &["gre"])?;
    assert_eq!(closed.outcome(), "drop closed-protocol");
    type_fix(&lab, &closed)?;
    assert_eq!(explain(&lab, &["gre"])?.outcome(), "pass protocol");
    wanted["interfaces"][0]["allow_proto"] = serde_json::json!(["gre", "esp"]);
    assert_eq!(status()?, wanted);
    Ok(())
}

fn typing_the_fix_lets_packets_through_a_router() -> Result<()> {
    let lab = Lab::new()?;
    lab.attach(Mode::Native, "80/tcp")?;
    let container = container4(0).to_string();
    let args = ["80/tcp", "--to", &container];
    let forwarded = explain(&lab, &args)?;
    assert_eq!((forwarded.outcome().as_str(), forwarded.rule.as_deref()), ("drop forwarded", Some("80/tcp")));
    type_fix(&lab, &forwarded)?;
    assert_eq!(explain(&lab, &args)?.outcome(), "pass routed");
    // Of the containers behind the bridge that one alone.
    let other = container4(1).to_string();
    assert_eq!(explain(&lab, &["80/tcp", "--to", &other])?.outcome(), "drop forwarded");
    // Of a port that is closed here too, and of a network behind an interface of its own all of it, beside what is named already.
    lab.pi.run("ip link add wpan0 type veth peer name thread")?;
    lab.pi.run("ip address add 2001:db8:5::1/64 dev wpan0 nodad")?;
    lab.pi.run("ip link set wpan0 up")?;
    lab.pi.run("ip link set thread up")?;
    let args = ["5540/udp", "--to", "2001:db8:5::9"];
    let closed = explain(&lab, &args)?;
    let named = format!("fw-user attach eth0 --allow 80/tcp --forward {container}/32,2001:db8:5::/64");
    assert_eq!((closed.outcome().as_str(), closed.fix.as_deref()), ("drop closed-port", Some(named.as_str())));
    type_fix(&lab, &closed)?;
    assert_eq!(explain(&lab, &args)?.outcome(), "pass routed");
    assert_eq!(explain(&lab, &["5540/udp", "--to", "2001:db8:5::1"])?.outcome(), "drop closed-port", "its own address");
    Ok(())
}

fn a_packet_comes_from_the_network_of_the_interface_unless_told_otherwise() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.attach(Mode::Native, "22")?;
    let ends = |args: &[&str]| -> Result<String> {
        let Explained { source, source_port, destination, notes, .. } = explain(&lab, args)?;
        let (source, destination) = (source.context("a source")?, destination.context("a destination")?);
        let told = if notes.iter().any(|note| note.contains("--from names another sender")) { " told" } else { "" };
        Ok(format!("{} -> {destination}{told}", SocketAddr::new(source, source_port.context("a port")?)))
    };
    for (args, wanted) in [
        (&["22/tcp"][..], "192.0.2.2:40000 -> 192.0.2.1 told"),
        (&["22/tcp", "--from", "203.0.113.7"], "203.0.113.7:40000 -> 192.0.2.1"),
        (&["22/tcp", "--from", "203.0.113.7:5"], "203.0.113.7:5 -> 192.0.2.1"),
        (&["22/tcp", "--from", "2001:db8:1::7"], "[2001:db8:1::7]:40000 -> 2001:db8:1::1"),
        (&["22/tcp", "--from", "[2001:db8:9::7]:5"], "[2001:db8:9::7]:5 -> 2001:db8:1::1"),
        (&["22/tcp", "--to", "198.51.100.7"], "192.0.2.2:40000 -> 198.51.100.7 told"),
        (&["22/tcp", "--to", "2001:db8:1::1"], "[2001:db8:1::2]:40000 -> 2001:db8:1::1 told"),
    ] {
        assert_eq!(ends(args)?, wanted, "{args:?}");
    }
    // Neighbours that have only their link-local address talk to that of the interface.
    let link_local = explain(&lab, &["22/tcp", "--from", "fe80::7"])?.destination.context("a destination")?;
    ensure!(link_local.to_string().starts_with("fe80::"), "{link_local}");
    // Without a network to come from, anybody.
    lab.pi.run("ip address flush dev eth0")?;
    lab.refuses(&["explain", "22/tcp"], USAGE, &["eth0 has no IPv4 address", "--to"])?;
    lab.pi.run("ip address add 192.0.2.1/32 dev eth0")?;
    assert_eq!(ends(&["22/tcp"])?, "198.51.100.1:40000 -> 192.0.2.1 told");
    Ok(())
}

fn a_port_of_a_bridge_is_asked_for_the_address_of_the_bridge() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.pi.run("ip link add br0 type bridge")?;
    lab.pi.run("ip address flush dev eth0")?;
    lab.pi.run("ip link set eth0 master br0")?;
    lab.pi.set_address("br0", &["192.0.2.77/24"])?;
    lab.attach(Mode::Native, "22")?;
    assert_eq!(explain(&lab, &["22/tcp", "--iface", "eth0"])?.destination, Some("192.0.2.77".parse()?));
    Ok(())
}

fn monitoring_and_trials_are_told() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.fw(&["attach", "eth0", "--allow", "22", "--monitor"])?;
    let said = explain(&lab, &["9125/tcp"])?;
    assert_eq!((said.outcome().as_str(), said.monitor), ("drop closed-port", true));
    let text = lab.fw(&["explain", "9125/tcp"])?;
    ensure!(text.contains("would drop; eth0 only monitors, so it passes"), "{text}");
    lab.fw(&["enforce"])?;
    ensure!(!explain(&lab, &["9125/tcp"])?.monitor);
    let command = &mut lab.fw.command(&lab.pi, ["allow", "9125/tcp", "--confirm", "600"]);
    let mut waiting = fw_tests::lab::process::Process::start(command.stdout(std::process::Stdio::null()))?;
    wait::until("the trial to begin", || {
        let said = explain(&lab, &["9125/tcp"])?;
        let is_told = said.notes.iter().any(|note| note.contains(" s unless you run `fw-user confirm`"));
        Ok((said.outcome() == "pass allowed" && is_told).then_some(()))
    })?;
    lab.fw(&["rollback"])?;
    waiting.await_end()?;
    assert_eq!(explain(&lab, &["9125/tcp"])?.outcome(), "drop closed-port");
    Ok(())
}

fn one_of_several_interfaces_must_be_named() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.add_second_lan()?;
    lab.refuses(&["explain", "22/tcp"], FAILED, &["not attached to any interface"])?;
    lab.fw(&["attach", "eth0", "--allow", "22"])?;
    lab.fw(&["attach", "eth1", "--allow", "80"])?;
    // The default route leaves by eth0.
    assert_eq!(explain(&lab, &["22/tcp"])?.interface, "eth0");
    lab.pi.run("ip route del default")?;
    lab.pi.run("ip -6 route del default")?;
    lab.refuses(&["explain", "22/tcp"], USAGE, &["eth0 and eth1", "--interface eth0"])?;
    for (interface, outcome) in [("eth0", "pass allowed"), ("eth1", "drop closed-port")] {
        let said = explain(&lab, &["22/tcp", "--iface", interface])?;
        assert_eq!((said.interface.as_str(), said.outcome().as_str()), (interface, outcome));
    }
    lab.refuses(&["explain", "22/tcp", "--iface", "eth7"], FAILED, &["eth7"])?;
    // An inactive filter cannot be asked.
    lab.pi.run("ip link delete eth1")?;
    lab.refuses(&["explain", "22/tcp", "--iface", "eth1"], FAILED, &["eth1"])
}

/// Our own program, but for one instruction that it returns by.
fn other_build() -> Result<Ebpf> {
    // r0 = XDP_PASS, and XDP_TX.
    const PASS: [u8; 8] = [0xb7, 0, 0, 0, 2, 0, 0, 0];
    const TX: [u8; 8] = [0xb7, 0, 0, 0, 3, 0, 0, 0];
    let mut bytes = fw_user::testing::OBJECT.to_vec();
    let (words, _) = bytes.as_chunks_mut::<8>();
    words.iter_mut().filter(|word| **word == PASS).for_each(|word| *word = TX);
    ensure!(bytes != fw_user::testing::OBJECT, "no such instruction is there");
    let mut loader = EbpfLoader::new();
    Ok(loader.btf(None).load(&bytes)?)
}

fn the_filter_of_another_build_is_not_spoken_for() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.attach(Mode::Native, "22")?;
    let mut other = other_build()?;
    let program: &mut Xdp = other.program_mut(object::INGRESS).context("the program")?.try_into()?;
    wait::until("the program to be verified", || match program.load() {
        Err(ProgramError::LoadError { io_error, .. }) if io_error.kind() == std::io::ErrorKind::WouldBlock => Ok(None),
        loaded => Ok(Some(loaded?)),
    })?;
    let link = PinnedLink::from_pin(Pins::new(lab.fw.bpffs()).ingress_link("eth0"))?;
    program.attach_to_link(XdpLink::try_from(FdLink::from(link))?)?;
    lab.refuses(&["explain", "22/tcp"], FAILED, &["another build", "fw-user attach eth0 --allow"])?;
    lab.fw(&["attach", "eth0", "--allow", "22"])?;
    assert_eq!(explain(&lab, &["22/tcp"])?.outcome(), "pass allowed");
    Ok(())
}

fn what_makes_no_packet_is_refused() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.attach(Mode::Native, "22")?;
    for (args, words) in [
        (&["22-23/tcp"][..], &["one port", "22"][..]),
        (&["22,23"], &["one port"]),
        (&["22/tcp@192.0.2.0/24"], &["--from 192.0.2.0"]),
        (&["tcp"], &["tcp has ports", "9125/tcp"]),
        (&["0/tcp"], &["1 to 65535"]),
        (&["no-such-thing"], &["no-such-thing", "/etc/services"]),
        (&["22/tcp", "--from", "192.0.2.7", "--to", "2001:db8::1"], &["192.0.2.7", "both be IPv4 or both IPv6"]),
        (&["22/tcp", "--from", "neighbour"], &["192.168.1.20:53"]),
        (&["--hex", "00112"], &["--hex"]),
        (&["--hex", "zz"], &["--hex"]),
        (&["--hex", "0011223344"], &["5 bytes", "at least 14"]),
        (&["--hex", "00", "--pcap", "x"], &["--pcap"]),
        (&["22/tcp", "--hex", "00"], &["--hex"]),
        (&[], &["<PORT"]),
    ] {
        let args: Vec<&str> = ["explain"].iter().chain(args).copied().collect();
        lab.refuses(&args, USAGE, words)?;
    }
    let longest = hex(&eth().ipv4().tcp(40_000, 22).syn().payload(&[0; 3520 - 54]).build());
    assert_eq!(explain(&lab, &["--hex", &longest])?.outcome(), "pass allowed");
    lab.refuses(&["explain", "--hex", &format!("{longest}00")], USAGE, &["3521 bytes", "at most 3520"])
}

fn people_read_a_few_lines() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.attach(Mode::Native, "22/tcp@192.0.2.0/24")?;
    let closed = "\
eth0  tcp 192.0.2.20:40000 -> 192.0.2.1:9125
  verdict  drop
  reason   closed-port: it goes to a port that is not allowed, and is not a reply to outbound traffic
  fix      fw-user allow 9125/tcp@192.0.2.20
";
    assert_eq!(lab.fw(&["explain", "9125/tcp", "--from", "192.0.2.20"])?, closed);
    let open = "\
eth0  tcp 192.0.2.20:40000 -> 192.0.2.1:22
  verdict  pass
  reason   allowed: it goes to a port in the allow list, from a network that the rule names, if it names any
  rule     22/tcp@192.0.2.0/24
";
    assert_eq!(lab.fw(&["explain", "22/tcp", "--from", "192.0.2.20"])?, open);
    // Digits may be parted, and come by a pipe.
    let frame = eth().vlan(7).ipv6().from(&LAN6.to_string()).to(&PI6.to_string()).udp(5, 22).build();
    let digits: Vec<String> = frame.iter().map(|byte| format!("{byte:02X}")).collect();
    let said = lab.fw(&["explain", "--hex", &digits.join(":")])?;
    ensure!(said.starts_with("eth0  udp [2001:db8:1::10]:5 -> [2001:db8:1::1]:22 vlan 7\n  verdict  drop\n"), "{said}");
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("digits");
    fs::write(&file, digits.join(" ") + "\n")?;
    let mut command = lab.fw.command(&lab.pi, ["explain", "--hex", "-"]);
    let output = command.stdin(fs::File::open(&file)?).output()?;
    assert_eq!(String::from_utf8(output.stdout)?, said);
    Ok(())
}
