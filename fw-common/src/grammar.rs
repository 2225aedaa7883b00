//! The allow grammar: `PORT[-PORT][/PROTO][@CIDR|@lan]`, or `all@CIDR` for every port of every protocol with ports.
//!
//! A [`Rule`] is one line of the policy with its protocol, in the form that is printed. [`parse`] reads the shorter form that people type: a port
//! without a protocol means TCP and UDP, and the name of a service means its ports.

use core::{fmt, str::FromStr};
use std::{
    net::{IpAddr, Ipv4Addr},
    string::{String, ToString},
    vec::Vec,
};

use ipnet::IpNet;
use thiserror::Error;

use crate::{
    protocol::PortProtocol,
    senders::{NoSender, no_sender},
    source::{LAN, Source},
};

/// Consecutive ports, both ends included; never port 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PortRange {
    first: u16,
    last: u16,
}

/// The word for every port of every protocol with ports.
pub(crate) const ALL: &str = "all";

impl PortRange {
    /// Every port.
    pub const ALL: Self = Self { first: 1, last: u16::MAX };

    /// The ports from `first` to `last`, or `None` if that is not a range: port 0, or the wrong way round.
    #[must_use]
    pub const fn new(first: u16, last: u16) -> Option<Self> {
        if first == 0 || first > last { None } else { Some(Self { first, last }) }
    }

    /// The lowest port.
    #[must_use]
    pub const fn first(self) -> u16 {
        self.first
    }

    /// The highest port.
    #[must_use]
    pub const fn last(self) -> u16 {
        self.last
    }

    /// The parts below and above a hole.
    pub(crate) fn without(self, hole: Self) -> [Option<Self>; 2] {
        let below = Self::new(self.first, self.last.min(hole.first - 1));
        let above = hole.last.checked_add(1).and_then(|next| Self::new(self.first.max(next), self.last));
        [below, above]
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last { write!(f, "{}", self.first) } else { write!(f, "{}-{}", self.first, self.last) }
    }
}

/// Ports of one protocol that are open, to everyone or to a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Rule {
    /// The transport.
    pub protocol: PortProtocol,
    /// The ports.
    pub ports: PortRange,
    /// Who may come in.
    pub source: Source,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}{}", self.ports, self.protocol, self.source)
    }
}

impl FromStr for Rule {
    type Err = SpecError;

    /// Read what [`Display`](fmt::Display) writes: only numbers, always with the protocol.
    fn from_str(text: &str) -> Result<Self, SpecError> {
        match parse(text, |_| Vec::new())?.as_slice() {
            [rule] => Ok(*rule),
            _ => Err(SpecError::new(text, Fault::NoProtocol)),
        }
    }
}

/// The fault in a piece of an allow list, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{spec}`: {fault}")]
pub struct SpecError {
    /// The piece as it was typed.
    pub spec: String,
    /// The fault.
    pub fault: Fault,
}

impl SpecError {
    pub(crate) fn new(spec: &str, fault: Fault) -> Self {
        Self { spec: spec.to_string(), fault }
    }
}

/// The ways in which a piece of an allow list can be wrong.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Fault {
    /// Nothing at all.
    #[error("there is no port here; write for example 22/tcp")]
    Empty,
    /// A number that is not a port.
    #[error("{0} is not a port; ports are 1 to 65535")]
    Port(String),
    /// A range with one end only.
    #[error("the range has one end only; write {first}-{last}")]
    HalfRange {
        /// The text of the first number, or the lowest port.
        first: String,
        /// The text of the last number, or the highest port.
        last: String,
    },
    /// A range with a colon.
    #[error("a range is written with a hyphen; write {0}")]
    Colon(String),
    /// A range whose end lies before its start.
    #[error("the range runs backwards; write {last}-{first}")]
    Backwards {
        /// The text of the first number.
        first: u16,
        /// The text of the last number.
        last: u16,
    },
    /// A word that is not a protocol with ports.
    #[error("`{0}` is not a protocol with ports; use tcp, udp, sctp, dccp or udplite (others: --allow-proto)")]
    Protocol(String),
    /// A name that is not a service.
    #[error("no service is called `{0}` in /etc/services; write the port's number")]
    Service(String),
    /// A service that has no port for the protocol.
    #[error("`{service}` has no {protocol} port in /etc/services; write the port's number")]
    ServiceProtocol {
        /// The service's name.
        service: String,
        /// The protocol that was asked for.
        protocol: PortProtocol,
    },
    /// Not a network.
    #[error("`{0}` is not a network; write 192.168.1.0/24, [2001:db8::]/32, or lan")]
    Network(String),
    /// An IPv6 network without brackets.
    #[error("IPv6 addresses stand in brackets; write @[{address}]{prefix}")]
    Brackets {
        /// The address as it was typed.
        address: String,
        /// The slash and the prefix length, if there were any.
        prefix: String,
    },
    /// An address inside a network, instead of the network's own address.
    #[error("{given} is an address inside the network {network}; write that, or {address} alone")]
    HostBits {
        /// As it was typed.
        given: String,
        /// The network.
        network: IpNet,
        /// The one address.
        address: IpAddr,
    },
    /// A network that no packet comes from.
    #[error("no host sends from {given}: {why}")]
    NoSender {
        /// As it was typed.
        given: String,
        /// Why not, and what to write.
        why: NoSender,
    },
    /// Every port for everyone.
    #[error("that would open every port to everyone; name a network, for example all@192.168.1.50")]
    AllToEveryone,
    /// `all` with a protocol.
    #[error("`all` means every protocol with ports; for one write {0}")]
    AllOf(String),
    /// A bad rate, and what to write.
    #[error("{0}")]
    Rate(String),
    /// A limit of a protocol without connections.
    #[error("a limit counts TCP connections; write for example 22/tcp=6/30s")]
    LimitProtocol,
    /// A limit of every port.
    #[error("a limit is for named ports; write for example 22/tcp=6/30s")]
    LimitOfAll,
    /// A limit of echo requests without a rate, or for a network.
    #[error("the limit of echo requests counts all senders together; write for example ping=100/s")]
    Ping,
    /// No protocol where one is needed.
    #[error("the protocol is missing; add /tcp or /udp")]
    NoProtocol,
}

/// Read one piece of an allow list. `services` gives the ports of a service's name, in the manner of `/etc/services`.
///
/// # Errors
/// The fault in the piece.
pub fn parse(text: &str, services: impl Fn(&str) -> Vec<(PortProtocol, u16)>) -> Result<Vec<Rule>, SpecError> {
    let fail = |fault| SpecError::new(text, fault);
    let (ports_and_protocol, source) = match text.split_once('@') {
        Some((head, LAN)) => (head, Source::Lan),
        Some((head, network)) => (head, Source::Network(parse_network(network).map_err(fail)?)),
        None => (text, Source::Everyone),
    };
    let (ports, protocol) = match ports_and_protocol.split_once('/') {
        Some((ports, protocol)) => (ports, Some(parse_protocol(protocol).map_err(fail)?)),
        None => (ports_and_protocol, None),
    };
    if ports.is_empty() {
        return Err(fail(Fault::Empty));
    }
    if ports == ALL {
        if protocol.is_some() {
            return Err(fail(Fault::AllOf(text.replacen(ALL, "1-65535", 1))));
        }
        if source.is_everyone() {
            return Err(fail(Fault::AllToEveryone));
        }
        let every = PortProtocol::ALL.map(|protocol| Rule { protocol, ports: PortRange::ALL, source });
        return checked(text, every.into());
    }
    if ports.contains(':') && ports.chars().all(|c| c.is_ascii_digit() || c == ':') {
        let hyphen = ports.replace(':', "-");
        return Err(fail(Fault::Colon(text.replacen(ports, &hyphen, 1))));
    }
    let ranges = if ports.starts_with(|c: char| c.is_ascii_digit() || c == '-')
        && ports.chars().all(|c| c.is_ascii_digit() || c == '-')
    {
        let range = parse_range(ports).map_err(fail)?;
        let both = [PortProtocol::Tcp, PortProtocol::Udp];
        let protocols = protocol.as_ref().map_or(both.as_slice(), core::slice::from_ref);
        protocols.iter().map(|&protocol| (protocol, range)).collect()
    } else {
        service_ports(ports, protocol, services(ports)).map_err(fail)?
    };
    let rules: Vec<Rule> = ranges.into_iter().map(|(protocol, ports)| Rule { protocol, ports, source }).collect();
    checked(text, rules)
}

/// The rules of a piece, unless no packet can match one of them.
fn checked(text: &str, rules: Vec<Rule>) -> Result<Vec<Rule>, SpecError> {
    match rules.iter().find_map(matches_nobody) {
        Some(why) => {
            let given = text.split_once('@').map_or("", |(_, network)| network).to_string();
            Err(SpecError::new(text, Fault::NoSender { given, why }))
        }
        None => Ok(rules),
    }
}

/// Why no packet can match a rule, if none can. A DHCP client has no address yet when it asks for one (RFC 2131, 4.1).
fn matches_nobody(rule: &Rule) -> Option<NoSender> {
    let Rule { protocol, ports, source } = rule;
    let network = source.network()?;
    let is_dhcp_server = (*protocol, ports.first, ports.last) == (PortProtocol::Udp, 67, 67);
    no_sender(network).filter(|_| !(is_dhcp_server && network.contains(&IpAddr::V4(Ipv4Addr::UNSPECIFIED))))
}

fn service_ports(
    name: &str,
    protocol: Option<PortProtocol>,
    known: Vec<(PortProtocol, u16)>,
) -> Result<Vec<(PortProtocol, PortRange)>, Fault> {
    if known.is_empty() {
        return Err(Fault::Service(name.to_string()));
    }
    let wanted: Vec<_> = known
        .into_iter()
        .filter(|&(of, _)| protocol.is_none_or(|wanted| of == wanted))
        .filter_map(|(of, port)| Some((of, PortRange::new(port, port)?)))
        .collect();
    match protocol {
        Some(protocol) if wanted.is_empty() => Err(Fault::ServiceProtocol { service: name.to_string(), protocol }),
        _ => Ok(wanted),
    }
}

fn parse_protocol(text: &str) -> Result<PortProtocol, Fault> {
    PortProtocol::ALL
        .into_iter()
        .find(|protocol| protocol.name().eq_ignore_ascii_case(text))
        .ok_or_else(|| Fault::Protocol(text.to_string()))
}

fn parse_range(text: &str) -> Result<PortRange, Fault> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    if first.is_empty() || last.is_empty() {
        let or = |text: &str, missing: &str| if text.is_empty() { missing } else { text }.to_string();
        return Err(Fault::HalfRange { first: or(first, "1"), last: or(last, "65535") });
    }
    let (first, last) = (parse_port(first)?, parse_port(last)?);
    PortRange::new(first, last).ok_or(Fault::Backwards { first, last })
}

fn parse_port(text: &str) -> Result<u16, Fault> {
    text.parse().ok().filter(|&port| port != 0).ok_or_else(|| Fault::Port(text.to_string()))
}

pub(crate) fn parse_network(text: &str) -> Result<IpNet, Fault> {
    let bad = || Fault::Network(text.to_string());
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let address: IpAddr = match address.strip_prefix('[') {
        Some(rest) => IpAddr::V6(rest.strip_suffix(']').and_then(|inner| inner.parse().ok()).ok_or_else(bad)?),
        None if address.parse::<std::net::Ipv6Addr>().is_ok() => {
            let prefix = prefix.map_or_else(String::new, |prefix| std::format!("/{prefix}"));
            return Err(Fault::Brackets { address: address.to_string(), prefix });
        }
        None => IpAddr::V4(address.parse::<Ipv4Addr>().map_err(|_| bad())?),
    };
    let Some(prefix) = prefix else { return Ok(IpNet::from(address)) };
    let network = IpNet::new(address, prefix.parse().map_err(|_| bad())?).map_err(|_| bad())?;
    if network.trunc() != network {
        return Err(Fault::HostBits { given: text.to_string(), network: network.trunc(), address });
    }
    Ok(network)
}
