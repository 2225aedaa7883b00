//! What netfilter does with the packets to a port, beside the filter's verdict.

use std::net::IpAddr;

use crate::{
    cmd::exposed::exposure::{ExposedPort, Exposure, IngressPath, Reach},
    host::{
        netfilter::{
            ruleset::Ruleset,
            verdict::{Fate, Packet},
        },
        network::Network,
        targets::endpoint::Target,
    },
};

/// What netfilter does with the packets to a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beside {
    Drops,
    LetsIn,
    LetsIpv4In,
    LetsIpv6In,
    /// Docker redirects its packets, of one family at least, and the input chain never sees them.
    GetsPast,
    /// It passes on one interface and not on another.
    Differs,
    /// It depends on the sender, or on rules that are not understood.
    Unknown,
}

impl Beside {
    /// In JSON.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Drops => "dropped",
            Self::LetsIn => "accepted",
            Self::LetsIpv4In => "ipv4 accepted",
            Self::LetsIpv6In => "ipv6 accepted",
            Self::GetsPast => "bypassed",
            Self::Differs => "differs",
            Self::Unknown => "unknown",
        }
    }

    /// For people.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Drops => "nftables drops it",
            Self::LetsIn => "nftables lets it in",
            Self::LetsIpv4In => "nftables lets only IPv4 in",
            Self::LetsIpv6In => "nftables lets only IPv6 in",
            Self::GetsPast => "gets past nftables (Docker)",
            Self::Differs => "nftables: differs by interface",
            Self::Unknown => "nftables: unknown",
        }
    }
}

/// For one family, on one interface.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Judged {
    is_ipv6: bool,
    fate: Fate,
    is_redirected: bool,
}

/// What netfilter does with the packets to a port that the network reaches, or would reach without a filter.
pub(crate) fn of(port: &ExposedPort, exposure: &Exposure, network: &Network, ruleset: &Ruleset) -> Option<Beside> {
    let Reach::By(states) = &port.reach else { return None };
    let paths = exposure.paths.iter().filter(|path| states.iter().any(|(name, _)| *name == path.name));
    let mut judged: Vec<Judged> = Vec::new();
    for path in paths {
        for is_ipv6 in [false, true] {
            if serves(port, is_ipv6) && path.addresses.iter().any(|address| address.is_ipv6() == is_ipv6) {
                judged.push(judge(port, path, is_ipv6, network, ruleset));
            }
        }
    }
    Some(together(&judged))
}

fn serves(port: &ExposedPort, is_ipv6: bool) -> bool {
    port.addresses.iter().any(|(address, only_ipv6)| match address {
        IpAddr::V4(_) => !is_ipv6,
        IpAddr::V6(address) => is_ipv6 || (address.is_unspecified() && !only_ipv6),
    })
}

fn judge(port: &ExposedPort, path: &IngressPath, is_ipv6: bool, network: &Network, ruleset: &Ruleset) -> Judged {
    let (protocol, number) = (port.endpoint.protocol.name(), port.endpoint.local.port());
    let mut targets = path.addresses.iter().copied().filter(|address| address.is_ipv6() == is_ipv6);
    let only = targets.next().filter(|_| targets.next().is_none());
    let arrives = Packet { protocol, port: number, is_ipv6, interface: &path.name, target: only, out: None };
    let forward = port.forwards.iter().find(|forward| forward.is_ipv6() == is_ipv6);
    let is_container = matches!(port.endpoint.target, Target::Container(_));
    let forward = forward.filter(|_| is_container && ruleset.redirects(is_ipv6, protocol, number));
    let fate = match forward {
        None => arrives.fate(ruleset, &["ingress", "prerouting", "input"]),
        Some(forward) => {
            let leaves = network.addresses.iter().find(|(_, net)| net.contains(&forward.ip()));
            let out = leaves.and_then(|(index, _)| network.interfaces.iter().find(|one| one.index == *index));
            let goes_on = Packet {
                port: forward.port(),
                target: Some(forward.ip()),
                out: out.map(|one| one.name.as_str()),
                ..arrives
            };
            match (arrives.fate(ruleset, &["ingress", "prerouting"]), goes_on.fate(ruleset, &["forward"])) {
                (Fate::Dropped, _) | (_, Fate::Dropped) => Fate::Dropped,
                (Fate::Passes, Fate::Passes) => Fate::Passes,
                _ => Fate::Unknown,
            }
        }
    };
    Judged { is_ipv6, fate, is_redirected: forward.is_some() }
}

fn together(judged: &[Judged]) -> Beside {
    let is_all = |fate: Fate, family: Option<bool>| {
        let mut of_family = judged.iter().filter(|one| family.is_none_or(|is_ipv6| one.is_ipv6 == is_ipv6)).peekable();
        of_family.peek().is_some() && of_family.all(|one| one.fate == fate)
    };
    if judged.iter().any(|one| one.is_redirected && one.fate == Fate::Passes) {
        Beside::GetsPast
    } else if judged.is_empty() || judged.iter().any(|one| one.fate == Fate::Unknown) {
        Beside::Unknown
    } else if is_all(Fate::Dropped, None) {
        Beside::Drops
    } else if is_all(Fate::Passes, None) {
        Beside::LetsIn
    } else if is_all(Fate::Passes, Some(false)) && is_all(Fate::Dropped, Some(true)) {
        Beside::LetsIpv4In
    } else if is_all(Fate::Passes, Some(true)) && is_all(Fate::Dropped, Some(false)) {
        Beside::LetsIpv6In
    } else {
        Beside::Differs
    }
}
