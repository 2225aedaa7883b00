//! The connections that a change would cut, in words.

use fw_common::{
    PortProtocol,
    grammar::{PortRange, Rule},
};
use serde::Serialize;

use crate::{
    host::processes::Process,
    lockout::{Cut, InterfaceOutlook, Outlook, inbound::Ownership},
    policy_text::words::open_ports,
    report::table::{indented, table},
};

/// The most lines for people.
const LINES: usize = 10;

/// The note for a kernel that cannot list its sockets.
pub(crate) const BLIND: &str = "note: this kernel cannot list its sockets (it lacks INET_DIAG), so fw-user cannot tell which connections this cuts\n";

/// The fix in a refusal, which depends on the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fix {
    /// Add the port to the allow list.
    Allow,
    /// Add the port to the allow list of a file.
    File,
    /// Open the port first.
    AllowFirst,
    /// Do not close the port.
    Keep,
}

/// A connection that is cut, in JSON.
#[derive(Debug, Serialize)]
pub(crate) struct CutJson {
    peer: Option<String>,
    proto: &'static str,
    port: u16,
    process: Option<String>,
}

/// The connections that the change of an interface cuts, in JSON.
#[must_use]
pub(crate) fn json(outlook: &Outlook, name: &str) -> Vec<CutJson> {
    let as_json = |cut: &Cut| CutJson {
        peer: cut.peer.map(|peer| peer.to_string()),
        proto: cut.protocol.name(),
        port: cut.port,
        process: cut.process.as_ref().map(|process| process.name.clone()),
    };
    outlook.cut(name).iter().map(as_json).collect()
}

/// The refusal of a command, with the fix.
#[must_use]
pub(crate) fn refusal(outlook: &Outlook, fix: Fix) -> String {
    let mut text = "this could lock you out; nothing was changed\n".to_owned();
    let mut fixes = Vec::new();
    for interface in outlook.interfaces.iter().filter(|interface| interface.locks_out()) {
        text += &format!("{} would cut:\n{}", interface.name, rows(interface));
        let advice = advice(interface, fix);
        if !fixes.contains(&advice) {
            fixes.push(advice);
        }
    }
    text + &fixes.join("\n") + "\nor, if you have another way into this machine: --force"
}

fn advice(interface: &InterfaceOutlook, fix: Fix) -> String {
    let missing = missing(interface);
    let rules = missing.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    match fix {
        Fix::Allow => {
            let mut policy = interface.after.clone();
            for rule in missing {
                policy.allow(rule);
            }
            format!("allow {rules} as well: --allow {}", open_ports(&policy).replace(", ", ","))
        }
        Fix::File => format!("add {rules} to the allow list in the file of {}", interface.name),
        Fix::AllowFirst => format!("allow it first: fw-user allow {rules} --interface {}", interface.name),
        Fix::Keep => format!("leave {rules} open"),
    }
}

/// The ports that must be open so that nobody is locked out.
fn missing(interface: &InterfaceOutlook) -> Vec<Rule> {
    let rule = |protocol, port| Some(Rule { protocol, ports: PortRange::new(port, port)?, source: None });
    let own = interface.cut.iter().filter(|cut| cut.ownership > Ownership::Other).filter_map(|cut| {
        let rule = rule(cut.protocol, cut.port)?;
        // If the port is open only to some, add this peer.
        let is_limited = interface.after.is_open_to_some(cut.protocol, cut.port);
        Some(Rule { source: cut.peer.filter(|_| is_limited).map(|peer| peer.ip().into()), ..rule })
    });
    let sshd = interface.sshd.iter().filter_map(|&port| rule(PortProtocol::Tcp, port));
    let mut missing: Vec<Rule> = own.chain(sshd).collect();
    missing.sort_unstable();
    missing.dedup();
    missing
}

/// The note on connections that are cut although the command continues; empty if there are none.
#[must_use]
pub(crate) fn note(outlook: &Outlook) -> String {
    let is_worth_a_word = |interface: &&InterfaceOutlook| !(interface.cut.is_empty() && interface.sshd.is_empty());
    outlook.interfaces.iter().filter(is_worth_a_word).fold(String::new(), |text, interface| {
        let verb = if interface.drops { "cuts" } else { "would cut outside monitor mode" };
        text + &format!("note: {} {verb}:\n{}", interface.name, rows(interface))
    })
}

fn rows(interface: &InterfaceOutlook) -> String {
    let mut rows: Vec<[String; 4]> = Vec::new();
    let port = |protocol: PortProtocol, port: u16| format!("{port}/{}", protocol.name());
    let (own, others): (Vec<&Cut>, Vec<&Cut>) = interface.cut.iter().partition(|cut| cut.ownership > Ownership::Other);
    let row = |cut: &Cut, note: &str| {
        let peer = cut.peer.map_or_else(|| "any".to_owned(), |peer| peer.to_string());
        [peer, port(cut.protocol, cut.port), process(cut.process.as_ref()), note.to_owned()]
    };
    rows.extend(own.iter().map(|cut| {
        let note = if cut.ownership == Ownership::Certain { "your session" } else { "may be your session" };
        row(cut, note)
    }));
    rows.extend(interface.sshd.iter().map(|&listened| {
        ["new sessions".to_owned(), port(PortProtocol::Tcp, listened), "sshd".to_owned(), String::new()]
    }));
    rows.extend(others.iter().map(|cut| row(cut, "")));
    let more = rows.len().saturating_sub(LINES);
    let mut lines = table(&["peer", "port", "process", ""], &[]);
    lines.add_rows(rows.into_iter().take(LINES));
    let more = if more > 0 { format!("  and {more} more\n") } else { String::new() };
    indented(&lines) + &more
}

fn process(process: Option<&Process>) -> String {
    process.map_or_else(|| "?".to_owned(), |process| format!("{} ({})", process.name, process.pid))
}
