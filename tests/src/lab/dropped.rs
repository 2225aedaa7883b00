//! The output of `fw-user drops --json`, with exactly the documented fields, and its files of packets.

use std::net::IpAddr;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

/// One line.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Line {
    /// A drop.
    Dropped(Dropped),
    /// How many more there were.
    LeftOut(LeftOut),
}

/// A drop.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dropped {
    /// RFC 3339, UTC.
    pub time: String,
    /// The interface.
    pub interface: String,
    /// The name of the reason.
    pub reason: String,
    /// `tcp`, `icmp`, `arp`, ...
    pub proto: String,
    /// The sender.
    pub source: Option<IpAddr>,
    /// Its port.
    pub source_port: Option<u16>,
    /// The receiver.
    pub destination: Option<IpAddr>,
    /// The port that it was for.
    pub port: Option<u16>,
    /// VLAN IDs, the outer one first.
    pub vlans: Vec<u16>,
    /// The sender's MAC address.
    pub mac: Option<String>,
    /// Bytes.
    pub length: usize,
    /// Whether it passed all the same.
    pub monitor: bool,
    /// The listener at its destination.
    pub target: Option<String>,
}

/// Drops that are not there.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeftOut {
    /// RFC 3339, UTC.
    pub time: String,
    /// The interface.
    pub interface: String,
    /// How many.
    pub left_out: u64,
}

/// Everything that `drops --json` printed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Drops {
    /// The drops, in the order of the lines.
    pub lines: Vec<Dropped>,
    /// How many more there were.
    pub left_out: u64,
}

impl Drops {
    /// Read the lines.
    ///
    /// # Errors
    /// One is not as documented.
    pub fn read(text: &str) -> Result<Self> {
        let mut drops = Self::default();
        for line in text.lines() {
            match serde_json::from_str(line).with_context(|| format!("drops printed {line}"))? {
                Line::Dropped(dropped) => drops.lines.push(dropped),
                Line::LeftOut(more) => drops.left_out += more.left_out,
            }
        }
        Ok(drops)
    }

    /// Reason and port of each line.
    #[must_use]
    pub fn kinds(&self) -> Vec<(&str, Option<u16>)> {
        self.lines.iter().map(|line| (line.reason.as_str(), line.port)).collect()
    }
}

/// A packet of a pcapng file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FiledPacket {
    /// The interface's name.
    pub interface: String,
    /// Nanoseconds since 1970.
    pub at: u64,
    /// Its bytes, as far as they are there.
    pub bytes: Vec<u8>,
    /// Its length on the wire.
    pub len: usize,
    /// The comment.
    pub comment: String,
}

/// A pcapng file of one section in this machine's byte order, with times in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PcapNg {
    /// The packets.
    pub packets: Vec<FiledPacket>,
    /// The interfaces, each with how many of its packets are missing at the end.
    pub interfaces: Vec<(String, Option<u64>)>,
}

impl PcapNg {
    /// Read a file (draft-ietf-opsawg-pcapng, 4).
    ///
    /// # Errors
    /// It is none.
    pub fn read(file: &[u8]) -> Result<Self> {
        const SECTION: u32 = 0x0a0d_0d0a;
        const INTERFACE: u32 = 1;
        const STATISTICS: u32 = 5;
        const PACKET: u32 = 6;
        let mut found = Self::default();
        let mut rest = file;
        while !rest.is_empty() {
            let (kind, len) = (u32_at(rest, 0)?, u32_at(rest, 4)? as usize);
            let block = rest.get(..len).context("a block that breaks off")?;
            ensure!(len.is_multiple_of(4) && u32_at(block, len - 4)? as usize == len, "lengths of a block differ");
            let body = &block[8..len - 4];
            rest = &rest[len..];
            match kind {
                SECTION => ensure!(u32_at(body, 0)? == 0x1a2b_3c4d, "another byte order"),
                INTERFACE => {
                    ensure!(u32_at(body, 0)? == 1, "not Ethernet");
                    let options = options(&body[8..])?;
                    ensure!(option(&options, 9)? == [9], "times are not in nanoseconds");
                    found.interfaces.push((String::from_utf8(option(&options, 2)?.to_vec())?, None));
                }
                PACKET => {
                    let kept = u32_at(body, 12)? as usize;
                    let bytes = body.get(20..20 + kept).context("a packet that breaks off")?.to_vec();
                    let options = options(&body[20 + kept.next_multiple_of(4)..])?;
                    ensure!(option(&options, 2)? == 1_u32.to_ne_bytes(), "it did not come in");
                    found.packets.push(FiledPacket {
                        interface: found.interfaces[u32_at(body, 0)? as usize].0.clone(),
                        at: u64::from(u32_at(body, 4)?) << 32 | u64::from(u32_at(body, 8)?),
                        bytes,
                        len: u32_at(body, 16)? as usize,
                        comment: String::from_utf8(option(&options, 1)?.to_vec())?,
                    });
                }
                STATISTICS => {
                    let options = options(&body[12..])?;
                    let missing = u64::from_ne_bytes(option(&options, 5)?.try_into()?);
                    found.interfaces[u32_at(body, 0)? as usize].1 = Some(missing);
                }
                other => anyhow::bail!("a block of type {other}"),
            }
        }
        Ok(found)
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32> {
    Ok(u32::from_ne_bytes(bytes.get(at..at + 4).context("the file ends")?.try_into()?))
}

fn options(mut bytes: &[u8]) -> Result<Vec<(u16, Vec<u8>)>> {
    let mut found = Vec::new();
    while let [k0, k1, l0, l1, rest @ ..] = bytes {
        let (kind, len) = (u16::from_ne_bytes([*k0, *k1]), usize::from(u16::from_ne_bytes([*l0, *l1])));
        if kind == 0 {
            break;
        }
        found.push((kind, rest.get(..len).context("an option that breaks off")?.to_vec()));
        bytes = rest.get(len.next_multiple_of(4)..).context("an option without its padding")?;
    }
    Ok(found)
}

fn option(options: &[(u16, Vec<u8>)], kind: u16) -> Result<&[u8]> {
    options
        .iter()
        .find(|(of, _)| *of == kind)
        .map(|(_, value)| value.as_slice())
        .with_context(|| format!("no option {kind}"))
}
