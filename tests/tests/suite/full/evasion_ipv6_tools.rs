//! thc-ipv6's and SI6's tools against an attached filter: extension headers, atomic fragments, overlapping and tiny pieces.

use anyhow::Result;
use fw_tests::{
    lab::{Lab, skip::need, techniques::Technique},
    tests,
};

tests! {
    the_firewall_tests_of_thc_ipv6_get_nothing_past_the_filter;
    the_toolkit_of_si6_gets_nothing_past_the_filter;
}

/// The numbers of firewall6's tests that reach a port of an unfiltered Linux, over TCP and over UDP: headers before the transport, atomic
/// fragments by the hundred, chains of 2 KiB, pieces that overlap. Number 39 is a scan from well-known source ports, as nmap does it.
const REACHES: [&[u8]; 2] = [
    &[1, 2, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 20, 21, 22, 23, 24, 25, 27, 28, 33, 34, 38],
    &[1, 2, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 20, 21, 22, 23, 24, 25, 27, 28, 38],
];
const LAST: u8 = 38;

fn the_firewall_tests_of_thc_ipv6_get_nothing_past_the_filter() -> Result<()> {
    need("atk6-firewall6", "thc-ipv6")?;
    let mut techniques = Vec::new();
    for (option, port, reaches) in [("", "HOST", REACHES[0]), ("-u", "PUBLISHED", REACHES[1])] {
        for number in 1..=LAST {
            let line = format!("atk6-firewall6 {option} eth0 2001:db8:1::1 {port} {number}");
            techniques.push(if reaches.contains(&number) {
                Technique::new(line)
            } else {
                Technique::refused_by_linux(line)
            });
        }
    }
    let figures = Lab::new()?.none_gets_past(&techniques)?;
    println!("{figures:?}");
    Ok(())
}

fn the_toolkit_of_si6_gets_nothing_past_the_filter() -> Result<()> {
    need("tcp6", "ipv6toolkit")?;
    let mut techniques = Vec::new();
    let mut add = |tool: &str, options: String| {
        for port in ["HOST", "PUBLISHED"] {
            techniques
                .push(Technique::new(format!("{tool} -i eth0 -s 2001:db8:1::10 -d 2001:db8:1::1 -a {port} {options}")));
        }
    };
    for flags in ["S", "SA", "A", "F", "R", "SF", "FPU", "SFRPAU"] {
        for pieces in ["", "-y 8", "-y 16", "-y 24", "-u 8 -y 16"] {
            add("tcp6", format!("-X {flags} {pieces}"));
        }
    }
    for port in [20, 53, 80, 123, 443, 547] {
        add("tcp6", format!("-X S -o {port}"));
        add("udp6", format!("-o {port} -P 40"));
        add("udp6", format!("-o {port} -P 40 -y 16"));
    }
    add("tcp6", "-c simultaneous".into());
    add("tcp6", "-X S -P 1000 -y 512".into());
    add("udp6", "-P 1000 -y 8".into());
    let figures = Lab::new()?.none_gets_past(&techniques)?;
    println!("{figures:?}");
    Ok(())
}
