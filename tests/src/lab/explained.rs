//! The output of `fw-user explain --json`, with exactly the documented fields, and its files of packets.

use std::{fs, net::IpAddr, path::Path};

use anyhow::{Context, Result};
use serde::Deserialize;

/// One packet.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Explained {
    /// The interface whose filter was asked.
    pub interface: String,
    /// The packet's number in its file.
    pub packet: Option<u64>,
    /// `tcp`, `icmp`, `arp`, ...
    pub proto: String,
    /// The sender.
    pub source: Option<IpAddr>,
    /// Its port.
    pub source_port: Option<u16>,
    /// The receiver.
    pub destination: Option<IpAddr>,
    /// The port that it is for.
    pub port: Option<u16>,
    /// Bytes.
    pub length: usize,
    /// `pass` or `drop`.
    pub verdict: Option<String>,
    /// The name of the reason.
    pub reason: Option<String>,
    /// The reason in words.
    pub because: Option<String>,
    /// Whether nothing is really dropped.
    pub monitor: bool,
    /// The rule.
    pub rule: Option<String>,
    /// The listener there.
    pub target: Option<String>,
    /// The fix.
    pub fix: Option<String>,
    /// The former name of `fix`.
    pub cure: Option<String>,
    /// Further notes.
    pub notes: Vec<String>,
    /// Why the verdict is unknown.
    pub error: Option<String>,
}

impl Explained {
    /// Verdict and reason in one string, `drop closed-port`.
    #[must_use]
    pub fn outcome(&self) -> String {
        let word = |word: &Option<String>| word.clone().unwrap_or_else(|| "none".to_owned());
        format!("{} {}", word(&self.verdict), word(&self.reason))
    }

    /// Read the lines that `explain --json` printed.
    ///
    /// # Errors
    /// A line is not as documented.
    pub fn read(lines: &str) -> Result<Vec<Self>> {
        lines
            .lines()
            .map(|line| serde_json::from_str(line).with_context(|| format!("explain printed {line}")))
            .collect()
    }
}

/// Link types of pcap files (<https://www.tcpdump.org/linktypes.html>).
pub mod link_type {
    /// Ethernet frames.
    pub const ETHERNET: u32 = 1;
    /// "Linux cooked" packets, as of a capture on all interfaces.
    pub const LINUX_SLL: u32 = 113;
}

/// The bytes of a pcap file. Of each frame no more than `snap` bytes are kept.
#[must_use]
pub fn pcap(link_type: u32, frames: &[Vec<u8>], snap: usize) -> Vec<u8> {
    let mut file = Vec::new();
    // Magic number, version 2.4, time zone, accuracy, longest packet, link type.
    for word in [0xa1b2_c3d4, 0x0004_0002, 0, 0, 262_144, link_type] {
        file.extend(word.to_le_bytes());
    }
    for frame in frames {
        let kept = &frame[..frame.len().min(snap)];
        // Seconds, microseconds, bytes kept, bytes on the wire.
        for word in [0, 0, kept.len() as u32, frame.len() as u32] {
            file.extend(word.to_le_bytes());
        }
        file.extend(kept);
    }
    file
}

/// Write such a file with whole frames of Ethernet.
///
/// # Errors
/// It cannot be written.
pub fn write_pcap(path: &Path, frames: &[Vec<u8>]) -> Result<()> {
    Ok(fs::write(path, pcap(link_type::ETHERNET, frames, usize::MAX))?)
}
