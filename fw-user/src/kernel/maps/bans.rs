//! The bans in the kernel: two buffers, of which one is in force. A change of many is written into the other one, and one store puts it in force;
//! one of a few is made in place.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

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

/// Banned networks, without host bits and in order, each with the latest end of all bans that cover it: the kernel finds the longest prefix alone.
/// An end is in nanoseconds of `CLOCK_BOOTTIME`, or [`fw_common::bans::FOR_EVER`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Bans(Vec<(IpNet, u64)>);

impl Bans {
    /// No bans.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// How many IPv4 networks there are, and how many IPv6 networks.
    #[must_use]
    pub(crate) fn counts(&self) -> (usize, usize) {
        let v4 = self.0.partition_point(|(network, _)| network.addr().is_ipv4());
        (v4, self.0.len() - v4)
    }

    fn networks(&self) -> impl Iterator<Item = IpNet> {
        self.0.iter().map(|&(network, _)| network)
    }

    /// The networks that have another end afterwards, with that end, and the networks that are not banned any more.
    fn changes(&self, after: &Self) -> (Vec<(IpNet, u64)>, Vec<IpNet>) {
        let (mut changed, mut removed) = (Vec::new(), Vec::new());
        let mut before = self.0.iter().copied().peekable();
        for &(network, end) in &after.0 {
            while let Some((gone, _)) = before.next_if(|&(old, _)| old < network) {
                removed.push(gone);
            }
            if before.next_if(|&(old, _)| old == network) != Some((network, end)) {
                changed.push((network, end));
            }
        }
        removed.extend(before.map(|(gone, _)| gone));
        (changed, removed)
    }
}

impl FromIterator<(IpNet, u64)> for Bans {
    /// Bans in any order, of a network also several.
    fn from_iter<T: IntoIterator<Item = (IpNet, u64)>>(bans: T) -> Self {
        let mut bans: Vec<_> = bans.into_iter().collect();
        // The bans of a set are in order already, which makes this fast. A network comes before those that it holds.
        bans.sort();
        bans.dedup_by(|later, earlier| {
            let is_same = later.0 == earlier.0;
            if is_same {
                earlier.1 = later.1;
            }
            is_same
        });
        let mut around: Vec<(IpNet, u64)> = Vec::new();
        for (network, end) in &mut bans {
            while around.pop_if(|(outer, _)| !outer.contains(&*network)).is_some() {}
            *end = around.last().map_or(*end, |&(_, outer)| outer.max(*end));
            around.push((*network, *end));
        }
        Self(bans)
    }
}

/// How many networks of a family can be banned.
pub const MOST: usize = MAX_BANS as usize / 2;
/// Up to how many changed networks are written in place.
const FEW: usize = 256;
/// Set in the value of `BANS` while the buffer that is not in force has no entries.
const SPARE_IS_EMPTY: u32 = 4;

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

    /// Whether these bans are in force, and no others.
    pub fn holds(&self, bans: &Bans) -> Result<bool> {
        let in_force = self.in_force.get(&0, 0).map_err(|error| Error::refused("reading the bans in force", error))?;
        let expected = if bans.0.is_empty() { 0 } else { word(in_force & BUFFER, bans) };
        Ok(in_force & !SPARE_IS_EMPTY == expected)
    }

    /// Ban these networks and no others. `before` is what should be banned until now. No packet is judged by half of a change of many. The caller
    /// holds the lock.
    ///
    /// # Panics
    /// More than [`MOST`] networks of a family.
    pub fn update(&mut self, before: &Bans, bans: &Bans) -> Result<()> {
        let (v4, v6) = bans.counts();
        assert!(v4 <= MOST && v6 <= MOST, "the ledger limits how many there are");
        self.write(before, bans).map_err(|error| Error::refused("writing the bans", error))
    }

    fn write(&mut self, before: &Bans, bans: &Bans) -> Result<(), MapError> {
        let in_force = self.in_force.get(&0, 0)?;
        let buffer = in_force & BUFFER;
        let is_known = in_force & !SPARE_IS_EMPTY == word(buffer, before);
        let (changed, removed) = before.changes(bans);
        if is_known && buffer != 0 && !bans.0.is_empty() && changed.len() + removed.len() <= FEW {
            self.write_filters(before.networks().chain(bans.networks()))?;
            changed.into_iter().try_for_each(|(network, end)| self.insert(buffer, network, end))?;
            removed.into_iter().try_for_each(|network| self.remove(buffer, network))?;
            self.in_force.set(0, word(buffer, bans) | in_force & SPARE_IS_EMPTY, 0)?;
        } else {
            if in_force & SPARE_IS_EMPTY == 0 || !is_known {
                // An earlier command may have been killed while it wrote there.
                self.clear_all_but(buffer)?;
            }
            self.in_force.set(0, in_force & !SPARE_IS_EMPTY, 0)?;
            let spare = if buffer == 1 { 2 } else { 1 };
            bans.0.iter().try_for_each(|&(network, end)| self.insert(spare, network, end))?;
            self.write_filters(before.networks().chain(bans.networks()))?;
            let in_force = if bans.0.is_empty() { 0 } else { word(spare, bans) };
            self.in_force.set(0, in_force, 0)?;
            await_packets_in_flight();
            if is_known {
                before.networks().try_for_each(|network| self.remove(buffer, network))?;
            } else if buffer != 0 {
                self.clear_all_but(spare)?;
            }
            if in_force != 0 {
                self.in_force.set(0, in_force | SPARE_IS_EMPTY, 0)?;
            }
        }
        self.write_filters(bans.networks())
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

    fn clear_all_but(&mut self, buffer: u32) -> Result<(), MapError> {
        let keys: Vec<_> = self.bans4.keys().collect::<Result<_, _>>()?;
        for key in keys.into_iter().filter(|key| { key.data() }.0.buffer != buffer) {
            self.bans4.remove(&key)?;
        }
        let keys: Vec<_> = self.bans6.keys().collect::<Result<_, _>>()?;
        for key in keys.into_iter().filter(|key| { key.data() }.0.buffer != buffer) {
            self.bans6.remove(&key)?;
        }
        Ok(())
    }

    fn write_filters(&mut self, networks: impl Iterator<Item = IpNet>) -> Result<(), MapError> {
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
    hasher.finish() as u32 & !(BUFFER | SPARE_IS_EMPTY) | buffer
}

/// The pages of both filters.
fn filters_of(networks: impl Iterator<Item = IpNet>) -> Vec<BanPage> {
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

    fn ends(of: &[(&str, u64)]) -> Vec<(IpNet, u64)> {
        of.iter().map(|&(network, end)| (network.parse().expect("a network"), end)).collect()
    }

    fn bans(of: &[(&str, u64)]) -> Bans {
        ends(of).into_iter().collect()
    }

    #[test]
    fn of_several_bans_of_a_network_the_latest_end_counts() {
        let several = [("192.0.2.0/24", 7), ("10.0.0.0/8", 1), ("192.0.2.0/24", 9), ("192.0.2.0/24", 8)];
        assert_eq!(bans(&several).0, ends(&[("10.0.0.0/8", 1), ("192.0.2.0/24", 9)]));
        assert_eq!(bans(&[("2001:db8::/32", 1), ("10.0.0.0/8", 1), ("10.0.0.0/9", 1)]).counts(), (2, 1));
    }

    #[test]
    fn what_changes_is_what_has_another_end_or_is_gone() {
        let before = bans(&[("10.0.0.0/8", 5), ("11.0.0.0/8", 5), ("12.0.0.0/8", 5), ("2001:db8::/32", 5)]);
        let after = bans(&[("9.0.0.0/8", 1), ("11.0.0.0/8", 5), ("12.0.0.0/8", 6), ("12.0.0.0/9", 1)]);
        let changed = ends(&[("9.0.0.0/8", 1), ("12.0.0.0/8", 6), ("12.0.0.0/9", 6)]);
        let removed: Vec<IpNet> = bans(&[("10.0.0.0/8", 5), ("2001:db8::/32", 5)]).networks().collect();
        assert_eq!(before.changes(&after), (changed, removed));
        assert_eq!(before.changes(&before), (Vec::new(), Vec::new()));
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
        let latest = ends(&[
            ("10.0.0.0/8", FOR_EVER),
            ("10.1.0.0/16", FOR_EVER),
            ("10.1.1.1/32", FOR_EVER),
            ("11.0.0.0/8", 3),
            ("11.0.0.0/16", 9),
            ("11.0.0.1/32", 9),
            ("2001:db8::/32", 8),
            ("2001:db8::1/128", 8),
        ]);
        assert_eq!(given.0, latest);
    }

    #[test]
    fn the_filter_has_the_bit_of_every_banned_sender() {
        let bit = |sender: &str| match sender.parse().expect("an address") {
            IpAddr::V4(v4) => (false, filter_bit4(V4::from_bytes(v4.octets()))),
            IpAddr::V6(v6) => (true, filter_bit6(V6::from_bytes(v6.octets()))),
        };
        let has = |network: &str, sender: &str| {
            let pages = filters_of([network.parse().expect("a network")].into_iter());
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
