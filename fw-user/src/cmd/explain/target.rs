//! The packet that a person asks about.

use fw_common::{PortProtocol, grammar::Rule};

use crate::{
    error::{Error, Result, UsageError},
    packet::build::PacketTarget,
    policy_text::{protocol_number, rules},
};

/// Read the destination of a packet: one port as in an allow list, or the name of an IP protocol without ports. A port without a protocol means two
/// packets, one of TCP and one of UDP.
pub(crate) fn targets(text: &str) -> Result<Vec<PacketTarget>> {
    if let Some(protocol) = protocol_number(text) {
        let name = PortProtocol::from_number(protocol).map(PortProtocol::name);
        return match name {
            None => Ok(vec![PacketTarget::Protocol(protocol)]),
            Some(name) => {
                Err(Error::Usage(UsageError::Usage(format!("{name} has ports; write which one: 9125/{name}"))))
            }
        };
    }
    let target = |rule: Rule| match rule.source {
        _ if rule.ports.first() != rule.ports.last() || text.contains(',') => Err(Error::Usage(UsageError::Usage(
            format!("`{text}`: a packet goes to one port; write for example {}", rule.ports.first()),
        ))),
        source if !source.is_everyone() => {
            let address = source.network().map_or_else(|| "ADDRESS".to_owned(), |network| network.addr().to_string());
            Err(Error::Usage(UsageError::Usage(format!("`{text}`: give the sender with --from {address}"))))
        }
        _ => Ok(PacketTarget::Port(rule.protocol, rule.ports.first())),
    };
    rules(&[text.to_owned()])?.into_iter().map(target).collect()
}
