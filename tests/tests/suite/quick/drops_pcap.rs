//! `fw-user drops --pcap`: what was dropped, for Wireshark.

use std::{
    fs,
    io::{self, Read},
    net::SocketAddr,
    os::unix::fs::{PermissionsExt, symlink},
    process::Stdio,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, ensure};
use fw_tests::{
    lab::{
        LAN4, Lab, Mode, PI4, command,
        dropped::{FiledPacket, PcapNg},
        explained::Explained,
        process::Process,
        skip,
        terminal::OnTerminal,
        wait,
    },
    packet::eth,
    tests,
};
use nix::sys::signal::Signal;

tests! {
    packets_are_filed_with_interface_time_and_reason;
    packets_are_filed_as_they_come_until_the_end;
    tcpdump_reads_what_is_written;
    what_was_dropped_can_be_explained;
    a_terminal_is_shown_no_packets;
    a_file_that_cannot_be_written_is_said_to_be_so;
}

/// How many packets of a flood come at once.
const BURST: u64 = 1000;
/// The bytes of a frame that the kernel keeps.
const KEPT: usize = 96;

/// A filter that dropped two packets, and these.
fn dropped() -> Result<(Lab, [Vec<u8>; 2])> {
    let lab = Lab::without_containers()?;
    lab.attach(Mode::Native, "22")?;
    let v4 = || eth().ipv4().from(&LAN4.to_string()).to(&PI4.to_string());
    let frames = [v4().tcp(40_000, 9125).syn().build(), v4().udp(5, 9126).payload(&[0xab; 500]).build()];
    let wire = lab.lan.wire("eth0")?;
    for (count, frame) in (1..).zip(&frames) {
        wire.send(frame)?;
        lab.await_stats("it to be dropped", |stats| stats.dropped.packets == count)?;
    }
    Ok((lab, frames))
}

fn nanoseconds(at: SystemTime) -> Result<u64> {
    Ok(u64::try_from(at.duration_since(UNIX_EPOCH)?.as_nanos())?)
}

fn packets_are_filed_with_interface_time_and_reason() -> Result<()> {
    let begun = nanoseconds(SystemTime::now())?;
    let (lab, frames) = dropped()?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("drops.pcapng");
    let name = path.to_str().context("a path in UTF-8")?;
    let said = lab.fw(&["drops", "--last", "--pcap", name])?;
    assert_eq!(said, format!("2 packets in {name}\n"));
    let file = PcapNg::read(&fs::read(&path)?)?;
    let ended = nanoseconds(SystemTime::now())?;
    assert_eq!(file.interfaces, [("eth0".to_owned(), Some(0))]);
    for (packet, frame) in file.packets.iter().zip(&frames) {
        let comment = "closed-port: it goes to a port that is not allowed, and is not a reply to outbound traffic";
        let wanted = FiledPacket {
            interface: "eth0".to_owned(),
            at: packet.at,
            bytes: frame[..frame.len().min(KEPT)].to_vec(),
            len: frame.len(),
            comment: comment.to_owned(),
        };
        assert_eq!(*packet, wanted);
        ensure!((begun..=ended).contains(&packet.at), "{begun} {} {ended}", packet.at);
    }
    ensure!(file.packets.len() == 2 && file.packets.is_sorted_by_key(|packet| packet.at), "{file:?}");
    // Filters hold here too; what somebody listens to, and what monitoring lets through, stands in the comment.
    let _server = lab.pi.serve_udp(9127)?;
    lab.fw(&["monitor"])?;
    lab.lan.send_udp_from(0, SocketAddr::new(PI4, 9127), b"knock")?;
    lab.await_stats("it to be judged", |stats| stats.dropped.packets == 3)?;
    lab.fw(&["drops", "--last", "--port", "9127", "--pcap", name])?;
    let file = PcapNg::read(&fs::read(&path)?)?;
    let [packet] = file.packets.as_slice() else { anyhow::bail!("{file:?}") };
    let own_name = fs::read_to_string("/proc/self/comm")?;
    ensure!(packet.comment.starts_with("would drop, closed-port: it goes to"), "{packet:?}");
    ensure!(packet.comment.ends_with(&format!("; it was for {}", own_name.trim())), "{packet:?}");
    Ok(())
}

fn packets_are_filed_as_they_come_until_the_end() -> Result<()> {
    let lab = Lab::without_containers()?;
    lab.attach(Mode::Native, "22")?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("drops.pcapng");
    let mut program = Process::start(lab.fw.command(&lab.pi, ["drops", "--pcap"]).arg(&path).stdout(Stdio::null()))?;
    let whole = || PcapNg::read(&fs::read(&path)?);
    wait::until("it to watch", || Ok(fs::read(&path).is_ok_and(|file| !file.is_empty()).then_some(())))?;
    lab.lan.send_udp_from(0, SocketAddr::new(PI4, 9125), b"knock")?;
    let file = wait::until("the packet", || Ok(Some(whole()?).filter(|file| !file.packets.is_empty())))?;
    assert_eq!(file.interfaces, [("eth0".to_owned(), None)], "how many are missing is known at the end");
    let wire = lab.lan.wire("eth0")?;
    let flood = eth().ipv4().to(&PI4.to_string()).udp(5, 9126).build();
    let mut all = 1;
    let begun = Instant::now();
    // Omitted drops are reported every second, and as one number in the file.
    while begun.elapsed() < Duration::from_millis(2500) {
        for _ in 0..BURST {
            wire.send(&flood)?;
        }
        all += BURST;
        lab.await_stats("the burst", |stats| stats.dropped.packets == all)?;
    }
    // As timeout(1) ends it. The view for people is ended by Ctrl-C.
    program.signal(Signal::SIGTERM)?;
    ensure!(program.await_end()?.success());
    let file = whole()?;
    let missing = file.interfaces[0].1.context("how many are missing")?;
    assert_eq!(file.packets.len() as u64 + missing, all);
    ensure!(missing > 2 * BURST && file.packets.len() > 2, "{missing} of {all} are missing");
    Ok(())
}

fn tcpdump_reads_what_is_written() -> Result<()> {
    skip::need("tcpdump", "tcpdump")?;
    let (lab, _frames) = dropped()?;
    let file = lab.fw.command(&lab.pi, ["drops", "--last", "--pcap", "-"]).output()?.stdout;
    let mut tcpdump = lab.lan.command("tcpdump");
    let said = command::run_with_input(tcpdump.args(["-n", "-e", "-t", "--nano", "-r", "-"]), &file)?;
    let lines: Vec<&str> = said.lines().collect();
    ensure!(lines.len() == 2, "{said}");
    ensure!(lines[0].contains("192.0.2.10.40000 > 192.0.2.1.9125: Flags [S]"), "{said}");
    ensure!(lines[1].contains("length 542: 192.0.2.10.5 > 192.0.2.1.9126: UDP, length 500"), "{said}");
    Ok(())
}

/// The current verdicts on packets that it dropped.
fn what_was_dropped_can_be_explained() -> Result<()> {
    let (lab, _frames) = dropped()?;
    lab.fw(&["allow", "9126/udp"])?;
    let file = lab.fw.command(&lab.pi, ["drops", "--last", "--pcap", "-"]).output()?.stdout;
    let mut explain = lab.fw.command(&lab.pi, ["explain", "--json", "--pcap", "-"]);
    let said = Explained::read(&command::run_with_input(&mut explain, &file)?)?;
    let outcomes: Vec<String> = said.iter().map(Explained::outcome).collect();
    assert_eq!(outcomes, ["drop closed-port", "pass allowed"]);
    Ok(())
}

fn a_terminal_is_shown_no_packets() -> Result<()> {
    let (lab, _frames) = dropped()?;
    let mut view = OnTerminal::start(&mut lab.fw.command(&lab.pi, ["drops", "--last", "--pcap", "-"]))?;
    let text = view.read_until(|_| false)?;
    assert_eq!(view.program.await_end()?.code(), Some(2));
    ensure!(text.contains("is a terminal") && text.contains("wireshark -k -i -"), "{text:?}");
    // Whoever reads a pipe and leaves has seen enough.
    let (reader, writer) = io::pipe()?;
    let mut command = lab.fw.command(&lab.pi, ["drops", "--pcap", "-"]);
    let mut program = Process::start(command.stdout(writer))?;
    drop(command);
    let mut magic = [0; 4];
    (&reader).read_exact(&mut magic)?;
    drop(reader);
    lab.lan.send_udp_from(0, SocketAddr::new(PI4, 9200), b"knock")?;
    ensure!(program.await_end()?.success());
    Ok(())
}

fn a_file_that_cannot_be_written_is_said_to_be_so() -> Result<()> {
    let (lab, _frames) = dropped()?;
    lab.refuses(&["drops", "--last", "--pcap", "/no/such/folder/x"], 1, &["writing /no/such/folder/x"])?;
    // Where others can write, a name may lead anywhere.
    let folder = tempfile::tempdir()?;
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o1777))?;
    let (link, other) = (folder.path().join("link"), folder.path().join("other"));
    fs::write(&other, "precious")?;
    symlink(&other, &link)?;
    let link = link.to_str().context("UTF-8")?;
    lab.refuses(&["drops", "--last", "--pcap", link], 1, &[link, "symbolic link", "choose another name"])?;
    assert_eq!(fs::read_to_string(&other)?, "precious");
    // Full while it is written.
    let mut command = lab.fw.command(&lab.pi, ["drops", "--last", "--pcap", "/dev/full"]);
    let output = command.output()?;
    assert_eq!(output.status.code(), Some(1));
    let complaint = String::from_utf8(output.stderr)?;
    ensure!(complaint.contains("writing /dev/full") && complaint.contains("No space left"), "{complaint}");
    Ok(())
}
