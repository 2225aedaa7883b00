//! How many packets of banned senders were dropped, as far as the interfaces' tables of senders have them.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::{
    error::Result,
    kernel::{maps::sources, pins::Pins},
};

/// Senders of dropped packets in order, each with an estimate of their number.
pub(crate) struct Dropped(Vec<(IpAddr, u64)>);

impl Dropped {
    /// Those of all interfaces.
    pub(crate) fn read(pins: &Pins) -> Result<Self> {
        let mut senders = Vec::new();
        for interface in pins.interfaces()? {
            // Without its table an interface has no numbers to show, but the bans can be listed.
            let found = sources::read(pins, &interface).unwrap_or_default();
            senders.extend(found.into_iter().map(|sender| (sender.source, sender.packets)));
        }
        senders.sort_unstable();
        Ok(Self(senders))
    }

    /// Packets from a network.
    pub(crate) fn of(&self, network: IpNet) -> u64 {
        let first = self.0.partition_point(|&(sender, _)| sender < network.network());
        let inside = self.0[first..].iter().take_while(|(sender, _)| network.contains(sender));
        inside.map(|&(_, packets)| packets).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_the_packets_of_all_senders_in_it() {
        let sender = |text: &str, packets| (text.parse().expect("an address"), packets);
        let dropped = Dropped(vec![
            sender("10.0.0.255", 1),
            sender("10.0.1.0", 2),
            // Of two interfaces.
            sender("10.0.1.7", 4),
            sender("10.0.1.7", 8),
            sender("10.0.1.255", 16),
            sender("10.0.2.0", 32),
            sender("2001:db8::1", 64),
            sender("2001:db9::", 128),
        ]);
        for (network, packets) in [
            ("10.0.1.0/24", 2 + 4 + 8 + 16),
            ("10.0.1.7/32", 12),
            ("10.0.1.8/32", 0),
            ("128.0.0.0/1", 0),
            ("2001:db8::/32", 64),
            ("2000::/3", 192),
        ] {
            assert_eq!(dropped.of(network.parse().expect("a network")), packets, "{network}");
        }
    }
}
