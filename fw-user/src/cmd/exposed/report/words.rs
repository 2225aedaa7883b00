//! The cells of the table.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::{
    cmd::exposed::exposure::{ExposedPort, PortState, Reach},
    host::targets::endpoint::Target,
};

/// The word for a service at every address.
const ANY: &str = "any address";

/// How many addresses or networks stand in a cell.
const SHOWN: usize = 3;

/// The process or container that serves a port.
pub(crate) fn who(target: &Target) -> String {
    match target {
        Target::Process(process) => format!("{} ({})", process.name, process.pid),
        Target::Container(container) => {
            // The registry of the image is only in the JSON.
            let image = container.image.rsplit('/').next().unwrap_or_default();
            format!("{target}, {image}")
        }
        Target::Unseen => "no process: the kernel?".to_owned(),
    }
}

/// The addresses that it is served at, and the targets that Docker forwards to.
pub(crate) fn place(port: &ExposedPort) -> String {
    let mut words = addresses(&port.addresses);
    if words == ANY && !port.forwards.is_empty() {
        words.clear();
    }
    if let Some(device) = &port.device {
        words += &format!(" on {device}");
    }
    if let Some(forward) = port.forwards.first() {
        words += &format!(" -> {forward}");
    }
    words.trim_start().to_owned()
}

pub(crate) fn addresses(addresses: &[(IpAddr, bool)]) -> String {
    let is_any = |address: &IpAddr| address.is_unspecified();
    let ipv4 = addresses.iter().any(|(address, only_ipv6)| is_any(address) && !(address.is_ipv6() && *only_ipv6));
    let ipv6 = addresses.iter().any(|(address, _)| is_any(address) && address.is_ipv6());
    let mut words: Vec<String> = match (ipv4, ipv6) {
        (true, true) => vec![ANY.to_owned()],
        (true, false) => vec!["any IPv4".to_owned()],
        (false, true) => vec!["any IPv6".to_owned()],
        (false, false) => Vec::new(),
    };
    let is_covered = |address: &IpAddr| if address.is_ipv4() { ipv4 } else { ipv6 };
    let others = addresses.iter().map(|(address, _)| address).filter(|address| !is_covered(address));
    words.extend(others.map(ToString::to_string));
    shortened(words, "more")
}

/// As many as fit, and how many more there are.
fn shortened(mut words: Vec<String>, what: &str) -> String {
    if words.len() > SHOWN {
        let more = words.len() - (SHOWN - 1);
        words.truncate(SHOWN - 1);
        words.push(format!("{more} {what}"));
    }
    words.join(", ")
}

/// Its state: one line if all paths agree, else one for each state.
pub(crate) fn reach(reach: &Reach, paths: usize) -> String {
    let states = match reach {
        Reach::Local => return "local only".to_owned(),
        Reach::Only(name) => return format!("{name} only"),
        Reach::By(states) => states,
    };
    let mut kinds: Vec<(&PortState, Vec<&str>)> = Vec::new();
    for (name, state) in states {
        match kinds.iter_mut().find(|(kind, _)| *kind == state) {
            Some((_, names)) => names.push(name),
            None => kinds.push((state, vec![name])),
        }
    }
    kinds.sort_by(|one, other| other.0.cmp(one.0));
    let line = |(kind, names): &(&PortState, Vec<&str>)| {
        let words = state(kind);
        if names.len() == paths { words } else { format!("{words} on {}", names.join(", ")) }
    };
    kinds.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn state(state: &PortState) -> String {
    let list = |networks: &[IpNet]| shortened(networks.iter().map(ToString::to_string).collect(), "networks more");
    let mut words = match state {
        PortState::OpenTo { networks, .. } => format!("open to {}", list(networks)),
        PortState::OpenToMost { .. } => "open to everyone".to_owned(),
        PortState::Monitored => "open (monitor)".to_owned(),
        PortState::Closed | PortState::Unknown | PortState::Open => state.name().to_owned(),
    };
    if !state.except().is_empty() {
        words += &format!(" except {}", list(state.except()));
    }
    words
}
