//! The output of `fw-user stats --json`, `status --json` and the commands that change something, with exactly the documented fields.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::Value;

/// Packets and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Count {
    /// Packets.
    pub packets: u64,
    /// Bytes with Ethernet headers.
    pub bytes: u64,
}

/// The answer of `stats --json`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stats {
    /// One for each attached interface.
    pub interfaces: Vec<InterfaceStats>,
}

/// One interface's counters.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InterfaceStats {
    /// The interface's name.
    pub name: String,
    /// `native` or `generic`.
    pub mode: String,
    /// Whether nothing is really dropped.
    pub monitor: bool,
    /// All that passed.
    pub passed: Count,
    /// All that was dropped.
    pub dropped: Count,
    /// The same by reason; reasons that never occurred may be left out.
    pub reasons: BTreeMap<String, Count>,
    /// By destination port.
    pub ports: Vec<PortStats>,
    /// Entries of the flow tables.
    pub flows: u64,
}

/// One port's counters, in packets.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PortStats {
    /// `tcp`, `udp`, `sctp`, `dccp` or `udplite`.
    pub proto: String,
    /// The port.
    pub port: u16,
    /// Whether the policy allows it, to some source at least.
    pub allowed: bool,
    /// Packets that passed because the port is allowed.
    pub passed: u64,
    /// Packets that were dropped.
    pub dropped: u64,
}

impl Stats {
    /// The counters of one interface.
    ///
    /// # Errors
    /// It is not among them.
    pub fn interface(&self, name: &str) -> Result<&InterfaceStats> {
        self.interfaces.iter().find(|interface| interface.name == name).with_context(|| format!("no stats of {name}"))
    }
}

impl InterfaceStats {
    /// The count of a reason, nothing where it never occurred.
    #[must_use]
    pub fn reason(&self, name: &str) -> Count {
        self.reasons.get(name).copied().unwrap_or_default()
    }

    /// The counters of a port, where it saw traffic or is allowed.
    #[must_use]
    pub fn port(&self, proto: &str, port: u16) -> Option<&PortStats> {
        self.ports.iter().find(|entry| entry.proto == proto && entry.port == port)
    }

    /// How many packets to a port were dropped.
    #[must_use]
    pub fn dropped_at(&self, proto: &str, port: u16) -> u64 {
        self.port(proto, port).map_or(0, |entry| entry.dropped)
    }
}

/// The answer of `status --json`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Status {
    /// One for each interface that has pins.
    pub interfaces: Vec<InterfaceStatus>,
    /// The outside interfaces that have an address and no filter.
    pub unfiltered: Vec<Unfiltered>,
    /// Bytes that all maps take.
    pub map_memory: u64,
    /// The capacity of each of the two flow tables; `None` if nothing is attached.
    pub flow_capacity: Option<u32>,
    /// How many networks are banned; nothing where the ledger cannot be read.
    pub bans: Option<u32>,
}

/// An interface that is open.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unfiltered {
    /// The interface's name.
    pub name: String,
    /// Which way it leads.
    pub class: String,
    /// Its addresses.
    pub addresses: Vec<String>,
    /// The ports that are served there.
    pub open: Vec<String>,
    /// The file whose `except` leaves it out.
    pub except: Option<String>,
}

/// A policy, as `status` and the commands that change it print it. Its fields are among those of the interface.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct PolicyShape {
    /// The open ports.
    pub allow: Vec<String>,
    /// The same as it was typed.
    pub rules: Vec<TypedRule>,
    /// The limit of echo requests.
    pub ping: Option<String>,
    /// The IP protocols without ports that may come in.
    pub allow_proto: Vec<String>,
    /// `drop`, `pass` or networks.
    pub forward: Value,
    /// Who gets an answer from closed ports.
    pub refuse: String,
    /// Seconds by the name of the timeout.
    pub timeouts: BTreeMap<String, u32>,
}

/// A rule as it was typed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TypedRule {
    /// `allow`, `limit` or `deny`.
    pub action: String,
    /// As for that command.
    pub rule: String,
    /// Its comment.
    pub comment: Option<String>,
    /// Seconds left.
    pub ends_in: Option<u64>,
}

/// One attachment.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InterfaceStatus {
    /// The interface's name.
    pub name: String,
    /// `active`, or what is wrong.
    pub state: String,
    /// Which way the interface leads.
    pub class: Option<String>,
    /// Why it is classed so.
    pub class_reason: Option<String>,
    /// The problems.
    pub problems: Vec<String>,
    /// The fix.
    pub fix: Option<String>,
    /// The former name of `fix`.
    pub cure: Option<String>,
    /// `native` or `generic`.
    pub mode: String,
    /// `tcx`, `clsact` or `none`.
    pub egress: String,
    /// When it was attached first, RFC 3339.
    pub since: String,
    /// Who attached.
    pub uid: u32,
    /// The version of `fw-user` that attached last.
    pub version: String,
    /// Bytes that this interface's own maps take.
    pub map_memory: u64,
    /// The effect of a reboot.
    pub boot: Value,
    /// Whether nothing is dropped.
    pub monitor: bool,
    /// How many seconds the last change can still be confirmed.
    pub confirm_within: Option<u64>,
    /// Whether packets that `IPsec` has decrypted pass.
    pub passes_decrypted: bool,
    /// The policy.
    #[serde(flatten)]
    pub policy: PolicyShape,
}

/// One interface in the answers of `attach --json`, `allow --json` and `deny --json`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// Of `attach`, `allow` and `deny`: the effect of a reboot.
    pub boot: Option<Value>,
    /// Of `attach`: the changes.
    pub difference: Option<Value>,
    /// The interface's name.
    pub name: String,
    /// Of `attach`: the mode.
    pub mode: Option<String>,
    /// Of `attach`: why native mode failed.
    pub not_native: Option<String>,
    /// Of `attach`: whether a filter was there before.
    pub replaced: Option<bool>,
    /// Of `attach`: whether nothing is dropped.
    pub monitor: Option<bool>,
    /// Of `allow` and `deny`: whether the policy changed.
    pub changed: Option<bool>,
    /// Of `allow` and `deny`: whether the interface's file agrees.
    pub in_file: Option<bool>,
    /// Of `allow` and `deny`: seconds left to confirm what changed, if it is on trial.
    pub confirm_within: Option<u64>,
    /// Of `attach`: notes on the filter.
    pub notes: Option<Vec<String>>,
    /// The open connections that were cut.
    pub cut: Vec<Cut>,
    /// The policy.
    #[serde(flatten)]
    pub policy: PolicyShape,
}

/// A connection that was cut.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cut {
    /// Address and port of the other end.
    pub peer: Option<String>,
    /// The transport.
    pub proto: String,
    /// The port here.
    pub port: u16,
    /// The name of the process that had it.
    pub process: Option<String>,
}

/// The answer of a command that changes something.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Changes {
    /// The outside interfaces that have an address and no filter.
    #[serde(default)]
    pub unfiltered: Vec<Unfiltered>,
    /// Further notes.
    #[serde(default)]
    pub notes: Vec<String>,
    /// One for each interface.
    pub interfaces: Vec<Change>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// serde does not promise that `deny_unknown_fields` holds for a struct with a `flatten`.
    #[test]
    fn a_field_that_is_not_documented_is_refused() {
        let status = json!({
            "name": "eth0", "state": "active", "class": null, "class_reason": null, "problems": [], "fix": null, "cure": null,
            "mode": "native", "egress": "tcx", "since": "", "uid": 0, "version": "", "map_memory": 0, "boot": null,
            "monitor": false, "confirm_within": null, "passes_decrypted": false,
            "allow": ["22/tcp"], "rules": [], "ping": null, "allow_proto": [], "forward": "drop", "refuse": "nobody",
            "timeouts": {},
        });
        let change = json!({
            "name": "eth0", "cut": [], "allow": ["22/tcp"], "rules": [], "ping": null, "allow_proto": [], "forward": "drop", "refuse": "nobody",
            "timeouts": {},
        });
        let with = |documented: &Value, field: &str| {
            let mut value = documented.clone();
            value[field] = json!("drop");
            value
        };
        assert!(InterfaceStatus::deserialize(&with(&status, "forward")).is_ok());
        assert!(InterfaceStatus::deserialize(&with(&status, "backward")).is_err());
        assert!(Change::deserialize(&with(&change, "forward")).is_ok());
        assert!(Change::deserialize(&with(&change, "backward")).is_err());
    }
}
