//! Dropped packets, one per line.

use std::{net::IpAddr, time::SystemTime};

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use serde::Serialize;

use crate::{
    kernel::maps::drops::DroppedPacket,
    packet::headers::{self, Headers},
    report::reasons,
};

/// A drop and what is known of it.
pub(crate) struct Entry<'a> {
    /// The interface.
    pub interface: &'a str,
    /// The kernel's record.
    pub drop: &'a DroppedPacket,
    /// Its headers.
    pub headers: Headers,
    /// Its receiver.
    pub target: Option<String>,
}

/// A line of `drops --json`.
#[derive(Serialize)]
pub(crate) struct DropJson<'a> {
    time: String,
    interface: &'a str,
    reason: &'static str,
    proto: String,
    source: Option<IpAddr>,
    source_port: Option<u16>,
    destination: Option<IpAddr>,
    port: Option<u16>,
    vlans: &'a [u16],
    mac: Option<String>,
    length: u32,
    monitor: bool,
    target: Option<&'a str>,
}

impl<'a> DropJson<'a> {
    /// In the form for JSON.
    #[must_use]
    pub(crate) fn new(entry: &'a Entry<'_>) -> Self {
        let headers = &entry.headers;
        Self {
            time: humantime::format_rfc3339_micros(entry.drop.at).to_string(),
            interface: entry.interface,
            reason: entry.drop.reason.name(),
            proto: headers.kind(),
            source: headers.source,
            source_port: headers.ports.map(|(source, _)| source),
            destination: headers.destination,
            port: headers.ports.map(|(_, destination)| destination),
            vlans: &headers.vlans,
            mac: headers.mac.map(headers::mac_words),
            length: entry.drop.length,
            monitor: entry.drop.passed,
            target: entry.target.as_deref(),
        }
    }
}

/// A line of `drops --json` that counts omitted drops.
#[derive(Serialize)]
pub(crate) struct MissingJson<'a> {
    time: String,
    interface: &'a str,
    left_out: u64,
}

impl<'a> MissingJson<'a> {
    /// In the form for JSON.
    #[must_use]
    pub(crate) fn new(interface: &'a str, at: SystemTime, left_out: u64) -> Self {
        Self { time: humantime::format_rfc3339_micros(at).to_string(), interface, left_out }
    }
}

/// The comment of a packet in a file.
#[must_use]
pub(crate) fn comment(entry: &Entry<'_>) -> String {
    let would = if entry.drop.passed { "would drop, " } else { "" };
    let reason = entry.drop.reason;
    let receiver = entry.target.as_ref().map(|target| format!("; it was for {target}")).unwrap_or_default();
    format!("{would}{reason}: it {}{receiver}", reasons::words(reason))
}

/// The columns of a list that is never complete: each is as wide as the widest cell so far.
pub(crate) struct Columns {
    zone: TimeZone,
    /// The day of the last line.
    day: Date,
    widths: [usize; 7],
}

/// The width that most lines need.
const WIDTHS: [usize; 7] = [12, 4, 0, 11, 3, 18, 16];

impl Columns {
    /// For lines from now on, by this machine's clock.
    #[must_use]
    pub(crate) fn new() -> Self {
        Self::at(TimeZone::system(), SystemTime::now())
    }

    fn at(zone: TimeZone, now: SystemTime) -> Self {
        let day = local(&zone, now).map_or(Date::ZERO, |(day, _)| day);
        Self { zone, day, widths: WIDTHS }
    }

    /// The titles of the columns.
    pub(crate) fn head(&mut self) -> String {
        self.line(["time", "at", "", "reason", "", "from", "to"].map(str::to_owned), "for")
    }

    /// A drop. If its day differs from that of the line before, the date stands above it.
    pub(crate) fn drop(&mut self, entry: &Entry<'_>) -> String {
        let headers = &entry.headers;
        let receiver = headers.receiver().unwrap_or_default();
        let receiver = headers.vlans.iter().fold(receiver, |to, vlan| format!("{to} vlan {vlan}"));
        let verdict = match (entry.drop.passed, self.widths[2]) {
            (true, _) => "would drop",
            // Named only if there are several.
            (false, 1..) => "drop",
            (false, 0) => "",
        };
        let (day, time) = self.time(entry.drop.at);
        let cells = [
            time,
            entry.interface.to_owned(),
            verdict.to_owned(),
            entry.drop.reason.to_string(),
            headers.kind(),
            headers.sender(),
            receiver,
        ];
        day + &self.line(cells, entry.target.as_deref().unwrap_or_default())
    }

    /// A note on an interface.
    pub(crate) fn note(&mut self, interface: &str, at: SystemTime, note: &str) -> String {
        let (day, time) = self.time(at);
        let [of_time, of_interface, ..] = self.widths;
        format!("{day}{time:<of_time$}  {interface:<of_interface$}  {note}\n")
    }

    fn time(&mut self, at: SystemTime) -> (String, String) {
        let Some((day, time)) = local(&self.zone, at) else { return (String::new(), "unknown".to_owned()) };
        if day == self.day {
            return (String::new(), time);
        }
        self.day = day;
        (format!("{day}\n"), time)
    }

    fn line(&mut self, cells: [String; 7], last: &str) -> String {
        let mut line = String::new();
        for (width, cell) in self.widths.iter_mut().zip(cells) {
            *width = (*width).max(cell.chars().count());
            if *width > 0 {
                line += &format!("{cell:<width$}  ");
            }
        }
        format!("{}\n", (line + last).trim_end())
    }
}

impl Default for Columns {
    fn default() -> Self {
        Self::new()
    }
}

/// Local day and time.
fn local(zone: &TimeZone, at: SystemTime) -> Option<(Date, String)> {
    let local = zone.to_datetime(Timestamp::try_from(at).ok()?);
    Some((local.date(), local.strftime("%H:%M:%S%.3f").to_string()))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use fw_common::Reason;

    use super::*;

    fn seconds(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(seconds * 1000 + 7)
    }

    fn drop(at: SystemTime, passed: bool) -> DroppedPacket {
        DroppedPacket { at, reason: Reason::Malformed, passed, length: 60, is_bare: false, bytes: Vec::new() }
    }

    fn entry<'a>(drop: &'a DroppedPacket, source: &str) -> Entry<'a> {
        let headers = Headers {
            source: Some(source.parse().expect("an address")),
            destination: Some("192.0.2.1".parse().expect("an address")),
            protocol: Some(17),
            ports: Some((5, 53)),
            ..Headers::default()
        };
        Entry { interface: "eth0", drop, headers, target: None }
    }

    #[test]
    fn a_day_that_is_not_today_is_named_once() {
        let mut columns = Columns::at(TimeZone::UTC, seconds(86_400 + 60));
        let (yesterday, today) = (drop(seconds(86_399), false), drop(seconds(86_400), false));
        let lines: String =
            [&yesterday, &yesterday, &today].map(|drop| columns.drop(&entry(drop, "192.0.2.7"))).concat();
        let starts: Vec<&str> = lines.lines().map(|line| line.split("  ").next().unwrap_or_default()).collect();
        assert_eq!(starts, ["1970-01-01", "23:59:59.007", "23:59:59.007", "1970-01-02", "00:00:00.007"]);
    }

    #[test]
    fn the_time_is_that_of_the_wall() {
        let east = TimeZone::fixed(jiff::tz::offset(5));
        let mut columns = Columns::at(east, seconds(0));
        let line = columns.drop(&entry(&drop(seconds(0), false), "192.0.2.7"));
        assert_eq!(line, "05:00:00.007  eth0  malformed    udp  192.0.2.7:5         192.0.2.1:53\n");
    }

    #[test]
    fn columns_grow_and_never_shrink() {
        let mut columns = Columns::at(TimeZone::UTC, seconds(0));
        let drop = drop(seconds(0), false);
        let at = |line: &str| line.find("192.0.2.1:53");
        let narrow = columns.drop(&entry(&drop, "192.0.2.7"));
        let wide = columns.drop(&entry(&drop, "2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff"));
        let after = columns.drop(&entry(&drop, "192.0.2.7"));
        assert!(at(&narrow) < at(&wide));
        assert_eq!(at(&wide), at(&after));
    }

    #[test]
    fn what_monitoring_lets_through_is_told_apart_from_then_on() {
        let mut columns = Columns::at(TimeZone::UTC, seconds(0));
        let (real, passed) = (drop(seconds(0), false), drop(seconds(0), true));
        let lines = [&real, &passed, &real].map(|drop| columns.drop(&entry(drop, "192.0.2.7")));
        assert!(lines[0].contains("eth0  malformed"), "{}", lines[0]);
        assert!(lines[1].contains("eth0  would drop  malformed"), "{}", lines[1]);
        assert!(lines[2].contains("eth0  drop        malformed"), "{}", lines[2]);
    }
}
