//! nmap and hping3 against an attached filter: every scan type, fragments, well-known source ports, odd flags and options.

use anyhow::Result;
use fw_tests::{
    lab::{Lab, skip::need, techniques::Technique},
    tests,
};

tests! {
    nmap_gets_nothing_past_the_filter;
    hping_gets_nothing_past_the_filter;
}

/// nmap to a port of the host and a published one, over TCP where nothing else is said.
fn nmap(options: &str) -> String {
    let ports = if options.contains("-sU") {
        "-p U:HOST,U:PUBLISHED"
    } else if options.contains("-sY") || options.contains("-sZ") {
        "-p S:HOST,S:PUBLISHED"
    } else {
        "-p HOST,PUBLISHED"
    };
    let pi = if options.starts_with("-6") { "2001:db8:1::1" } else { "192.0.2.1" };
    format!("nmap -n -Pn -T5 --max-retries 0 {options} {ports} {pi}")
}

fn nmap_gets_nothing_past_the_filter() -> Result<()> {
    const TYPES: [&str; 12] = [
        "-sS",
        "-sT",
        "-sA",
        "-sW",
        "-sM",
        "-sF",
        "-sN",
        "-sX",
        "-sU",
        "-sY",
        "-sZ",
        "-sS --scanflags SYNFINURGPSHRST",
    ];
    need("nmap", "nmap")?;
    let mut lines: Vec<String> = Vec::new();
    for family in ["-6", ""] {
        lines.extend(TYPES.map(|scan| format!("{family} {scan}")));
        // Ports whose answers careless filters let in.
        for port in [20, 53, 67, 80, 88, 123, 443, 500] {
            lines.extend(["-sS", "-sA", "-sU"].map(|scan| format!("{family} {scan} --source-port {port}")));
        }
    }
    for pieces in ["-f", "-ff", "--mtu 16", "--mtu 24"] {
        lines.extend(["-sS", "-sF", "-sX", "-sA", "-sU --data-length 64"].map(|scan| format!("{scan} {pieces}")));
    }
    lines.extend(
        [
            "-sS -f --source-port 53",
            "-sU -f --source-port 53 --data-length 64",
            "-sS -D 192.0.2.20,192.0.2.30,ME",
            "-sS --spoof-mac 0",
            "-sS --send-ip",
            "-sS --badsum",
            "-sU --badsum",
            "-sS --ttl 1",
            "-sS --data-length 1200",
            "-sU --data-length 1200",
            "-sS --ip-options R",
            "-sS --ip-options T",
            "-sU --ip-options U",
            "-sS -O --osscan-guess --max-os-tries 1",
        ]
        .map(str::to_owned),
    );
    let mut techniques: Vec<Technique> = lines.iter().map(|line| Technique::new(nmap(line.trim()))).collect();
    // Linux takes no source routes by default, and says so before netfilter sees the packet.
    techniques.extend(
        ["-sS --ip-options \"L 192.0.2.10\"", "-sS --ip-options \"S 192.0.2.10\""]
            .map(|line| Technique::new(nmap(line))),
    );
    let figures = Lab::new()?.none_gets_past(&techniques)?;
    println!("{figures:?}");
    Ok(())
}

/// hping3 has no IPv6.
fn hping(options: &str, port: &str) -> String {
    format!("hping3 --numeric --quiet --count 3 --interval u1000 {options} --destport {port} 192.0.2.1")
}

fn hping_gets_nothing_past_the_filter() -> Result<()> {
    const ALL_FLAGS: &str = "--fin --syn --rst --push --ack --urg --xmas --ymas";
    need("hping3", "hping3")?;
    let mut lines = vec![String::new(), ALL_FLAGS.into()];
    for flags in ["--syn", "--syn --ack", "--syn --fin", "--fin", "--rst --syn", "--xmas", "--ymas", "--udp"] {
        lines.push(flags.into());
        for more in ["--frag --data 40", "--mtu 16 --data 24", "--morefrag", "--baseport 53 --keep", "--rroute"] {
            lines.push(format!("{flags} {more}"));
        }
    }
    lines.extend(
        [
            "--syn --tcpoff 0",
            "--syn --tcpoff 15",
            "--syn --badcksum",
            "--syn --tos 255 --ttl 255",
            "--syn --dontfrag --morefrag",
            "--syn --rand-source",
            "--udp --rand-source",
            "--syn --spoof 172.17.0.2",
            "--syn --spoof 127.0.0.1",
            "--syn --spoof 192.0.2.1",
            "--syn --spoof 255.255.255.255",
            "--syn --spoof 224.0.0.1",
            "--udp --spoof 0.0.0.0",
            "--syn --lsrr 192.0.2.10",
            "--syn --ssrr 192.0.2.10",
            "--syn --id 0 --data 1400",
            "--syn --data 3000",
            "--udp --data 3000",
        ]
        .map(str::to_owned),
    );
    let both = |line: &String| ["HOST", "PUBLISHED"].map(|port| Technique::new(hping(line, port)));
    let mut techniques: Vec<Technique> = lines.iter().flat_map(both).collect();
    // Pieces of nothing: no first one ever comes.
    for offset in [8, 16, 1480, 65528] {
        for flags in ["--syn", "--udp", "--syn --morefrag"] {
            let line = format!("{flags} --fragoff {offset}");
            techniques.extend(["HOST", "PUBLISHED"].map(|port| Technique::refused_by_linux(hping(&line, port))));
        }
    }
    let figures = Lab::new()?.none_gets_past(&techniques)?;
    println!("{figures:?}");
    Ok(())
}
