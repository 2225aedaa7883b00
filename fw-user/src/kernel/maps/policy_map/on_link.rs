//! The list of networks on an interface's link, beside a policy that needs it, and its MAC addresses. They follow the machine while the policy stays
//! in force.

use std::collections::BTreeSet;

use aya::maps::MapError;
use fw_common::abi::{BUFFERS, CLASS_LAN, MAX_MACS, Settings};
use fw_common::admission::Admission;
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

/// The link of an interface.
#[derive(PartialEq, Eq)]
pub(crate) struct OnLink {
    networks: BTreeSet<IpNet>,
    macs: [u64; MAX_MACS],
}

impl OnLink {
    /// As it is now.
    pub(crate) fn of(network: &Network, name: &str) -> Self {
        Self { networks: network.on_link_of(name), macs: network.macs_of(name) }
    }
}

/// Bring what is noted of the link of an attached interface up to date, if its policy needs it.
pub(crate) fn note(pins: &Pins, name: &str) -> Result<()> {
    let mut map = PolicyMap::open(pins, name)?;
    if map.noted()?.is_empty() { Ok(()) } else { map.follow(&OnLink::of(&Network::ask()?, name)) }
}

/// Whether the link differs from what is noted.
pub(crate) fn is_behind(pins: &Pins, name: &str, here: &OnLink) -> Result<bool> {
    Ok(PolicyMap::open(pins, name)?.noted()?.iter().any(|(_, noted)| noted != here))
}

impl PolicyMap {
    /// What is noted for each buffer, as far as its policy needs it: one that is not in force may come back.
    fn noted(&self) -> Result<Vec<(u32, OnLink)>> {
        let noted = |buffer| Ok(self.noted_for(buffer)?.map(|noted| (buffer, noted)));
        let noted = (0..BUFFERS).map(noted).filter_map(Result::transpose);
        noted.collect::<Result<_, MapError>>().map_err(|error| self.unreadable(error))
    }

    fn noted_for(&self, buffer: u32) -> Result<Option<OnLink>, MapError> {
        let Plain(Settings { lan, macs, .. }) = self.settings.get(&buffer, 0)?;
        if lan == 0 {
            return Ok(None);
        }
        let networks = self.read_networks(buffer)?.into_iter().filter(|(class, ..)| *class == CLASS_LAN);
        Ok(Some(OnLink { networks: networks.map(|(_, network, _)| network).collect(), macs }))
    }

    /// Note the link for each policy that needs it.
    fn follow(&mut self, here: &OnLink) -> Result<()> {
        for (buffer, noted) in self.noted()? {
            let changed = self.change(buffer, &noted, here);
            changed.map_err(|error| {
                Error::refused(format!("noting the networks on the link of {}", self.interface), error)
            })?;
        }
        Ok(())
    }

    fn change(&mut self, buffer: u32, noted: &OnLink, here: &OnLink) -> Result<(), MapError> {
        if noted.macs != here.macs {
            let Plain(settings) = self.settings.get(&buffer, 0)?;
            self.settings.set(buffer, Plain(Settings { macs: here.macs, ..settings }), 0)?;
        }
        // Add first, so that no network is missing for a moment.
        for &network in here.networks.difference(&noted.networks) {
            match network {
                IpNet::V4(net) => self.sources4.insert(&key4(buffer, CLASS_LAN, net), Plain(Admission::OPEN), 0)?,
                IpNet::V6(net) => self.sources6.insert(&key6(buffer, CLASS_LAN, net), Plain(Admission::OPEN), 0)?,
            }
        }
        for &network in noted.networks.difference(&here.networks) {
            match network {
                IpNet::V4(net) => self.sources4.remove(&key4(buffer, CLASS_LAN, net))?,
                IpNet::V6(net) => self.sources6.remove(&key6(buffer, CLASS_LAN, net))?,
            }
        }
        Ok(())
    }
}
