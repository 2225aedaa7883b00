//! Hundreds of oddly shaped packets, made by scapy, against an attached filter. Each goes to a port of its own, so that what arrives tells
//! what got past.

use anyhow::{Context, Result, ensure};
use fw_tests::{
    lab::{Lab, Mode, command, skip::need},
    tests,
};

tests! {
    oddly_shaped_packets_do_not_get_past_the_filter;
}

const SCRIPT: &str = include_str!("evasion/shapes.py");
/// The port of the first shape; no port from here on is allowed.
const FIRST_PORT: u16 = 20_000;

/// A shape, as the script tells of it.
struct Shape {
    name: String,
    port: u16,
    /// Whether it arrives where there is no filter, if that is certain.
    arrives: Option<bool>,
}

fn oddly_shaped_packets_do_not_get_past_the_filter() -> Result<()> {
    need("scapy3", "python3-scapy")?;
    let lab = Lab::new()?;
    lab.pi.open_input()?;
    lab.pi.count_arrivals()?;
    let shapes = send(&lab)?;
    let arrived = lab.await_arrivals("the last shape", |now| now.at(FIRST_PORT) > 0)?;
    let strange: Vec<_> = shapes
        .iter()
        .filter(|shape| shape.arrives.is_some_and(|arrives| arrives != (arrived.at(shape.port) > 0)))
        .map(|shape| &shape.name)
        .collect();
    ensure!(strange.is_empty(), "without the filter these fare otherwise than said: {strange:?}");
    let without: u64 = shapes.iter().map(|shape| arrived.at(shape.port)).sum();

    let mut sent = 0;
    for mode in [Mode::Native, Mode::Generic] {
        // The first shape, which is none, goes to a port that is open: what passes is counted.
        lab.attach(mode, &format!("22,80,443,{FIRST_PORT}"))?;
        lab.pi.count_arrivals()?;
        let before = lab.moment()?;
        send(&lab)?;
        sent += lab.await_judged(before)?.0;
        let arrived = lab.pi.arrivals()?;
        let past: Vec<_> = shapes.iter().filter(|shape| arrived.at(shape.port) > 0).map(|shape| &shape.name).collect();
        ensure!(past == ["no oddity, TCP"], "past the filter in {mode} mode: {past:?}");
        lab.fw(&["detach", "eth0"])?;
    }
    println!("{} shapes, {without} arrivals without the filter, {sent} packets sent with it", shapes.len());
    Ok(())
}

/// Send them all.
fn send(lab: &Lab) -> Result<Vec<Shape>> {
    let mac = lab.pi.mac("eth0")?.map(|byte| format!("{byte:02x}")).join(":");
    let mut python = lab.lan.command("/usr/bin/python3");
    python.args(["-", &mac, &FIRST_PORT.to_string()]);
    let said = command::run_with_input(&mut python, SCRIPT.as_bytes())?;
    let shapes = said.lines().map(|line| {
        let mut fields = line.splitn(3, '\t');
        let mut field = || fields.next().with_context(|| format!("the script said {line:?}"));
        let port = field()?.parse()?;
        let arrives = match field()? {
            "stack" => Some(true),
            "nothing" => Some(false),
            _ => None,
        };
        Ok(Shape { name: field()?.to_owned(), port, arrives })
    });
    shapes.collect()
}
