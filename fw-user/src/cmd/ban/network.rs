//! Networks that can be banned, as people and lists write them.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Subnets, Ipv6Subnets};

use crate::cmd::args::parse_network;

/// Reads an address or a network, and forgets its host bits.
pub(crate) fn network(text: &str) -> Result<IpNet, String> {
    let network = parse_network(text).map_err(|_| {
        format!("`{text}` is not an address or a network; write for example 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32")
    })?;
    bannable(canonical(network).trunc(), text)
}

/// Reads the same or a range, `192.0.2.1-192.0.2.9`, as networks.
pub(crate) fn networks(text: &str) -> Result<Vec<IpNet>, String> {
    let Some((first, last)) = text.split_once('-') else { return network(text).map(|network| vec![network]) };
    let found: Vec<IpNet> = match (first.parse(), last.parse()) {
        (Ok(IpAddr::V4(first)), Ok(IpAddr::V4(last))) if first <= last => {
            Ipv4Subnets::new(first, last, 0).map(IpNet::V4).collect()
        }
        (Ok(IpAddr::V6(first)), Ok(IpAddr::V6(last))) if first <= last => {
            Ipv6Subnets::new(first, last, 0).map(IpNet::V6).collect()
        }
        _ => {
            return Err(format!(
                "`{text}` is not a range of addresses; write the lower address first: 192.0.2.1-192.0.2.9"
            ));
        }
    };
    found.into_iter().map(|network| bannable(network, text)).collect()
}

fn bannable(network: IpNet, text: &str) -> Result<IpNet, String> {
    match network.prefix_len() {
        0 => Err(format!("`{text}` covers every address and cannot be banned")),
        _ => Ok(network),
    }
}

/// IPv4-mapped IPv6 never comes in by a wire: what is meant is IPv4 (RFC 4291, 2.5.5.2).
fn canonical(network: IpNet) -> IpNet {
    const MAPPED: u8 = 96;
    match (network.addr().to_canonical(), network.prefix_len().checked_sub(MAPPED)) {
        (address @ IpAddr::V4(_), Some(length)) if network.addr().is_ipv6() => {
            IpNet::new(address, length).unwrap_or(network)
        }
        _ => network,
    }
}

/// A network as a person would type it.
pub(crate) fn words(network: IpNet) -> String {
    if network.prefix_len() == network.max_prefix_len() { network.addr().to_string() } else { network.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_is_a_network_without_host_bits() {
        for (text, expected) in [
            ("192.0.2.7", "192.0.2.7"),
            ("192.0.2.7/24", "192.0.2.0/24"),
            ("2001:db8::1", "2001:db8::1"),
            ("2001:db8::1/32", "2001:db8::/32"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("::ffff:192.0.2.7/120", "192.0.2.0/24"),
        ] {
            assert_eq!(network(text).map(words), Ok(expected.to_owned()), "{text}");
        }
        for (text, why) in [
            ("0.0.0.0/0", "covers every address"),
            ("::/0", "covers every address"),
            ("::ffff:0:0/96", "covers every address"),
            ("192.0.2.7/33", "not an address or a network"),
            ("example.com", "not an address or a network"),
            ("", "not an address or a network"),
        ] {
            assert!(network(text).expect_err(text).contains(why), "{text}");
        }
    }

    #[test]
    fn a_range_is_the_networks_in_it() {
        let range = |text: &str| networks(text).map(|found| found.into_iter().map(words).collect::<Vec<_>>());
        assert_eq!(
            range("192.0.2.1-192.0.2.4"),
            Ok(["192.0.2.1", "192.0.2.2/31", "192.0.2.4"].map(str::to_owned).to_vec())
        );
        assert_eq!(range("2001:db8::-2001:db8::ffff"), Ok(vec!["2001:db8::/112".to_owned()]));
        for text in ["192.0.2.4-192.0.2.1", "192.0.2.1-2001:db8::1", "192.0.2.1-", "0.0.0.0-255.255.255.255"] {
            assert!(range(text).is_err(), "{text}");
        }
    }
}
