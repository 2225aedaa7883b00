//! The bans in the kernel: two buffers, of which one is in force. A change is written into the other one, and one store puts it in force.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    net::IpAddr,
};

use aya::maps::{Array, HashMap, Map, MapData, MapError};
use bytemuck::Zeroable as _;
use fw_common::{
    abi::map,
    address::{Address as _, V4, V6},
    bans::{
        BUFFER, FILTER_BITS, FILTER_PAGES, FilterPage, Index4, Index6, MAX_BANS, Number4, Number6, Page4, Page6,
        RANGES4, RANGES6, Range4, Range6, buffer_of, filter_bit4, filter_bit6, filter_page, index_of, page_key, set,
    },
};
use ipnet::IpNet;

use crate::{
    error::{Error, KernelError, Result},
    kernel::{maps::policy_map::await_packets_in_flight, pins::Pins, plain::Plain, shape},
};

/// Banned networks, without host bits and in order, each with the latest end of all bans that cover it.
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

    /// The banned addresses of a family.
    fn spans(&self, is_ipv6: bool) -> Vec<Span> {
        let mut spans = Spans(Vec::new());
        // The networks around the next one, and the first address that has no span yet.
        let (mut around, mut next) = (Vec::<Span>::new(), 0);
        for &(network, end) in self.0.iter().filter(|(network, _)| network.addr().is_ipv6() == is_ipv6) {
            let network = Span { first: bits(network.network()), last: bits(network.broadcast()), end };
            while let Some(inner) = around.pop_if(|span| span.last < network.first) {
                spans.add(next, inner);
                next = inner.last + 1;
            }
            if let Some(outer) = around.last()
                && next < network.first
            {
                spans.add(next, Span { last: network.first - 1, ..*outer });
            }
            next = network.first;
            around.push(network);
        }
        while let Some(inner) = around.pop() {
            spans.add(next, inner);
            // Behind the last address there are only networks that end there too.
            let Some(behind) = inner.last.checked_add(1) else { break };
            next = behind;
        }
        spans.0
    }
}

/// Banned addresses, as numbers, and when their ban ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    first: u128,
    last: u128,
    end: u64,
}

/// Spans in order, as few as possible.
struct Spans(Vec<Span>);

impl Spans {
    /// Add what a span has from an address on.
    fn add(&mut self, first: u128, span: Span) {
        match self.0.last_mut() {
            _ if first > span.last => {}
            Some(before) if before.end == span.end && before.last + 1 == first => before.last = span.last,
            _ => self.0.push(Span { first, ..span }),
        }
    }
}

/// An address as a number.
fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_bits().into(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

const fn number4(bits: u128) -> Number4 {
    bits as u32
}

const fn number6(bits: u128) -> Number6 {
    [(bits >> 64) as u64, bits as u64]
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
pub const MOST: usize = MAX_BANS as usize;

/// The maps that hold the bans.
pub struct BanMap {
    in_force: Array<MapData, u32>,
    pages4: HashMap<MapData, u32, Plain<Page4>>,
    pages6: HashMap<MapData, u32, Plain<Page6>>,
    index4: Array<MapData, Plain<Index4>>,
    index6: Array<MapData, Plain<Index6>>,
    filters: Array<MapData, Plain<FilterPage>>,
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
        let hash = |name| shape::open_shared(pins, name).map(Map::HashMap);
        Ok(Self {
            in_force: array(map::BANS)?.try_into().map_err(bad(map::BANS))?,
            pages4: hash(map::BANS4)?.try_into().map_err(bad(map::BANS4))?,
            pages6: hash(map::BANS6)?.try_into().map_err(bad(map::BANS6))?,
            index4: array(map::BAN_INDEX4)?.try_into().map_err(bad(map::BAN_INDEX4))?,
            index6: array(map::BAN_INDEX6)?.try_into().map_err(bad(map::BAN_INDEX6))?,
            filters: array(map::BAN_FILTER)?.try_into().map_err(bad(map::BAN_FILTER))?,
        })
    }

    /// Whether these bans are in force, and no others.
    pub fn holds(&self, bans: &Bans) -> Result<bool> {
        let in_force = self.in_force.get(&0, 0).map_err(|error| Error::refused("reading the bans in force", error))?;
        Ok(in_force == word(in_force & BUFFER, bans))
    }

    /// Ban these networks and no others. No packet is judged by half of a change. The caller holds the lock.
    ///
    /// # Panics
    /// More than [`MOST`] networks of a family.
    pub fn update(&mut self, bans: &Bans) -> Result<()> {
        let (v4, v6) = bans.counts();
        assert!(v4 <= MOST && v6 <= MOST, "the ledger limits how many there are");
        if self.holds(bans)? {
            return Ok(());
        }
        self.write(bans).map_err(|error| Error::refused("writing the bans", error))
    }

    fn write(&mut self, bans: &Bans) -> Result<(), MapError> {
        let buffer = self.in_force.get(&0, 0)? & BUFFER;
        let spare = if buffer == 1 { 2 } else { 1 };
        // An earlier command may have been killed while it wrote there.
        self.clear_all_but(buffer)?;
        self.write_pages4(spare, &bans.spans(false))?;
        self.write_pages6(spare, &bans.spans(true))?;
        let filters = filters_of(bans.networks());
        self.write_filters(&filters, |before, bits| before | bits)?;
        let in_force = word(spare, bans);
        self.in_force.set(0, in_force, 0)?;
        await_packets_in_flight();
        self.clear_all_but(in_force & BUFFER)?;
        self.write_filters(&filters, |_, bits| bits)
    }

    /// Write the ranges of a buffer. The last ones are on the last page, and only the first page has room left.
    fn write_pages4(&mut self, buffer: u32, spans: &[Span]) -> Result<(), MapError> {
        let mut index = Index4::zeroed();
        for ((page_number, place), spans) in index.iter_mut().enumerate().rev().zip(spans.rchunks(RANGES4)) {
            let mut page = Page4::zeroed();
            for (range, &Span { first, last, end }) in page[1 + RANGES4 - spans.len()..].iter_mut().zip(spans) {
                *range = Range4 { first: number4(first), last: number4(last), end };
            }
            *place = page[1 + RANGES4 - spans.len()].first;
            self.pages4.insert(page_key(buffer, page_number as u32), Plain(page), 0)?;
        }
        self.index4.set(index_of(buffer), Plain(index), 0)
    }

    /// The same for IPv6.
    fn write_pages6(&mut self, buffer: u32, spans: &[Span]) -> Result<(), MapError> {
        let mut index = Index6::zeroed();
        for ((page_number, place), spans) in index.iter_mut().enumerate().rev().zip(spans.rchunks(RANGES6)) {
            let mut page = Page6::zeroed();
            for (range, &Span { first, last, end }) in page[1 + RANGES6 - spans.len()..].iter_mut().zip(spans) {
                *range = Range6 { first: number6(first), last: number6(last), end };
            }
            *place = page[1 + RANGES6 - spans.len()].first;
            self.pages6.insert(page_key(buffer, page_number as u32), Plain(page), 0)?;
        }
        self.index6.set(index_of(buffer), Plain(index), 0)
    }

    fn clear_all_but(&mut self, buffer: u32) -> Result<(), MapError> {
        let keys: Vec<u32> = self.pages4.keys().collect::<Result<_, _>>()?;
        for key in keys.into_iter().filter(|&key| buffer_of(key) != buffer) {
            self.pages4.remove(&key)?;
        }
        let keys: Vec<u32> = self.pages6.keys().collect::<Result<_, _>>()?;
        for key in keys.into_iter().filter(|&key| buffer_of(key) != buffer) {
            self.pages6.remove(&key)?;
        }
        Ok(())
    }

    /// Write what becomes of each word and the bits for it. A command changes few bits, and a page is written at once.
    fn write_filters(&mut self, filters: &[FilterPage], becomes: impl Fn(u32, u32) -> u32) -> Result<(), MapError> {
        for (index, bits) in (0..).zip(filters) {
            let Plain(before) = self.filters.get(&index, 0)?;
            let mut page = before;
            page.iter_mut().zip(bits).for_each(|(word, &bits)| *word = becomes(*word, bits));
            if page != before {
                self.filters.set(index, Plain(page), 0)?;
            }
        }
        Ok(())
    }
}

/// The value of `BANS` while a buffer is in force: what it holds is in the upper bits, so that the next command knows whether it holds what it
/// should.
fn word(buffer: u32, bans: &Bans) -> u32 {
    if bans.0.is_empty() {
        return 0;
    }
    let mut hasher = DefaultHasher::new();
    bans.hash(&mut hasher);
    hasher.finish() as u32 & !BUFFER | buffer
}

/// The pages of both filters.
fn filters_of(networks: impl Iterator<Item = IpNet>) -> Vec<FilterPage> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    use fw_common::bans::{FOR_EVER, PAGES4, PAGES6, is_set};

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
    fn banned_addresses_are_as_few_spans_as_possible() {
        let spans = |of: &[(&str, u64)]| -> Vec<String> {
            let address = |bits: u128| match u32::try_from(bits) {
                Ok(bits) => IpAddr::from(Ipv4Addr::from_bits(bits)),
                Err(_) => IpAddr::from(Ipv6Addr::from_bits(bits)),
            };
            let spans = [false, true].map(|is_ipv6| bans(of).spans(is_ipv6)).concat();
            spans.iter().map(|span| format!("{}-{} {}", address(span.first), address(span.last), span.end)).collect()
        };
        for (of, expected) in [
            ([("192.0.2.7/32", 5)].as_slice(), ["192.0.2.7-192.0.2.7 5"].as_slice()),
            (&[("0.0.0.0/1", 5), ("128.0.0.0/1", 5)], &["0.0.0.0-255.255.255.255 5"]),
            (&[("192.0.2.7/32", 5), ("192.0.2.8/32", 5)], &["192.0.2.7-192.0.2.8 5"]),
            (&[("192.0.2.7/32", 5), ("192.0.2.8/32", 6)], &["192.0.2.7-192.0.2.7 5", "192.0.2.8-192.0.2.8 6"]),
            (&[("192.0.2.7/32", 5), ("192.0.2.9/32", 5)], &["192.0.2.7-192.0.2.7 5", "192.0.2.9-192.0.2.9 5"]),
            (&[("10.0.0.0/8", 5), ("10.1.0.0/16", 4)], &["10.0.0.0-10.255.255.255 5"]),
            (
                &[("10.0.0.0/8", 5), ("10.1.0.0/16", 6), ("10.1.1.0/24", 7), ("10.2.0.0/16", 8), ("11.0.0.0/8", 5)],
                &[
                    "10.0.0.0-10.0.255.255 5",
                    "10.1.0.0-10.1.0.255 6",
                    "10.1.1.0-10.1.1.255 7",
                    "10.1.2.0-10.1.255.255 6",
                    "10.2.0.0-10.2.255.255 8",
                    "10.3.0.0-11.255.255.255 5",
                ],
            ),
            (&[("10.0.0.0/8", 5), ("10.0.0.0/9", 6)], &["10.0.0.0-10.127.255.255 6", "10.128.0.0-10.255.255.255 5"]),
            (&[("10.0.0.0/8", 5), ("10.128.0.0/9", 6)], &["10.0.0.0-10.127.255.255 5", "10.128.0.0-10.255.255.255 6"]),
            (
                &[("0.0.0.0/1", 5), ("ff00::/8", 5), ("ffff::/16", 6)],
                &[
                    "0.0.0.0-127.255.255.255 5",
                    "ff00::-fffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff 5",
                    "ffff::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 6",
                ],
            ),
        ] {
            assert_eq!(spans(of), expected, "{of:?}");
        }
    }

    #[test]
    fn the_most_networks_of_a_family_fit_on_its_pages() {
        // Each network inside another one makes three spans of two networks.
        let most = 2 * MOST - 1;
        assert!(most.div_ceil(RANGES4) <= PAGES4 as usize);
        assert!(most.div_ceil(RANGES6) <= PAGES6 as usize);
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
