//! The verdict on packets that would be routed on.

use core::{fmt, str::FromStr};
use std::{
    format,
    net::Ipv6Addr,
    string::{String, ToString},
    vec::Vec,
};

use ipnet::IpNet;
use thiserror::Error;

use crate::{
    grammar::{Fault, parse_network},
    senders::no_sender,
};

/// The verdict on packets that would be routed on to another machine or container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Forward {
    /// All drop: this machine is not a router for its neighbours.
    #[default]
    Drop,
    /// Those to allowed ports pass, wherever they go: this machine is a router.
    Pass,
    /// Those to these networks pass, whatever their port; all others drop.
    To(Networks),
}

impl Forward {
    /// The networks that packets may be routed on to.
    #[must_use]
    pub fn networks(&self) -> &[IpNet] {
        match self {
            Self::Drop | Self::Pass => &[],
            Self::To(networks) => networks.as_slice(),
        }
    }
}

impl fmt::Display for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Drop => f.write_str("drop"),
            Self::Pass => f.write_str("pass"),
            Self::To(networks) => {
                for (index, network) in networks.as_slice().iter().enumerate() {
                    write!(f, "{}{network}", if index == 0 { "" } else { "," })?;
                }
                Ok(())
            }
        }
    }
}

impl FromStr for Forward {
    type Err = ForwardError;

    /// Read what [`Display`](fmt::Display) writes.
    fn from_str(text: &str) -> Result<Self, ForwardError> {
        match text {
            "drop" => Ok(Self::Drop),
            "pass" => Ok(Self::Pass),
            networks => {
                let networks = networks.split(',').map(network).collect::<Result<Vec<IpNet>, _>>()?;
                Networks::new(networks).map(Self::To).ok_or_else(|| ForwardError::Neither(text.to_string()))
            }
        }
    }
}

/// Networks behind this machine: at least one, merged into the fewest that contain the same addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Networks(Vec<IpNet>);

impl Networks {
    /// These networks; `None` for none.
    #[must_use]
    pub fn new(networks: impl IntoIterator<Item = IpNet>) -> Option<Self> {
        let mut fewest = IpNet::aggregate(&networks.into_iter().collect());
        fewest.sort_unstable();
        (!fewest.is_empty()).then_some(Self(fewest))
    }

    /// The networks: those of IPv4 first, by address.
    #[must_use]
    pub fn as_slice(&self) -> &[IpNet] {
        &self.0
    }

    /// Whether they contain the whole network.
    #[must_use]
    pub fn contain(&self, network: IpNet) -> bool {
        // They are in order and apart, and a network comes before those that it contains.
        let after = self.0.partition_point(|own| *own <= network);
        after.checked_sub(1).is_some_and(|last| self.0[last].contains(&network))
    }
}

/// Why a text is not a value of `forward`.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ForwardError {
    /// Neither a verdict nor a network.
    #[error("`{0}` is not drop, pass or a network; write for example 10.8.0.0/24 or 2001:db8:5::/64")]
    Neither(String),
    /// A verdict in a list of networks.
    #[error("{0} stands alone; write either {0} or networks")]
    VerdictAmongNetworks(String),
    /// An address inside a network, instead of the network's own address.
    #[error("{0}")]
    HostBits(Fault),
    /// Addresses that are never routed on.
    #[error("nothing is routed on to {0}; write a network behind this machine, for example 10.8.0.0/24")]
    NeverRouted(IpNet),
}

/// Read one network. IPv6 addresses may stand in brackets, as in the allow grammar.
///
/// # Errors
/// The fault in it.
pub fn network(text: &str) -> Result<IpNet, ForwardError> {
    let text = text.trim();
    if matches!(text, "drop" | "pass") {
        return Err(ForwardError::VerdictAmongNetworks(text.to_string()));
    }
    let address = text.split('/').next().unwrap_or_default();
    let in_brackets = match address.parse::<Ipv6Addr>() {
        Ok(_) => format!("[{address}]{}", &text[address.len()..]),
        Err(_) => text.to_string(),
    };
    let network = parse_network(&in_brackets).map_err(|fault| match fault {
        Fault::HostBits { network, address, .. } => {
            ForwardError::HostBits(Fault::HostBits { given: text.to_string(), network, address })
        }
        _ => ForwardError::Neither(text.to_string()),
    })?;
    let is_link_local = matches!(network, IpNet::V6(net) if net.addr().is_unicast_link_local());
    if is_link_local || no_sender(network).is_some() {
        return Err(ForwardError::NeverRouted(network));
    }
    Ok(network)
}
