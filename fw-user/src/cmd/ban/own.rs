//! What this machine needs, and a ban must not cover by accident: who types, the ways out, the resolvers, its own network.

use std::{collections::BTreeSet, fs, net::IpAddr};

use ipnet::IpNet;

use crate::{
    error::{Error, Result, SafeguardError},
    host::network::{self, Network, Surroundings},
    lockout,
};

/// How many of them a person reads.
const LINES: usize = 10;
/// Up to how many networks each connection's peer is compared with.
const FEW: usize = 256;

/// The files that name resolvers (resolv.conf(5)); systemd-resolved has those that it asks in the second one.
const RESOLVERS: [&str; 2] = ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"];

/// What must not be covered, each with what it is.
#[derive(Debug, Default)]
pub(crate) struct Own(Vec<(IpNet, String)>);

/// A network that covers some of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Covers {
    pub(crate) network: IpNet,
    /// What it covers, in words.
    what: String,
}

impl Own {
    /// Ask for all of it, as far as these networks may cover it.
    pub(crate) fn find(banned: &[IpNet]) -> Result<Self> {
        let network = Network::ask()?;
        let Surroundings { gateways, on_link } = network::surroundings()?;
        let mut own = Self::default();
        let may_be_covered = |peer: IpAddr| banned.len() > FEW || banned.iter().any(|network| network.contains(&peer));
        own.add(lockout::session_peers(may_be_covered)?, "the peer of your session");
        own.add(gateways, "the gateway");
        own.add(
            RESOLVERS.iter().flat_map(|path| resolvers(&fs::read_to_string(path).unwrap_or_default())),
            "the resolver",
        );
        own.add(network.addresses.iter().map(|(_, net)| net.addr()), "this machine's address");
        let links: BTreeSet<IpNet> = network
            .addresses
            .iter()
            .map(|(_, net)| net.trunc())
            .chain(on_link)
            .filter(|net| net.prefix_len() > 0)
            .collect();
        own.0.extend(links.into_iter().map(|link| (link, format!("this machine's network {link}"))));
        Ok(own)
    }

    fn add(&mut self, addresses: impl IntoIterator<Item = IpAddr>, what: &str) {
        self.0.extend(addresses.into_iter().map(|address| (address.into(), format!("{what} {address}"))));
    }

    /// What a network covers first.
    pub(crate) fn covered_by(&self, network: IpNet) -> Option<Covers> {
        let (_, what) = self.0.iter().find(|(own, _)| network.contains(own))?;
        Some(Covers { network, what: what.clone() })
    }
}

/// The addresses of the lines `nameserver ADDRESS`.
fn resolvers(text: &str) -> Vec<IpAddr> {
    let address = |line: &str| {
        let mut words = line.split_whitespace();
        let address = words.next().filter(|word| *word == "nameserver").and(words.next())?;
        address.split('%').next()?.parse::<IpAddr>().ok()
    };
    text.lines().filter_map(address).collect()
}

/// A line for each of them.
pub(crate) fn lines(covering: &[Covers]) -> String {
    let line = |Covers { network, what }: &Covers| format!("  {network} covers {what}\n");
    let more = covering.len().saturating_sub(LINES);
    let more = if more > 0 { format!("  and {more} more\n") } else { String::new() };
    covering.iter().take(LINES).map(line).collect::<String>() + &more
}

/// Why nothing was banned, and what to do.
pub(crate) fn refusal(covering: &[Covers]) -> Error {
    let text = format!(
        "this would ban addresses that this machine needs; nothing was changed\n{}to skip these networks: --skip-own\nto ban them as well: --force",
        lines(covering)
    );
    Error::Safeguard(SafeguardError::LocksOut(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_that_covers_something_is_told_with_what_it_covers() {
        let mut own = Own::default();
        own.add(["192.0.2.1".parse().expect("an address")], "the gateway");
        own.0.push(("198.51.100.0/24".parse().expect("a network"), "the network".to_owned()));
        let covers = |text: &str| own.covered_by(text.parse().expect("a network")).map(|covers| covers.what);
        for (network, what) in [
            ("192.0.2.1/32", Some("the gateway 192.0.2.1")),
            ("192.0.0.0/16", Some("the gateway 192.0.2.1")),
            ("192.0.2.2/32", None),
            ("198.51.100.0/24", Some("the network")),
            ("198.51.0.0/16", Some("the network")),
            ("198.51.100.7/32", None),
            ("2001:db8::/32", None),
        ] {
            assert_eq!(covers(network).as_deref(), what, "{network}");
        }
    }

    #[test]
    fn resolvers_are_read_with_their_zones_and_without_comments() {
        let text = "# nameserver 192.0.2.9\nnameserver 192.0.2.1\nsearch lan\nnameserver fe80::1%eth0\n nameserver 2001:db8::1 \nnameserver\n";
        let expected = ["192.0.2.1", "fe80::1", "2001:db8::1"].map(|text| text.parse::<IpAddr>().expect("an address"));
        assert_eq!(resolvers(text), expected);
    }
}
