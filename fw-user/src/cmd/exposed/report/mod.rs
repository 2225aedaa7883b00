//! The exposure as text for people.

pub(crate) mod facts;
pub(crate) mod json;
#[cfg(test)]
mod tests;
pub(crate) mod words;

use std::path::PathBuf;

use fw_common::{
    PortProtocol,
    grammar::{PortRange, Rule},
    policy::Policy,
    source::Source,
};

pub(crate) use crate::cmd::exposed::report::{facts::Facts, json::ExposedJson};

use crate::{
    cmd::exposed::{
        beside::Beside,
        exposure::{ExposedPort, Exposure, Filter, IngressPath, PortState},
        report::words::{place, reach, who},
    },
    host::{
        class::Side,
        netfilter::Netfilter,
        targets::{Docker, Targets, endpoint::Target},
    },
    lockout,
    policy_text::words::open_ports,
    report::table::{indented, table},
};

/// How many ports of clients are printed.
const CLIENTS_SHOWN: usize = 4;

/// For people.
#[must_use]
pub(crate) fn text(facts: &Facts<'_>) -> String {
    let Facts { exposure, targets, netfilter, beside } = *facts;
    let (clients, rows_of): (Vec<_>, Vec<_>) =
        exposure.ports.iter().zip(beside).partition(|(port, _)| port.is_of_client);
    let clients: Vec<&ExposedPort> = clients.into_iter().map(|(port, _)| port).collect();
    let served: Vec<&ExposedPort> = rows_of.iter().map(|(port, _)| *port).collect();
    let mut text = heads(exposure);
    text.push('\n');
    text += &if served.is_empty() { "  nobody listens\n".to_owned() } else { rows(exposure, &rows_of) };
    let mut notes = notes(exposure, targets, &clients);
    if let Netfilter::Unreadable(why) = netfilter {
        notes.push(format!("cannot tell what netfilter drops behind the filter: {why}"));
    }
    notes.extend(next_step(exposure, &served));
    if !notes.is_empty() {
        text += &format!("\n{}\n", notes.join("\n"));
    }
    text
}

/// The filters, one line for each ingress path.
fn heads(exposure: &Exposure) -> String {
    if exposure.paths.is_empty() {
        return "no outside interface has an address: no other machine reaches this one\n".to_owned();
    }
    let widest = exposure.paths.iter().map(|path| path.name.len()).max().unwrap_or_default();
    let line = |path: &IngressPath| {
        let mut filters: Vec<String> = path.judges.iter().map(|judge| head(exposure, path, judge.as_deref())).collect();
        if filters.len() > 1 {
            // Packets from a part of it without a filter pass.
            filters.sort_unstable();
        }
        format!("{:widest$}  {}\n", path.name, filters.join("; "))
    };
    exposure.paths.iter().map(line).collect()
}

fn head(exposure: &Exposure, path: &IngressPath, judge: Option<&str>) -> String {
    let Some(judge) = judge else {
        let left_out = |file: &PathBuf| format!("no filter: left out by `except` in {}", file.display());
        return path.left_out_by.as_ref().map_or_else(|| "no filter".to_owned(), left_out);
    };
    let at = if judge == path.name { String::new() } else { format!("at {judge}: ") };
    match exposure.filters.get(judge) {
        None => format!("{at}no filter"),
        Some(Filter::Unknown(words)) => format!("{at}{words}; what it lets in is unknown"),
        Some(Filter::Ours(ruling)) => {
            let monitor = if ruling.monitors { "MONITOR ONLY, nothing is dropped; would be " } else { "" };
            format!("{at}{} mode, {monitor}open: {}", ruling.mode.name(), open_ports(&ruling.policy))
        }
    }
}

fn rows(exposure: &Exposure, served: &[(&ExposedPort, &Option<Beside>)]) -> String {
    let counts = served.iter().any(|(port, _)| port.counted.is_some());
    let is_beside = served.iter().any(|(_, beside)| beside.is_some());
    let columns = [
        ("port", true),
        ("state", true),
        ("netfilter", is_beside),
        ("packets", counts),
        ("who", true),
        ("where", true),
    ];
    let columns: Vec<&str> = columns.iter().filter(|(_, is_shown)| *is_shown).map(|(column, _)| *column).collect();
    let right: Vec<usize> = columns.iter().position(|column| *column == "packets").into_iter().collect();
    let mut rows = table(&columns, &right);
    for (port, beside) in served {
        let mut row = vec![name(port), reach(&port.reach, exposure.paths.len())];
        if is_beside {
            row.push(beside.map_or("", Beside::words).to_owned());
        }
        if counts {
            row.push(port.counted.map_or_else(String::new, |counted| (counted.passed + counted.dropped).to_string()));
        }
        row.extend([who(&port.endpoint.target), place(port)]);
        rows.add_row(row);
    }
    indented(&rows)
}

fn name(port: &ExposedPort) -> String {
    format!("{}/{}", port.endpoint.local.port(), port.endpoint.protocol)
}

/// Further notes.
fn notes(exposure: &Exposure, targets: &Targets, clients: &[&ExposedPort]) -> Vec<String> {
    let mut notes = Vec::new();
    for unused in &exposure.unused {
        notes.push(format!("open on {}, and nobody listens: {}", unused.interface, open_ports(&unused.policy)));
    }
    if !clients.is_empty() {
        let mut names: Vec<String> = clients
            .iter()
            .take(CLIENTS_SHOWN)
            .map(|port| format!("{} ({})", name(port), port.endpoint.target))
            .collect();
        if let more @ 1.. = clients.len().saturating_sub(CLIENTS_SHOWN) {
            names.push(format!("{more} more"));
        }
        notes.push(format!("clients, at ports chosen by the kernel: {}", names.join(", ")));
    }
    match targets.docker() {
        Docker::Unreadable { socket, why } => {
            notes.push(format!("cannot ask Docker at {}: {why}", socket.display()));
        }
        #[cfg(not(feature = "docker"))]
        Docker::NotBuilt => notes.push("Docker is not asked: this fw-user was built without it".to_owned()),
        Docker::Absent | Docker::Read => {}
    }
    for protocol in [PortProtocol::Tcp, PortProtocol::Udp].iter().filter(|one| targets.unlisted().contains(one)) {
        notes.push(format!(
            "this kernel cannot list {} sockets: they are missing above",
            protocol.name().to_uppercase()
        ));
    }
    let is_unfiltered = |path: &&IngressPath| path.judges.contains(&None) && path.left_out_by.is_none();
    for path in exposure.paths.iter().filter(is_unfiltered).filter(|path| !path.can_be_filtered) {
        notes.push(format!(
            "{name} has no filter: open ports are reachable there; from Linux 6.6 on: fw-user attach {name} --allow PORTS",
            name = path.name
        ));
    }
    notes
}

/// The commands to type next.
fn next_step(exposure: &Exposure, served: &[&ExposedPort]) -> Vec<String> {
    let mut steps = Vec::new();
    let is_unfiltered =
        |path: &&IngressPath| path.can_be_filtered && path.judges.contains(&None) && path.left_out_by.is_none();
    let paths: Vec<&IngressPath> = exposure.paths.iter().filter(is_unfiltered).collect();
    let unfiltered: Vec<&str> = paths.iter().map(|path| path.name.as_str()).collect();
    let is_open_there =
        |port: &&&ExposedPort| port.reach.is_by(|name, state| *state == PortState::Open && unfiltered.contains(&name));
    let open: Vec<&&ExposedPort> = served.iter().filter(is_open_there).collect();
    if !open.is_empty() {
        let attach = format!("fw-user attach {} --allow", unfiltered.join(" "));
        let names = unfiltered.join(" and ");
        steps.push(format!("fw is not on {names}: open ports are reachable, unless another firewall closes them"));
        steps.push(format!("to close every port except PORTS: {attach} PORTS"));
        steps.push(format!("open now, to choose from: {}", words(&open)));
        let ssh: Vec<&&ExposedPort> = open.iter().copied().filter(|port| is_sshd(port)).collect();
        if !ssh.is_empty() {
            steps.push(format!("to keep only SSH open: {attach} {}", words(&ssh).replace(", ", ",")));
        }
    } else if paths.iter().any(|path| path.class.side != Side::Inside) {
        // No port is there to choose. The command must work as it stands, and keep the way in if sshd starts later.
        let names = unfiltered.join(" and ");
        steps.push(format!(
            "fw is not on {names}: nobody listens there now, but a service that starts later is reachable"
        ));
        steps.push(format!("to close every port except SSH: fw-user attach {} --allow 22/tcp", unfiltered.join(" ")));
    }
    let is_monitored = |port: &&ExposedPort| port.reach.worst() == Some(&PortState::Monitored);
    if served.iter().any(is_monitored) {
        steps.push("`fw-user enforce` closes what is `open (monitor)`".to_owned());
    }
    steps
}

fn is_sshd(port: &ExposedPort) -> bool {
    matches!(&port.endpoint.target, Target::Process(process) if lockout::is_sshd(process))
}

/// The ports as `--allow` takes them.
fn words(ports: &[&&ExposedPort]) -> String {
    let rule = |port: &&&ExposedPort| {
        let number = port.endpoint.local.port();
        Some(Rule {
            protocol: port.endpoint.protocol,
            ports: PortRange::new(number, number)?,
            source: Source::Everyone,
        })
    };
    open_ports(&Policy::new(ports.iter().filter_map(rule)))
}
