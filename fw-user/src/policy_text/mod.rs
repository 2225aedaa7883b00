//! Reads rules and protocols from the command line, with the names of `/etc/services` and `/etc/protocols`.

pub(crate) mod timeouts;
pub(crate) mod words;

use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
    fs,
    sync::OnceLock,
};

use fw_common::{
    PortProtocol,
    entry::Entry,
    grammar::{self, Rule, SpecError},
    limit::{self, Limit},
    protocol::number,
};

use crate::error::{Error, Result, UsageError};

const SERVICES: &str = "/etc/services";
const PROTOCOLS: &str = "/etc/protocols";

/// The pieces of an allow list, separated by commas or given one by one.
fn words_of(specs: &[String]) -> impl Iterator<Item = &str> {
    specs.iter().flat_map(|list| list.split(',')).map(str::trim).filter(|spec| !spec.is_empty())
}

/// The pieces of an allow list as they were typed.
pub(crate) fn entries(specs: &[String]) -> Vec<String> {
    words_of(specs).map(ToOwned::to_owned).collect()
}

/// Read an allow list: pieces separated by commas or given one by one. The files are read only for names.
pub(crate) fn rules(specs: &[String]) -> Result<Vec<Rule>> {
    with_services(specs, |spec, known| grammar::parse(spec, known))
}

/// Read a list of limits in the same way.
pub(crate) fn limits(specs: &[String]) -> Result<Vec<Limit>> {
    with_services(specs, |spec, known| limit::parse(spec, known))
}

fn with_services<T>(
    specs: &[String],
    parse: impl Fn(&str, &dyn Fn(&str) -> Vec<(PortProtocol, u16)>) -> Result<Vec<T>, SpecError>,
) -> Result<Vec<T>> {
    let services = &KNOWN_SERVICES;
    let mut read = Vec::new();
    for spec in words_of(specs) {
        // The file may have been read for something else, which does without it.
        let is_needed = Cell::new(false);
        let known = |name: &str| {
            is_needed.set(true);
            let of_name = services.entries().filter(|(names, _)| names.contains(&name));
            of_name.filter_map(|(_, value)| service_port(value)).collect()
        };
        let parsed = parse(spec, &known);
        if is_needed.get() {
            services.check()?;
        }
        read.extend(parsed?);
    }
    if read.is_empty() { Err(Error::Usage(UsageError::NothingAllowed)) } else { Ok(read) }
}

/// Read an allow list as entries: one for a port of TCP and UDP.
pub(crate) fn typed(specs: &[String]) -> Result<Vec<Entry>> {
    let mut typed = Vec::new();
    for spec in entries(specs) {
        typed.extend(Entry::of(&rules(std::slice::from_ref(&spec))?));
    }
    if typed.is_empty() { Err(Error::Usage(UsageError::NothingAllowed)) } else { Ok(typed) }
}

/// The longest comment, in characters.
const COMMENT: usize = 100;

/// Read the comment of a rule.
pub(crate) fn comment(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > COMMENT || text.contains(char::is_control) {
        return Err(format!("a comment is one line of 1 to {COMMENT} characters"));
    }
    Ok(text.to_owned())
}

/// Read a list of IP protocols, by name or number.
pub(crate) fn protocols(specs: &[String]) -> Result<BTreeSet<u8>> {
    let mut protocols = BTreeSet::new();
    for spec in words_of(specs) {
        let protocol = if let Ok(number) = spec.parse() {
            number
        } else {
            let found = protocol_number(spec);
            KNOWN_PROTOCOLS.check()?;
            found.ok_or_else(|| Error::Usage(UsageError::UnknownProtocol(spec.to_owned())))?
        };
        if let Some(why) = not_here(protocol) {
            return Err(Error::Usage(UsageError::ProtocolNotHere { name: spec.to_owned(), why }));
        }
        protocols.insert(protocol);
    }
    Ok(protocols)
}

/// The number of an IP protocol in `/etc/protocols`.
pub(crate) fn protocol_number(name: &str) -> Option<u8> {
    KNOWN_PROTOCOLS
        .entries()
        .find(|(names, _)| names.iter().any(|known| known.eq_ignore_ascii_case(name)))
        .and_then(|(_, value)| value.parse().ok())
}

/// The name of an IP protocol in `/etc/protocols`, or its number.
#[must_use]
pub(crate) fn protocol_name(protocol: u8) -> String {
    KNOWN_PROTOCOLS
        .entries()
        .find(|(_, value)| value.parse() == Ok(protocol))
        .and_then(|(names, _)| names.first().map(|&name| name.to_owned()))
        .unwrap_or_else(|| protocol.to_string())
}

/// The names of the ports in `/etc/services`; empty if there is no such file.
#[must_use]
pub(crate) fn service_names() -> BTreeMap<(PortProtocol, u16), String> {
    let names = &KNOWN_SERVICES;
    let mut services = BTreeMap::new();
    for (names, value) in names.entries() {
        if let (Some(port), Some(name)) = (service_port(value), names.first()) {
            services.entry(port).or_insert_with(|| (*name).to_owned());
        }
    }
    services
}

/// A port as it stands in `/etc/services`: `22/tcp`.
fn service_port(value: &str) -> Option<(PortProtocol, u16)> {
    let (port, protocol) = value.split_once('/')?;
    let protocol = PortProtocol::ALL.into_iter().find(|of| of.name() == protocol)?;
    Some((protocol, port.parse().ok()?))
}

/// Why a protocol cannot be allowed as a whole.
fn not_here(protocol: u8) -> Option<&'static str> {
    match protocol {
        _ if PortProtocol::from_number(protocol).is_some() => Some("it has ports; use --allow PORT/PROTO"),
        number::ICMP | number::IGMP | number::ICMPV6 => Some("it always passes; leave it out"),
        number::HOP_BY_HOP
        | number::ROUTING
        | number::FRAGMENT
        | number::DESTINATION_OPTIONS
        | number::MOBILITY
        | number::NO_NEXT_HEADER
        | number::HIP
        | number::SHIM6
        | number::EXPERIMENT_1
        | number::EXPERIMENT_2 => {
            Some("it is an IPv6 extension header, not a protocol; the protocol after it is judged")
        }
        _ => None,
    }
}

static KNOWN_SERVICES: Names = Names::new(SERVICES);
static KNOWN_PROTOCOLS: Names = Names::new(PROTOCOLS);

/// A file of names: `NAME VALUE ALIAS...` a line, `#` before comments (services(5), protocols(5)).
struct Names {
    path: &'static str,
    text: OnceLock<std::io::Result<String>>,
}

impl Names {
    const fn new(path: &'static str) -> Self {
        Self { path, text: OnceLock::new() }
    }

    /// The names of each line and its value; the file is read at the first call.
    fn entries(&self) -> impl Iterator<Item = (Vec<&str>, &str)> {
        let text = self.text.get_or_init(|| fs::read_to_string(self.path));
        text.as_deref().unwrap_or_default().lines().filter_map(|line| {
            let mut words = line.split('#').next()?.split_whitespace();
            let name = words.next()?;
            let value = words.next()?;
            Some((std::iter::once(name).chain(words).collect(), value))
        })
    }

    /// Whether the file, if it was needed, could be read.
    fn check(&self) -> Result<()> {
        match self.text.get() {
            Some(Err(error)) => {
                let source = std::io::Error::new(error.kind(), error.to_string());
                Err(Error::Usage(UsageError::Names { path: self.path, source }))
            }
            _ => Ok(()),
        }
    }
}
