//! `fw-user drops`: every drop can be seen, and a flood hides nothing but itself.

use std::{
    io::{self, BufRead, BufReader},
    net::{IpAddr, SocketAddr},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use fw_tests::{
    lab::{
        LAN4, LAN6, Lab, Mode, PI4, PI6, SECOND_PI4, command, container4,
        dropped::{Dropped, Drops},
        process::Process,
        wait,
        wire::stay_in_order,
    },
    packet::eth,
    tests,
};
use nix::sys::signal::Signal;

tests! { in tc mode:
    each_drop_is_a_line_with_its_fields;
}

tests! { in native mode:
    each_drop_is_a_line_with_its_fields;
    a_flood_does_not_hide_a_knock_and_what_is_left_out_is_counted;
}

tests! {
    what_was_dropped_while_nobody_watched_can_still_be_seen;
    filters_choose_by_port_source_and_reason;
    filters_that_cannot_be_meant_are_refused;
    people_read_aligned_lines;
    monitored_packets_would_drop;
    drops_of_several_interfaces_come_in_their_order;
    who_listens_there_is_named;
    the_view_ends_with_the_filter;
    the_view_follows_a_renamed_interface;
    the_view_ends_with_its_reader;
}

const USAGE: i32 = 2;

/// The command, while it runs, and the lines that it prints.
struct View {
    program: Process,
    lines: io::Lines<BufReader<io::PipeReader>>,
}

impl View {
    fn start(lab: &Lab, args: &[&str]) -> Result<Self> {
        let (reader, writer) = io::pipe()?;
        let mut command = lab.fw.command(&lab.pi, ["drops"]);
        let program = Process::start(command.args(args).stdout(writer))?;
        // The command holds the pipe's other end as well.
        drop(command);
        Ok(Self { program, lines: BufReader::new(reader).lines() })
    }

    /// The same, from when on it shows every drop: it prints what the columns are then.
    fn with_head(lab: &Lab, args: &[&str]) -> Result<Self> {
        let mut view = Self::start(lab, args)?;
        let head = view.next()?;
        ensure!(head.starts_with("time "), "it begins with {head:?}");
        Ok(view)
    }

    fn next(&mut self) -> Result<String> {
        Ok(self.lines.next().context("a line")??)
    }

    /// Everything until a line that fits, which is the last one.
    fn until(&mut self, fits: impl Fn(&str) -> bool) -> Result<Vec<String>> {
        let mut lines = vec![self.next()?];
        while !lines.last().is_some_and(|line| fits(line)) {
            lines.push(self.next()?);
        }
        Ok(lines)
    }

    /// End it as a user does, and return the rest of what it printed.
    fn end(mut self) -> Result<Vec<String>> {
        self.program.signal(Signal::SIGINT)?;
        let rest = self.lines.by_ref().collect::<Result<Vec<_>, _>>()?;
        ensure!(self.program.await_end()?.success());
        Ok(rest)
    }
}

/// The output for the kept drops.
fn last(lab: &Lab, args: &[&str]) -> Result<Drops> {
    let args: Vec<&str> = ["drops", "--last", "--json"].iter().chain(args).copied().collect();
    Drops::read(&lab.fw(&args)?)
}

/// A frame from the LAN to the Pi, and the reason, transport, source and destination, ports, and VLANs that its line must have.
type Case = (Vec<u8>, &'static str, &'static str, Option<(IpAddr, IpAddr)>, Option<(u16, u16)>, &'static [u16]);

fn cases() -> Vec<Case> {
    let v4 = || eth().ipv4().from(&LAN4.to_string()).to(&PI4.to_string());
    let v6 = || eth().ipv6().from(&LAN6.to_string()).to(&PI6.to_string());
    let loopback = IpAddr::from([127, 0, 0, 1]);
    let (fours, sixes) = (Some((LAN4, PI4)), Some((LAN6, PI6)));
    let container = container4(0);
    let to_container = eth().ipv4().from(&LAN4.to_string()).to(&container.to_string()).tcp(7, 80).syn().build();
    vec![
        (v4().tcp(40_000, 9001).syn().build(), "closed-port", "tcp", fours, Some((40_000, 9001)), &[]),
        (v4().tcp(40_000, 9002).fin().build(), "closed-port", "tcp", fours, Some((40_000, 9002)), &[]),
        (v4().udp(5, 9003).build(), "closed-port", "udp", fours, Some((5, 9003)), &[]),
        (v4().sctp(5, 9004).build(), "closed-port", "sctp", fours, Some((5, 9004)), &[]),
        (v4().dccp(5, 9005).build(), "closed-port", "dccp", fours, Some((5, 9005)), &[]),
        (v4().udp_lite(5, 9006).build(), "closed-port", "udplite", fours, Some((5, 9006)), &[]),
        (v6().tcp(40_000, 9007).syn().build(), "closed-port", "tcp", sixes, Some((40_000, 9007)), &[]),
        (v6().udp(5, 9008).payload(&[0; 1000]).build(), "closed-port", "udp", sixes, Some((5, 9008)), &[]),
        (v6().destination_options().udp(5, 9009).build(), "closed-port", "udp", sixes, Some((5, 9009)), &[]),
        (
            eth().service_vlan(7).vlan(8).ipv4().from(&LAN4.to_string()).to(&PI4.to_string()).udp(5, 9010).build(),
            "closed-port",
            "udp",
            fours,
            Some((5, 9010)),
            &[7, 8],
        ),
        (to_container, "forwarded", "tcp", Some((LAN4, container)), Some((7, 80)), &[]),
        (v4().gre().build(), "closed-protocol", "gre", fours, None, &[]),
        (
            eth().ipv4().from("127.0.0.1").to(&PI4.to_string()).udp(5, 9011).build(),
            "martian",
            "udp",
            Some((loopback, PI4)),
            Some((5, 9011)),
            &[],
        ),
        (v4().header_words(4).udp(5, 9012).build(), "malformed", "udp", fours, None, &[]),
        (v4().tcp(5, 9013).cut(14 + 20 + 8), "malformed", "tcp", fours, None, &[]),
        (v4().more_fragments().tcp(5, 9014).only(8).build(), "tiny-fragment", "tcp", fours, Some((5, 9014)), &[]),
        (
            v4().options(&[131, 7, 4, 192, 0, 2, 9, 0]).udp(5, 9015).build(),
            "source-route",
            "udp",
            fours,
            Some((5, 9015)),
            &[],
        ),
        (v6().next_header(59).build(), "header-chain", "ipv6-nonxt", sixes, None, &[]),
        (eth().vlan(1).vlan(2).vlan(3).ipv4().udp(5, 9016).build(), "vlan-depth", "ethernet", None, None, &[]),
    ]
}

/// The time as RFC 3339 has it.
fn clock() -> Result<String> {
    let time = command::run(Command::new("date").args(["--utc", "+%Y-%m-%dT%H:%M:%S.%NZ"]))?;
    Ok(time.trim().to_owned())
}

fn each_drop_is_a_line_with_its_fields(mode: Mode) -> Result<()> {
    let lab = Lab::new()?;
    lab.attach(mode, "22,80")?;
    let wire = lab.lan.wire("eth0")?;
    let cases = cases();
    let begun = clock()?;
    stay_in_order()?;
    for (frame, ..) in &cases {
        let before = lab.stats("eth0")?.dropped.packets;
        wire.send(frame)?;
        lab.await_stats("it to be judged", |stats| stats.dropped.packets > before)?;
    }
    let drops = last(&lab, &["eth0"])?;
    let ended = clock()?;
    assert_eq!((drops.lines.len(), drops.left_out), (cases.len(), 0), "{drops:#?}");
    for (line, (frame, reason, proto, ends, ports, vlans)) in drops.lines.iter().zip(&cases) {
        let wanted = Dropped {
            time: line.time.clone(),
            interface: "eth0".to_owned(),
            reason: (*reason).to_owned(),
            proto: (*proto).to_owned(),
            source: ends.map(|(source, _)| source),
            source_port: ports.map(|(source, _)| source),
            destination: ends.map(|(_, destination)| destination),
            port: ports.map(|(_, destination)| destination),
            vlans: vlans.to_vec(),
            mac: Some("02:00:00:00:00:77".to_owned()),
            length: frame.len(),
            monitor: false,
            target: None,
        };
        assert_eq!(*line, wanted);
        ensure!((&begun..=&ended).contains(&&line.time), "{begun} {} {ended}", line.time);
    }
    ensure!(drops.lines.is_sorted_by_key(|line| &line.time), "{drops:#?}");
    Ok(())
}

/// How many packets a flood has. Generic mode takes some microseconds for each.
const FLOOD: usize = 20_000;

fn a_flood_does_not_hide_a_knock_and_what_is_left_out_is_counted(mode: Mode) -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.attach(mode, "22")?;
    let wire = lab.lan.wire("eth0")?;
    let flood = eth().ipv4().from("192.0.2.66").to(&PI4.to_string()).udp(666, 9125).build();
    let knock = eth().ipv4().from(&LAN4.to_string()).to(&PI4.to_string()).tcp(40_000, 2222).syn().build();
    stay_in_order()?;
    let mut view = View::with_head(&lab, &[])?;
    for _ in 0..FLOOD {
        wire.send(&flood)?;
    }
    wire.send(&knock)?;
    for _ in 0..FLOOD {
        wire.send(&flood)?;
    }
    let sent = 2 * FLOOD as u64 + 1;
    let after = lab.await_stats("the flood", |stats| stats.dropped.packets == sent)?;
    assert_eq!((after.dropped_at("udp", 9125), after.dropped_at("tcp", 2222)), (2 * FLOOD as u64, 1));
    let mut lines = view.until(|line| line.contains("2222"))?;
    lines.extend(view.end()?);
    let of = |words: &str| lines.iter().filter(|line| line.contains(words)).count();
    assert_eq!(of("tcp  192.0.2.10:40000    192.0.2.1:2222"), 1, "{lines:#?}");
    let floods = of("udp  192.0.2.66:666");
    ensure!((1..1000).contains(&floods), "{floods} lines of the flood");
    let left_out: u64 = lines
        .iter()
        .filter_map(|line| line.strip_suffix(" more were left out")?.rsplit(' ').next()?.parse::<u64>().ok())
        .sum();
    assert_eq!(floods as u64 + 1 + left_out, sent, "{lines:#?}");
    assert_eq!(floods + 1 + of("more were left out"), lines.len(), "there is nothing else: {lines:#?}");
    Ok(())
}

fn knock(lab: &Lab, port: u16) -> Result<()> {
    let before = lab.stats("eth0")?.dropped.packets;
    lab.lan.send_udp_from(40_000, SocketAddr::new(PI4, port), b"knock")?;
    lab.await_stats("the knock", |stats| stats.dropped.packets > before).map(drop)
}

fn what_was_dropped_while_nobody_watched_can_still_be_seen() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.attach(Mode::Native, "22")?;
    assert_eq!(last(&lab, &[])?, Drops::default());
    for port in [9125, 9126, 9127] {
        knock(&lab, port)?;
    }
    let wanted = [9125, 9126, 9127].map(|port| ("closed-port", Some(port)));
    // Reading takes nothing away.
    for _ in 0..2 {
        let drops = last(&lab, &[])?;
        assert_eq!((drops.kinds(), drops.left_out), (wanted.to_vec(), 0));
    }
    // A reader that starts now sees new drops.
    let mut view = View::with_head(&lab, &["eth0"])?;
    knock(&lab, 9128)?;
    ensure!(view.next()?.contains("192.0.2.1:9128"));
    assert_eq!(view.end()?, [""; 0]);
    // Drops that are counted but not kept are reported.
    let wire = lab.lan.wire("eth0")?;
    let flood = eth().ipv4().to(&PI4.to_string()).udp(5, 9129).build();
    for _ in 0..FLOOD {
        wire.send(&flood)?;
    }
    let all = 4 + FLOOD as u64;
    lab.await_stats("the flood", |stats| stats.dropped.packets == all)?;
    let drops = last(&lab, &[])?;
    assert_eq!(drops.lines.len() as u64 + drops.left_out, all);
    let text = lab.fw(&["drops", "--once"])?;
    let told = format!("eth0  {} older drops are not kept\n", drops.left_out);
    ensure!(text.ends_with(&told), "{text}");
    let text = lab.fw(&["drops", "--last", "--source", "203.0.113.250"])?;
    let told = format!("eth0  {} older drops are not kept (of all drops,", drops.left_out);
    ensure!(text.contains(&told), "{text}");
    Ok(())
}

fn filters_choose_by_port_source_and_reason() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.attach(Mode::Native, "22")?;
    let wire = lab.lan.wire("eth0")?;
    let from = |source: &str| eth().ipv4().from(source).to(&PI4.to_string());
    let frames = [
        from("192.0.2.10").tcp(1, 9001).syn().build(),
        from("192.0.2.99").udp(1, 9001).build(),
        from("203.0.113.7").tcp(1, 9002).syn().build(),
        eth().ipv6().from("2001:db8:1::10").to(&PI6.to_string()).tcp(1, 443).syn().build(),
        from("127.0.0.1").tcp(1, 9001).syn().build(),
        from("192.0.2.10").gre().build(),
    ];
    stay_in_order()?;
    for frame in &frames {
        wire.send(frame)?;
    }
    lab.await_stats("them", |stats| stats.dropped.packets == frames.len() as u64)?;
    // The clock by which the kernel records is read anew each time, so that a time may differ a little.
    let all = last(&lab, &[])?;
    let number = |line: &Dropped| {
        all.lines.iter().position(|other| Dropped { time: line.time.clone(), ..other.clone() } == *line)
    };
    for (args, wanted) in [
        (&[][..], &[0, 1, 2, 3, 4, 5][..]),
        (&["--port", "9001"], &[0, 1, 4]),
        (&["--port", "9001/udp"], &[1]),
        (&["--port", "9000-9002/tcp,443"], &[0, 2, 3, 4]),
        (&["--port", "https"], &[3]),
        (&["--source", "192.0.2.10"], &[0, 5]),
        (&["--source", "192.0.2.0/24"], &[0, 1, 5]),
        (&["--source", "2001:db8::/32,203.0.113.0/24"], &[2, 3]),
        (&["--reason", "martian"], &[4]),
        (&["--reason", "martian,closed-protocol"], &[4, 5]),
        (&["--reason", "martian", "--reason", "closed-port"], &[0, 1, 2, 3, 4]),
        (&["--port", "9001", "--source", "192.0.2.0/24", "--reason", "closed-port"], &[0, 1]),
        (&["--port", "9001/tcp", "--source", "192.0.2.99"], &[]),
    ] {
        let numbers: Vec<usize> = last(&lab, args)?.lines.iter().filter_map(number).collect();
        assert_eq!(numbers, wanted, "{args:?}");
    }
    Ok(())
}

fn filters_that_cannot_be_meant_are_refused() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.attach(Mode::Native, "22")?;
    for (args, words) in [
        (&["--port", "0"][..], &["1 to 65535"][..]),
        (&["--port", "no-such-service"], &["no-such-service"]),
        (&["--port", "22@192.0.2.0/24"], &["--source 192.0.2.0/24"]),
        (&["--source", "neighbour"], &["192.168.1.0/24"]),
        (&["--reason", "allowed"], &["allowed", "closed-port"]),
        (&["--json", "--pcap", "x"], &["--pcap"]),
    ] {
        let args: Vec<&str> = ["drops", "--last"].iter().chain(args).copied().collect();
        lab.refuses(&args, USAGE, words)?;
    }
    lab.refuses(&["drops", "eth7"], 1, &["eth7"])
}

/// Lines without their times, which are checked to be some.
fn without_times(text: &str) -> Result<String> {
    let cut = |line: &str| -> Result<String> {
        let (time, rest) = line.split_at_checked(12).with_context(|| format!("{line:?} is short"))?;
        let is_time = time.char_indices().all(|(at, character)| match at {
            2 | 5 => character == ':',
            8 => character == '.',
            _ => character.is_ascii_digit(),
        });
        ensure!(is_time || time.trim_end() == "time", "{line:?} begins with no time");
        Ok(rest.to_owned() + "\n")
    };
    text.lines().map(cut).collect()
}

fn people_read_aligned_lines() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.attach(Mode::Native, "22")?;
    let wire = lab.lan.wire("eth0")?;
    let v4 = || eth().ipv4().from(&LAN4.to_string()).to(&PI4.to_string());
    let frames = [
        v4().tcp(40_000, 9125).syn().build(),
        v4().gre().build(),
        eth().vlan(5).ipv6().from(&LAN6.to_string()).to(&PI6.to_string()).udp(5, 9126).build(),
        v4().udp(5, 9127).build(),
    ];
    stay_in_order()?;
    for frame in &frames {
        wire.send(frame)?;
    }
    lab.await_stats("them", |stats| stats.dropped.packets == frames.len() as u64)?;
    let wanted = "  at    reason            from                to                for
  eth0  closed-port  tcp  192.0.2.10:40000    192.0.2.1:9125
  eth0  closed-protocol  gre  192.0.2.10          192.0.2.1
  eth0  closed-port      udp  [2001:db8:1::10]:5  [2001:db8:1::1]:9126 vlan 5
  eth0  closed-port      udp  192.0.2.10:5        192.0.2.1:9127
";
    assert_eq!(without_times(&lab.fw(&["drops", "--last"])?)?, wanted);
    Ok(())
}

fn monitored_packets_would_drop() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.fw(&["attach", "eth0", "--allow", "22", "--monitor"])?;
    knock(&lab, 9125)?;
    lab.fw(&["enforce"])?;
    knock(&lab, 9126)?;
    let monitored: Vec<bool> = last(&lab, &[])?.lines.iter().map(|line| line.monitor).collect();
    assert_eq!(monitored, [true, false]);
    let text = lab.fw(&["drops", "--last"])?;
    ensure!(
        text.contains("  eth0  would drop  closed-port  udp  ") && text.contains("  eth0  drop        closed-port"),
        "{text}"
    );
    Ok(())
}

fn drops_of_several_interfaces_come_in_their_order() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.add_second_lan()?;
    lab.fw(&["attach", "eth0", "eth1", "--allow", "22"])?;
    for (interface, address, port) in
        [("eth1", SECOND_PI4, 9001), ("eth0", PI4, 9002), ("eth1", SECOND_PI4, 9003), ("eth0", PI4, 9004)]
    {
        let before = lab.stats(interface)?.dropped.packets;
        lab.lan.send_udp_from(0, SocketAddr::new(address, port), b"knock")?;
        wait::until("the knock", || Ok((lab.stats(interface)?.dropped.packets > before).then_some(())))?;
    }
    let places = |args: &[&str]| -> Result<Vec<(String, Option<u16>)>> {
        Ok(last(&lab, args)?.lines.into_iter().map(|line| (line.interface, line.port)).collect())
    };
    let place = |name: &str, port| (name.to_owned(), Some(port));
    let all = [place("eth1", 9001), place("eth0", 9002), place("eth1", 9003), place("eth0", 9004)];
    assert_eq!(places(&[])?, all);
    assert_eq!(places(&["eth1", "eth0"])?, all);
    assert_eq!(places(&["eth1"])?, [place("eth1", 9001), place("eth1", 9003)]);
    Ok(())
}

fn who_listens_there_is_named() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.attach(Mode::Native, "22")?;
    let server = lab.pi.serve_udp(9125)?;
    knock(&lab, 9125)?;
    knock(&lab, 9126)?;
    let own_name = std::fs::read_to_string("/proc/self/comm")?;
    let targets: Vec<Option<String>> = last(&lab, &[])?.lines.into_iter().map(|line| line.target).collect();
    assert_eq!(targets, [Some(own_name.trim().to_owned()), None]);
    let text = lab.fw(&["drops", "--last"])?;
    ensure!(text.contains(&format!("192.0.2.1:9125    {own_name}")), "{text}");
    assert_eq!(server.reached(), 0);
    Ok(())
}

fn the_view_ends_with_the_filter() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.add_second_lan()?;
    lab.fw(&["attach", "eth0", "eth1", "--allow", "22"])?;
    let mut view = View::with_head(&lab, &[])?;
    lab.fw(&["detach", "eth1"])?;
    ensure!(view.next()?.ends_with("  eth1  the filter was removed"));
    knock(&lab, 9125)?;
    ensure!(view.next()?.contains("192.0.2.1:9125"), "the other is still watched");
    lab.fw(&["detach", "eth0"])?;
    ensure!(view.next()?.ends_with("  eth0  the filter was removed"));
    ensure!(view.lines.next().is_none(), "nothing comes any more");
    ensure!(view.program.await_end()?.success());
    lab.refuses(&["drops"], 1, &["not attached to any interface"])
}

fn the_view_follows_a_renamed_interface() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.attach(Mode::Native, "22")?;
    let mut view = View::with_head(&lab, &["eth0"])?;
    for command in ["link set eth0 down", "link set eth0 name lan0"] {
        lab.pi.run(&format!("ip {command}"))?;
    }
    lab.pi.set_address("lan0", &[])?;
    let mut port = 9000;
    wait::until("the new name", || {
        port += 1;
        lab.lan.send_udp_from(40_000, SocketAddr::new(PI4, port), b"knock")?;
        Ok(view.next()?.contains("  lan0  ").then_some(()))
    })?;
    lab.fw(&["detach", "lan0"])?;
    ensure!(view.until(|line| line.ends_with("  lan0  the filter was removed")).is_ok());
    ensure!(view.program.await_end()?.success());
    Ok(())
}

fn the_view_ends_with_its_reader() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.attach(Mode::Native, "22")?;
    let mut view = View::with_head(&lab, &[])?;
    drop(view.lines);
    let mut port = 9000;
    wait::until("the end", || {
        // Each is a line that nobody reads.
        port += 1;
        knock(&lab, port)?;
        Ok(view.program.ended()?.map(|status| assert!(status.success(), "{status}")))
    })
}
