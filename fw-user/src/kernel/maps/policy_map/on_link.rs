//! The list of networks on an interface's link, beside a policy that needs it. It follows the routing table while the policy stays in force.

use std::collections::BTreeSet;

use aya::maps::MapError;
use fw_common::abi::{Admission, BUFFERS, CLASS_LAN};
use ipnet::IpNet;

use crate::{
    error::{Error, Result},
    host::network::Network,
    kernel::{
        maps::policy_map::{PolicyMap, key4, key6},
        pins::Pins,
        plain::Plain,
    },
};

/// Bring the list of an attached interface up to date, if its policy needs one.
pub(crate) fn note(pins: &Pins, name: &str) -> Result<()> {
    let mut map = PolicyMap::open(pins, name)?;
    if map.lists()?.is_empty() { Ok(()) } else { map.follow(&Network::ask()?.on_link_of(name)) }
}

/// Whether the list differs from the networks on the link.
pub(crate) fn is_behind(pins: &Pins, name: &str, network: &Network) -> Result<bool> {
    let here = network.on_link_of(name);
    Ok(PolicyMap::open(pins, name)?.lists()?.iter().any(|(_, listed)| *listed != here))
}

impl PolicyMap {
    /// The lists of all buffers, as far as they need one: the policy of another may come back.
    fn lists(&self) -> Result<Vec<(u32, BTreeSet<IpNet>)>> {
        let list = |buffer| Ok(self.list(buffer)?.map(|list| (buffer, list)));
        let lists = (0..BUFFERS).map(list).filter_map(Result::transpose);
        lists.collect::<Result<_, MapError>>().map_err(|error| self.unreadable(error))
    }

    fn list(&self, buffer: u32) -> Result<Option<BTreeSet<IpNet>>, MapError> {
        if self.settings.get(&buffer, 0)?.0.lan == 0 {
            return Ok(None);
        }
        let networks = self.read_networks(buffer)?.into_iter();
        Ok(Some(networks.filter(|(class, ..)| *class == CLASS_LAN).map(|(_, network, _)| network).collect()))
    }

    /// Set the lists to exactly these networks.
    fn follow(&mut self, here: &BTreeSet<IpNet>) -> Result<()> {
        for (buffer, listed) in self.lists()? {
            let changed = self.change(buffer, &listed, here);
            changed.map_err(|error| {
                Error::refused(format!("noting the networks on the link of {}", self.interface), error)
            })?;
        }
        Ok(())
    }

    fn change(&mut self, buffer: u32, listed: &BTreeSet<IpNet>, here: &BTreeSet<IpNet>) -> Result<(), MapError> {
        // Add first, so that no network is missing for a moment.
        for &network in here.difference(listed) {
            match network {
                IpNet::V4(net) => self.sources4.insert(&key4(buffer, CLASS_LAN, net), Plain(Admission::OPEN), 0)?,
                IpNet::V6(net) => self.sources6.insert(&key6(buffer, CLASS_LAN, net), Plain(Admission::OPEN), 0)?,
            }
        }
        for &network in listed.difference(here) {
            match network {
                IpNet::V4(net) => self.sources4.remove(&key4(buffer, CLASS_LAN, net))?,
                IpNet::V6(net) => self.sources6.remove(&key6(buffer, CLASS_LAN, net))?,
            }
        }
        Ok(())
    }
}
