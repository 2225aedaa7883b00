//! The drops to show.

use fw_common::grammar::Rule;
use ipnet::IpNet;

use crate::{
    cmd::drops::args::DropsArgs,
    error::{Error, Result, UsageError},
    kernel::maps::drops::DroppedPacket,
    packet::headers::Headers,
    policy_text,
};

/// A drop must match one value of each option that is given.
pub(crate) struct DropFilter {
    ports: Vec<Rule>,
    sources: Vec<IpNet>,
    reasons: Vec<String>,
}

impl DropFilter {
    pub(crate) fn new(args: &DropsArgs) -> Result<Self> {
        let ports = if args.port.is_empty() { Vec::new() } else { policy_text::rules(&args.port)? };
        if let Some(rule) = ports.iter().find(|rule| !rule.source.is_everyone()) {
            let network = rule.source.network().map_or_else(|| "NETWORK".to_owned(), |network| network.to_string());
            return Err(Error::Usage(UsageError::Usage(format!(
                "--port takes only ports; give the sender with --source {network}"
            ))));
        }
        Ok(Self { ports, sources: args.source.clone(), reasons: args.reason.clone() })
    }

    pub(crate) fn wants(&self, drop: &DroppedPacket, headers: &Headers) -> bool {
        let is_port = |rule: &Rule| {
            headers.target().is_some_and(|(protocol, port)| {
                rule.protocol == protocol && (rule.ports.first()..=rule.ports.last()).contains(&port)
            })
        };
        let is_source = |network: &IpNet| headers.source.is_some_and(|source| network.contains(&source));
        (self.ports.is_empty() || self.ports.iter().any(is_port))
            && (self.sources.is_empty() || self.sources.iter().any(is_source))
            && (self.reasons.is_empty() || self.reasons.iter().any(|reason| reason == drop.reason.name()))
    }
}
