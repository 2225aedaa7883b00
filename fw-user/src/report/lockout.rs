//! The connections that a change would cut, in words.

use fw_common::{
    PortProtocol,
    grammar::{PortRange, Rule},
    source::Source,
};
use serde::Serialize;

use crate::{
    host::processes::Process,
    lockout::{Cut, InterfaceOutlook, Outlook, inbound::Ownership, is_sshd},
    policy_text::words::open_ports,
    report::{
        table::{indented, table},
        user,
    },
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
        if let Some(advice) = advice(interface, fix)
            && !fixes.contains(&advice)
        {
            fixes.push(advice);
        }
    }
    let or = if fixes.is_empty() { "" } else { "\nor, " };
    text + &fixes.join("\n") + or + "if you have another way into this machine: --force"
}

fn advice(interface: &InterfaceOutlook, fix: Fix) -> Option<String> {
    let missing = missing(interface);
    if missing.is_empty() {
        return None;
    }
    let rules = missing.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    Some(match fix {
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
    })
}

/// The ports that must be open so that nobody is locked out. A user's process that calls itself `sshd` is no reason to open a port.
fn missing(interface: &InterfaceOutlook) -> Vec<Rule> {
    let rule = |protocol, port| Some(Rule { protocol, ports: PortRange::new(port, port)?, source: Source::Everyone });
    let is_users_sshd = |process: &Process| is_sshd(process) && process.uid != 0;
    let is_reason = |cut: &&Cut| match cut.ownership {
        Ownership::Other => false,
        Ownership::Possible => !cut.process.as_ref().is_some_and(is_users_sshd),
        Ownership::Certain => true,
    };
    let own = interface.cut.iter().filter(is_reason).filter_map(|cut| {
        let rule = rule(cut.protocol, cut.port)?;
        // If the port is open only to some, add this peer.
        let is_limited = interface.after.is_open_to_some(cut.protocol, cut.port);
        let peer = cut.peer.filter(|_| is_limited).map(|peer| Source::Network(peer.ip().into()));
        Some(Rule { source: peer.unwrap_or_default(), ..rule })
    });
    let sshd = interface.sshd.iter().filter(|(_, uid)| **uid == 0);
    let sshd = sshd.filter_map(|(&port, _)| rule(PortProtocol::Tcp, port));
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
    rows.extend(interface.sshd.iter().map(|(&listened, &uid)| {
        ["new sessions".to_owned(), port(PortProtocol::Tcp, listened), of_user("sshd", uid), String::new()]
    }));
    rows.extend(others.iter().map(|cut| row(cut, "")));
    let more = rows.len().saturating_sub(LINES);
    let mut lines = table(&["peer", "port", "process", ""], &[]);
    lines.add_rows(rows.into_iter().take(LINES));
    let more = if more > 0 { format!("  and {more} more\n") } else { String::new() };
    indented(&lines) + &more
}

fn process(process: Option<&Process>) -> String {
    process
        .map_or_else(|| "?".to_owned(), |process| of_user(&format!("{} ({})", process.name, process.pid), process.uid))
}

/// A process with the user that it runs as, if that is not root.
fn of_user(process: &str, uid: u32) -> String {
    if uid == 0 { process.to_owned() } else { format!("{process} of {}", user::name(uid)) }
}
