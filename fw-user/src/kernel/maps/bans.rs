//! The bans in the kernel: two buffers, of which one is in force. A change of many is written into the other one, and one store puts it in force;
//! one of a few is made in place.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use aya::maps::{Array, LpmTrie, Map, MapData, MapError, lpm_trie::Key};
use fw_common::{
    abi::map,
    address::{Address as _, V4, V6},
    bans::{
        BAN_PREFIX, BUFFER, Ban4, Ban6, BanPage, FILTER_BITS, FILTER_PAGES, MAX_BANS, filter_bit4, filter_bit6,
        filter_page, set,
    },
};
use ipnet::IpNet;

use crate::{
    error::{Error, KernelError, Result},
    kernel::{maps::policy_map::await_packets_in_flight, pins::Pins, plain::Plain, shape},
};

/// Banned networks, without host bits, and when each ban ends: nanoseconds of `CLOCK_BOOTTIME`, or [`fw_common::bans::FOR_EVER`].
pub type Bans = BTreeMap<IpNet, u64>;

/// How many networks of a family can be banned.
pub const MOST: usize = MAX_BANS as usize / 2;
/// Up to how many changed networks are written in place.
const FEW: usize = 256;

/// The maps that hold the bans.
pub struct BanMap {
    in_force: Array<MapData, u32>,
    bans4: LpmTrie<MapData, Plain<Ban4>, u64>,
    bans6: LpmTrie<MapData, Plain<Ban6>, u64>,
    filters: Array<MapData, Plain<BanPage>>,
}

impl BanMap {
    /// Open the pinned maps.
    pub fn open(pins: &Pins) -> Result<Self> {
        let bad = |name| {
            move |error: MapError| {
                Error::Kernel(KernelError::BadPin { path: pins.shared_map(name), source: error.into() })
            }
        };
        let array = |name| shape::open_shared(pins, name).map(Map::Array);
        let trie = |name| shape::open_shared(pins, name).map(Map::LpmTrie);
        Ok(Self {
            in_force: array(map::BANS)?.try_into().map_err(bad(map::BANS))?,
            bans4: trie(map::BANS4)?.try_into().map_err(bad(map::BANS4))?,
            bans6: trie(map::BANS6)?.try_into().map_err(bad(map::BANS6))?,
            filters: array(map::BAN_FILTER)?.try_into().map_err(bad(map::BAN_FILTER))?,
        })
    }

    /// Ban these networks and no others, where `before` was to be banned. No packet is judged by half of many. The caller holds the lock.
    ///
    /// # Panics
    /// More than [`MOST`] networks of a family.
    pub fn update(&mut self, before: &Bans, bans: &Bans) -> Result<()> {
        let count = |is_ipv4| bans.keys().filter(|network| network.addr().is_ipv4() == is_ipv4).count();
        assert!(count(true) <= MOST && count(false) <= MOST, "the ledger limits how many there are");
        self.write(before, bans).map_err(|error| Error::refused("writing the bans", error))
    }

    fn write(&mut self, before: &Bans, bans: &Bans) -> Result<(), MapError> {
        let in_force = self.in_force.get(&0, 0)?;
        let (old, new) = (latest_ends(before), latest_ends(bans));
        let changed: Vec<_> = new.iter().filter(|&(network, end)| old.get(network) != Some(end)).collect();
        let removed: Vec<_> = old.keys().filter(|network| !new.contains_key(network)).collect();
        let is_known = in_force == word(in_force & BUFFER, before);
        if is_known && in_force & BUFFER != 0 && !new.is_empty() && changed.len() + removed.len() <= FEW {
            let buffer = in_force & BUFFER;
            self.write_filters(old.keys().chain(new.keys()))?;
            changed.into_iter().try_for_each(|(&network, &end)| self.insert(buffer, network, end))?;
            removed.into_iter().try_for_each(|&network| self.remove(buffer, network))?;
            self.in_force.set(0, word(buffer, bans), 0)?;
        } else {
            let buffer = if in_force & BUFFER == 1 { 2 } else { 1 };
            // An earlier command may have been killed while it wrote there.
            self.clear(buffer)?;
            new.iter().try_for_each(|(&network, &end)| self.insert(buffer, network, end))?;
            self.write_filters(old.keys().chain(new.keys()))?;
            self.in_force.set(0, if new.is_empty() { 0 } else { word(buffer, bans) }, 0)?;
            await_packets_in_flight();
            self.clear(in_force & BUFFER)?;
        }
        self.write_filters(new.keys())
    }

    fn insert(&mut self, buffer: u32, network: IpNet, end: u64) -> Result<(), MapError> {
        match network {
            IpNet::V4(_) => self.bans4.insert(&key4(buffer, network), end, 0),
            IpNet::V6(_) => self.bans6.insert(&key6(buffer, network), end, 0),
        }
    }

    fn remove(&mut self, buffer: u32, network: IpNet) -> Result<(), MapError> {
        match network {
            IpNet::V4(_) => self.bans4.remove(&key4(buffer, network)),
            IpNet::V6(_) => self.bans6.remove(&key6(buffer, network)),
        }
    }

    fn clear(&mut self, buffer: u32) -> Result<(), MapError> {
        let keys: Vec<_> = self.bans4.keys().collect::<Result<_, _>>()?;
        for key in keys.into_iter().filter(|key| { key.data() }.0.buffer == buffer) {
            self.bans4.remove(&key)?;
        }
        let keys: Vec<_> = self.bans6.keys().collect::<Result<_, _>>()?;
        for key in keys.into_iter().filter(|key| { key.data() }.0.buffer == buffer) {
            self.bans6.remove(&key)?;
        }
        Ok(())
    }

    fn write_filters<'a>(&mut self, networks: impl Iterator<Item = &'a IpNet>) -> Result<(), MapError> {
        let filters = filters_of(networks);
        // A command writes few bits, and a page is written at once.
        for (index, page) in (0..).zip(&filters) {
            if self.filters.get(&index, 0)?.0 != *page {
                self.filters.set(index, Plain(*page), 0)?;
            }
        }
        Ok(())
    }
}

/// The value of `BANS` while a buffer is in force: what it holds is in the upper bits, so that the next command knows whether it holds what it
/// should.
fn word(buffer: u32, bans: &Bans) -> u32 {
    let mut hasher = DefaultHasher::new();
    bans.hash(&mut hasher);
    hasher.finish() as u32 & !BUFFER | buffer
}

/// For each network the latest end of all bans that cover it: the kernel finds the longest prefix alone.
fn latest_ends(bans: &Bans) -> Bans {
    let mut around: Vec<(IpNet, u64)> = Vec::new();
    let latest = |(&network, &end): (&IpNet, &u64)| {
        while around.pop_if(|(outer, _)| !outer.contains(&network)).is_some() {}
        let end = around.last().map_or(end, |&(_, outer)| end.max(outer));
        around.push((network, end));
        (network, end)
    };
    // In their order a network comes before those that it holds.
    bans.iter().map(latest).collect()
}

/// The pages of both filters.
fn filters_of<'a>(networks: impl Iterator<Item = &'a IpNet>) -> Vec<BanPage> {
    let mut pages = vec![[0; _]; 2 * FILTER_PAGES as usize];
    for network in networks {
        // The bits before those of a block with a bit of its own, and behind them.
        let (block, is_ipv6) = if network.addr().is_ipv6() { (32, true) } else { (24, false) };
        // How many blocks the network holds, as a power of two.
        let wide = u32::from(block - network.prefix_len().min(block));
        if wide >= FILTER_BITS {
            let first = filter_page(is_ipv6, 0) as usize;
            pages[first..first + FILTER_PAGES as usize].fill([u32::MAX; _]);
            continue;
        }
        for number in 0..1_u32 << wide {
            let bit = match network {
                IpNet::V4(net) => filter_bit4(V4::from_bytes((u32::from(net.network()) | number << 8).to_be_bytes())),
                IpNet::V6(net) => {
                    let [first, ..] = V6::from_bytes(net.network().octets());
                    filter_bit6([(u32::from_be(first) | number).to_be(), 0, 0, 0])
                }
            };
            set(&mut pages[filter_page(is_ipv6, bit) as usize], bit);
        }
    }
    pages
}

fn bits(network: IpNet) -> u32 {
    BAN_PREFIX + u32::from(network.prefix_len())
}

fn key4(buffer: u32, network: IpNet) -> Key<Plain<Ban4>> {
    let IpNet::V4(net) = network else { unreachable!("an IPv4 network") };
    Key::new(bits(network), Plain(Ban4 { buffer, address: V4::from_bytes(net.network().octets()) }))
}

fn key6(buffer: u32, network: IpNet) -> Key<Plain<Ban6>> {
    let IpNet::V6(net) = network else { unreachable!("an IPv6 network") };
    Key::new(bits(network), Plain(Ban6 { buffer, address: V6::from_bytes(net.network().octets()) }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    use fw_common::bans::{FOR_EVER, is_set};

    fn bans(of: &[(&str, u64)]) -> Bans {
        of.iter().map(|&(network, end)| (network.parse().expect("a network"), end)).collect()
    }

    #[test]
    fn a_ban_that_ends_early_hides_none_around_it_that_ends_later() {
        let given = bans(&[
            ("10.0.0.0/8", FOR_EVER),
            ("10.1.0.0/16", 5),
            ("10.1.1.1/32", 7),
            ("11.0.0.0/8", 3),
            ("11.0.0.0/16", 9),
            ("11.0.0.1/32", 4),
            ("2001:db8::/32", 8),
            ("2001:db8::1/128", 2),
        ]);
        let latest = bans(&[
            ("10.0.0.0/8", FOR_EVER),
            ("10.1.0.0/16", FOR_EVER),
            ("10.1.1.1/32", FOR_EVER),
            ("11.0.0.0/8", 3),
            ("11.0.0.0/16", 9),
            ("11.0.0.1/32", 9),
            ("2001:db8::/32", 8),
            ("2001:db8::1/128", 8),
        ]);
        assert_eq!(latest_ends(&given), latest);
    }

    #[test]
    fn the_filter_has_the_bit_of_every_banned_sender() {
        let bit = |sender: &str| match sender.parse().expect("an address") {
            IpAddr::V4(v4) => (false, filter_bit4(V4::from_bytes(v4.octets()))),
            IpAddr::V6(v6) => (true, filter_bit6(V6::from_bytes(v6.octets()))),
        };
        let has = |network: &str, sender: &str| {
            let pages = filters_of([network.parse().expect("a network")].iter());
            let (is_ipv6, bit) = bit(sender);
            is_set(&pages[filter_page(is_ipv6, bit) as usize], bit)
        };
        for (network, senders) in [
            ("192.0.2.77/32", ["192.0.2.77"].as_slice()),
            ("192.0.2.0/24", &["192.0.2.0", "192.0.2.255"]),
            ("10.0.0.0/8", &["10.0.0.0", "10.1.2.3", "10.255.255.255"]),
            ("0.0.0.0/1", &["0.0.0.1", "127.255.255.255"]),
            ("2001:db8::1/128", &["2001:db8::1"]),
            ("2001:d00::/24", &["2001:d00::", "2001:db8::1", "2001:dff:ffff::"]),
            ("2000::/3", &["2000::", "3fff::1"]),
        ] {
            for sender in senders {
                assert!(has(network, sender), "{network}: {sender}");
            }
        }
        assert!(!has("192.0.2.0/24", "192.0.3.1"));
        assert!(!has("0.0.0.0/1", "2001:db8::1"));
        assert!(!has("2000::/3", "192.0.2.1"));
    }
}
