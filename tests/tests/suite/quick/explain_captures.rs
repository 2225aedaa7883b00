//! `fw-user explain --pcap`: packets of files that others wrote, and files that are none.

use std::{
    fs,
    io::{self, BufRead, BufReader, Write},
    net::{SocketAddr, UdpSocket},
    path::PathBuf,
    process::Stdio,
};

use anyhow::{Context, Result, ensure};
use aya::maps::{HashMap, Map, MapData};
use fw_common::{
    abi::map,
    flow::{FlowEntry, FlowKey4},
};
use fw_tests::{
    lab::{
        LAN4, Lab, Mode, PI4,
        explained::{Explained, link_type, pcap, write_pcap},
        process::Process,
        skip, wait,
    },
    packet::eth,
    tests,
};
use fw_user::testing::{pins::Pins, plain::Plain};
use nix::sys::signal::Signal;
use tempfile::TempDir;

tests! {
    a_file_of_tcpdump_is_explained_packet_by_packet;
    people_read_a_line_for_each_packet;
    a_frame_that_the_file_has_only_the_beginning_of_is_judged_by_it;
    frames_that_the_kernel_cannot_be_asked_about_are_said_to_be_so;
    pcapng_in_either_byte_order_is_read;
    packets_of_a_stream_are_judged_as_they_come;
    a_file_that_breaks_off_is_explained_as_far_as_it_goes;
    what_is_no_capture_of_ethernet_is_refused;
}

const FAILED: i32 = 1;

/// A lab with a filter, and a folder for files.
fn lab() -> Result<(Lab, TempDir)> {
    let lab = Lab::without_containers()?;
    lab.attach(Mode::Native, "22")?;
    Ok((lab, tempfile::tempdir()?))
}

fn syn(port: u16) -> Vec<u8> {
    eth().ipv4().from(&LAN4.to_string()).to(&PI4.to_string()).tcp(40_000, port).syn().build()
}

fn explain(lab: &Lab, file: &std::path::Path) -> Result<Vec<Explained>> {
    let path = file.to_str().context("a path in UTF-8")?;
    Explained::read(&lab.fw(&["explain", "--pcap", path, "--json"])?)
}

fn outcomes(said: &[Explained]) -> Vec<(Option<u64>, String)> {
    said.iter().map(|said| (said.packet, said.outcome())).collect()
}

/// Captured where it was sent, as somebody would who wonders why nothing answers.
fn a_file_of_tcpdump_is_explained_packet_by_packet() -> Result<()> {
    skip::need("tcpdump", "tcpdump")?;
    let (lab, folder) = lab()?;
    let file = folder.path().join("lan.pcap");
    let errors = folder.path().join("errors");
    let mut tcpdump = lab.lan.command("tcpdump");
    // As root it would become another user, who may not write here.
    tcpdump.args(["-i", "eth0", "--immediate-mode", "-U", "-Z", "root", "-w"]).arg(&file).args(["udp", "and", "ip"]);
    let mut tcpdump = Process::start(tcpdump.stdout(Stdio::null()).stderr(fs::File::create(&errors)?))?;
    wait::until("tcpdump", || Ok(fs::read_to_string(&errors)?.contains("listening on eth0").then_some(())))?;
    let before = lab.stats("eth0")?;
    let ports = [22, 9125, 53, 22, 9126];
    for port in ports {
        lab.lan.send_udp_from(40_000, SocketAddr::new(PI4, port), b"knock")?;
    }
    let after = lab.await_stats("all of them", |stats| stats.dropped_at("udp", 9126) == 1)?;
    wait::until("the file", || Ok((explain(&lab, &file)?.len() == ports.len()).then_some(())))?;
    tcpdump.signal(Signal::SIGINT)?;
    tcpdump.await_end()?;
    let said = explain(&lab, &file)?;
    let wanted = ["pass allowed", "drop closed-port", "drop closed-port", "pass allowed", "drop closed-port"];
    assert_eq!(outcomes(&said), (1..).map(Some).zip(wanted.map(str::to_owned)).collect::<Vec<_>>());
    assert_eq!(said.iter().filter_map(|said| said.port).collect::<Vec<_>>(), ports);
    assert_eq!(said[1].fix.as_deref(), Some("fw-user allow 9125/udp@192.0.2.10"));
    // These are their verdicts.
    let dropped = after.dropped.packets - before.dropped.packets;
    assert_eq!(dropped, said.iter().filter(|said| said.verdict.as_deref() == Some("drop")).count() as u64);
    Ok(())
}

fn people_read_a_line_for_each_packet() -> Result<()> {
    let (lab, folder) = lab()?;
    let file = folder.path().join("some.pcap");
    let vlans = eth().vlan(1).vlan(2).vlan(3).ipv4().udp(1, 2).build();
    write_pcap(&file, &[syn(22), syn(9125), eth().arp().build(), vlans])?;
    let path = file.to_str().context("a path in UTF-8")?;
    let wanted = "     1  pass  allowed          tcp 192.0.2.10:40000 -> 192.0.2.1:22
     2  drop  closed-port      tcp 192.0.2.10:40000 -> 192.0.2.1:9125
     3  pass  not-ip           arp 02:00:00:00:00:77
     4  drop  vlan-depth       ethernet 02:00:00:00:00:77
";
    assert_eq!(lab.fw(&["explain", "--pcap", path])?, wanted);
    lab.fw(&["monitor"])?;
    let monitored = lab.fw(&["explain", "--pcap", path])?;
    ensure!(monitored.contains("     2  would drop  closed-port "), "{monitored}");
    ensure!(monitored.contains("     1  pass        allowed "), "{monitored}");
    // By a pipe.
    let mut command = lab.fw.command(&lab.pi, ["explain", "--pcap", "-"]);
    let output = command.stdin(fs::File::open(&file)?).output()?;
    assert_eq!(String::from_utf8(output.stdout)?, monitored);
    write_pcap(&file, &[])?;
    assert_eq!(lab.fw(&["explain", "--pcap", path])?, "no packet in this file\n");
    Ok(())
}

fn a_frame_that_the_file_has_only_the_beginning_of_is_judged_by_it() -> Result<()> {
    let (lab, folder) = lab()?;
    let file = folder.path().join("short.pcap");
    let long = |port| eth().ipv4().tcp(40_000, port).syn().payload(&[0xab; 1000]).build();
    fs::write(&file, pcap(link_type::ETHERNET, &[long(22), long(9125)], 60))?;
    let said = explain(&lab, &file)?;
    assert_eq!(outcomes(&said), [(Some(1), "pass allowed".to_owned()), (Some(2), "drop closed-port".to_owned())]);
    for said in said {
        assert_eq!(said.length, 1054);
        ensure!(said.notes.iter().any(|note| note.contains("60 of its 1054 bytes")), "{said:?}");
    }
    Ok(())
}

fn frames_that_the_kernel_cannot_be_asked_about_are_said_to_be_so() -> Result<()> {
    let (lab, folder) = lab()?;
    let file = folder.path().join("odd.pcap");
    let jumbo = eth().ipv4().tcp(40_000, 22).payload(&[0; 8000]).build();
    write_pcap(&file, &[vec![2; 13], jumbo, syn(22)])?;
    let said = explain(&lab, &file)?;
    assert_eq!(outcomes(&said)[2], (Some(3), "pass allowed".to_owned()));
    for (said, words) in said.iter().zip(["13 bytes are less", "8054 bytes are more than the 3520"]) {
        assert_eq!((said.verdict.as_ref(), said.reason.as_ref(), said.fix.as_ref()), (None, None, None));
        ensure!(said.error.as_deref().is_some_and(|error| error.contains(words)), "{said:?}");
    }
    let text = lab.fw(&["explain", "--pcap", file.to_str().context("a path in UTF-8")?])?;
    ensure!(text.starts_with("     1  not judged: 13 bytes are less than an Ethernet header"), "{text}");
    Ok(())
}

/// A pcapng file with an interface of each kind given, and a frame on each (draft-ietf-opsawg-pcapng, 4).
fn pcapng(is_big: bool, interfaces: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let u32 = |value: u32| if is_big { value.to_be_bytes() } else { value.to_le_bytes() };
    let u16 = |value: u16| if is_big { value.to_be_bytes() } else { value.to_le_bytes() };
    let block = |kind: u32, body: Vec<u8>| {
        let len = u32(body.len() as u32 + 12);
        [u32(kind).to_vec(), len.to_vec(), body, len.to_vec()].concat()
    };
    let section = [u32(0x1a2b_3c4d).to_vec(), u16(1).to_vec(), u16(0).to_vec(), vec![0xff; 8]].concat();
    let mut file = block(0x0a0d_0d0a, section);
    for (link, _) in interfaces {
        file.extend(block(1, [u16(*link).to_vec(), u16(0).to_vec(), u32(0).to_vec()].concat()));
    }
    for (index, (_, frame)) in (0..).zip(interfaces) {
        let len = u32(frame.len() as u32);
        let mut body = [u32(index), u32(0), u32(0), len, len].concat();
        body.extend(frame);
        body.resize(body.len().next_multiple_of(4), 0);
        file.extend(block(6, body));
    }
    file
}

fn pcapng_in_either_byte_order_is_read() -> Result<()> {
    let (lab, folder) = lab()?;
    let file = folder.path().join("some.pcapng");
    for is_big in [false, true] {
        fs::write(&file, pcapng(is_big, &[(1, syn(22)), (1, syn(9125))]))?;
        let wanted = [(Some(1), "pass allowed".to_owned()), (Some(2), "drop closed-port".to_owned())];
        assert_eq!(outcomes(&explain(&lab, &file)?), wanted, "big endian: {is_big}");
    }
    Ok(())
}

/// As `ssh ... tcpdump -w - | fw-user explain --pcap -` does it: with what is in force and open when each comes.
fn packets_of_a_stream_are_judged_as_they_come() -> Result<()> {
    let (lab, _folder) = lab()?;
    let (packets, mut stream) = io::pipe()?;
    let (said, pipe) = io::pipe()?;
    let mut command = lab.fw.command(&lab.pi, ["explain", "--json", "--pcap", "-"]);
    let mut program = Process::start(command.stdin(packets).stdout(pipe))?;
    drop(command);
    let mut said = BufReader::new(said).lines();
    let answer = eth().ipv4().from(&LAN4.to_string()).to(&PI4.to_string()).udp(53, 50_000).build();
    let mut file = pcap(link_type::ETHERNET, std::slice::from_ref(&answer), usize::MAX);
    let packet = file.split_off(24);
    stream.write_all(&file)?;
    let mut next = || -> Result<String> {
        stream.write_all(&packet)?;
        Ok(Explained::read(&said.next().context("an answer")??)?.remove(0).outcome())
    };
    assert_eq!(next()?, "drop closed-port");
    lab.pi.enter(|| -> Result<()> {
        UdpSocket::bind(SocketAddr::new(PI4, 50_000))?.send_to(b"question", SocketAddr::new(LAN4, 53))?;
        Ok(())
    })?;
    wait::until("the answer to be awaited", || Ok((next()? == "pass reply").then_some(())))?;
    let pins = Pins::new(lab.fw.bpffs());
    let mut flows: HashMap<MapData, Plain<FlowKey4>, Plain<FlowEntry>> =
        Map::LruHashMap(MapData::from_pin(pins.shared_map(map::DATAGRAMS4))?).try_into()?;
    for key in flows.keys().collect::<Result<Vec<_>, _>>()? {
        flows.remove(&key)?;
    }
    assert_eq!(next()?, "drop closed-port", "nothing of it is remembered");
    lab.fw(&["allow", "50000/udp"])?;
    assert_eq!(next()?, "pass allowed");
    drop(stream);
    ensure!(program.await_end()?.success());
    Ok(())
}

fn a_file_that_breaks_off_is_explained_as_far_as_it_goes() -> Result<()> {
    let (lab, folder) = lab()?;
    let ethernet = 1;
    let whole = [
        pcap(link_type::ETHERNET, &[syn(22), syn(9125)], usize::MAX),
        pcapng(false, &[(ethernet, syn(22)), (ethernet, syn(9125))]),
    ];
    for (name, whole) in ["cut.pcap", "cut.pcapng"].into_iter().zip(whole) {
        let file = folder.path().join(name);
        fs::write(&file, &whole[..whole.len() - 10])?;
        let output = lab.fw.command(&lab.pi, ["explain", "--json", "--pcap"]).arg(&file).output()?;
        let said = Explained::read(&String::from_utf8(output.stdout)?)?;
        assert_eq!(outcomes(&said), [(Some(1), "pass allowed".to_owned())], "{name}");
        let complaint = String::from_utf8(output.stderr)?;
        ensure!(complaint.contains(name) && complaint.contains("the rest cannot be read"), "{complaint}");
        assert_eq!(output.status.code(), Some(FAILED));
    }
    Ok(())
}

fn what_is_no_capture_of_ethernet_is_refused() -> Result<()> {
    let (lab, folder) = lab()?;
    let ng_magic = [0x0a, 0x0d, 0x0d, 0x0a, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12].to_vec();
    let cooked = pcap(link_type::LINUX_SLL, &[syn(22)], usize::MAX);
    let cooked_ng = pcapng(false, &[(113, syn(22))]);
    let files: [(&str, Vec<u8>, &[&str]); 6] = [
        ("nothing", vec![], &["neither pcap nor pcapng"]),
        ("words", b"these are words, not packets".to_vec(), &["neither pcap nor pcapng", "tcpdump -w"]),
        ("magic", ng_magic, &["begins like pcapng"]),
        ("cooked", cooked, &["neither Ethernet frames nor plain IP", "tcpdump -i eth0 -w"]),
        ("cooked-ng", cooked_ng, &["neither Ethernet frames nor plain IP", "tcpdump -i eth0 -w"]),
        ("half-a-header", vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0], &["neither pcap nor pcapng"]),
    ];
    for (name, bytes, words) in files {
        let file: PathBuf = folder.path().join(name);
        fs::write(&file, bytes)?;
        let words: Vec<&str> = words.iter().chain(&[name]).copied().collect();
        lab.refuses(&["explain", "--pcap", file.to_str().context("a path in UTF-8")?], FAILED, &words)?;
    }
    lab.refuses(&["explain", "--pcap", "/no/such/file"], FAILED, &["/no/such/file", "No such file"])
}
