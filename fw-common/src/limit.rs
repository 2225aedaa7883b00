//! The grammar of limits: `PORT[-PORT][/tcp][=COUNT/TIME][@NETWORK]`, or `ping=COUNT/TIME` for echo requests.

use core::{fmt, str::FromStr};
use std::{
    string::{String, ToString},
    vec::Vec,
};

use crate::{
    entry::{Entry, Protocols},
    grammar::{ALL, Fault, SpecError, parse as parse_rules},
    protocol::PortProtocol,
    rate::Rate,
};

/// The word for echo requests.
pub const PING: &str = "ping";

/// A limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Limit {
    /// For the TCP connections of each sender to each of these ports.
    Ports(Entry, Rate),
    /// For the echo requests of all senders together.
    Ping(Rate),
}

/// Read one piece of a list of limits. A port without a protocol means TCP. `services` gives the ports of a service's name.
///
/// # Errors
/// The fault in the piece.
pub fn parse(text: &str, services: impl Fn(&str) -> Vec<(PortProtocol, u16)>) -> Result<Vec<Limit>, SpecError> {
    let fail = |fault| SpecError { spec: text.to_string(), fault };
    let (head, source) = match text.split_once('@') {
        Some((head, network)) => (head, std::format!("@{network}")),
        None => (text, String::new()),
    };
    let (ports, rate) = match head.split_once('=') {
        Some((ports, rate)) => (ports, Some(rate.parse::<Rate>().map_err(|what| fail(Fault::Rate(what)))?)),
        None => (head, None),
    };
    if ports == PING {
        let rate = rate.filter(|_| source.is_empty()).ok_or_else(|| fail(Fault::Ping))?;
        return Ok(std::vec![Limit::Ping(rate)]);
    }
    if ports == ALL {
        return Err(fail(Fault::LimitOfAll));
    }
    let rules = parse_rules(&std::format!("{ports}{source}"), services).map_err(|error| fail(error.fault))?;
    let limits = rules.iter().filter(|rule| rule.protocol == PortProtocol::Tcp);
    let limits: Vec<Limit> = limits.map(|rule| Limit::Ports((*rule).into(), rate.unwrap_or(Rate::DEFAULT))).collect();
    if limits.is_empty() || ports.contains('/') && rules.len() != limits.len() {
        return Err(fail(Fault::LimitProtocol));
    }
    Ok(limits)
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ping(rate) => write!(f, "{PING}={rate}"),
            Self::Ports(entry, rate) => {
                write!(f, "{}", entry.ports)?;
                match entry.protocols {
                    Protocols::One(protocol) => write!(f, "/{protocol}")?,
                    Protocols::TcpAndUdp | Protocols::Every => {}
                }
                write!(f, "={rate}{}", entry.source)
            }
        }
    }
}

impl FromStr for Limit {
    type Err = SpecError;

    /// Read what [`Display`](fmt::Display) writes.
    fn from_str(text: &str) -> Result<Self, SpecError> {
        match parse(text, |_| Vec::new())?.as_slice() {
            [limit] => Ok(*limit),
            _ => Err(SpecError { spec: text.to_string(), fault: Fault::LimitProtocol }),
        }
    }
}
