//! Bans: senders of which nothing passes, whatever the policies say. They are the machine's, not an interface's.
//!
//! A trie holds the banned networks and when each ban ends. A look at it is dear, so a filter of bits is in front: the trie is asked only where the
//! sender's bit is set. More bits than needed cost time; a missing one would let a banned sender in.

use bytemuck::{Pod, Zeroable};

use crate::address::{V4, V6, spread};

/// Networks that both buffers of the trie together can hold, a family.
pub const MAX_BANS: u32 = 262_144;
/// How many bits a filter has, as a power of two.
pub const FILTER_BITS: u32 = 21;
/// The bits of the value of `BANS` that say which buffer is in force, 1 or 2; 0 where nobody is banned. The user side has the others for itself.
pub const BUFFER: u32 = 3;
/// A page of a filter: bit `n % 32` of word `n / 32` is bit `n`.
pub type BanPage = [u32; 1024];
/// Bits of a page.
const PAGE_BITS: u32 = size_of::<BanPage>() as u32 * 8;
/// Pages of a filter. Those for IPv4 addresses come first in `BAN_FILTER`.
pub const FILTER_PAGES: u32 = (1 << FILTER_BITS) / PAGE_BITS;
/// The end of a ban or a rule that has none; any other is in nanoseconds of `CLOCK_BOOTTIME`, which counts suspend.
pub const FOR_EVER: u64 = u64::MAX;
/// Bits of a key before those of the address.
pub const BAN_PREFIX: u32 = 32;

/// Key of the trie of IPv4 networks. Its value is the latest end of all bans that cover the network, so that an expired ban of a part hides none
/// of the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Ban4 {
    /// The [buffer](BUFFER), 1 or 2.
    pub buffer: u32,
    /// The network's address.
    pub address: V4,
}

/// The same for IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Ban6 {
    /// The buffer.
    pub buffer: u32,
    /// The network's address.
    pub address: V6,
}

/// The bit of an IPv4 address in its filter: all of a /24 have the same.
#[inline(always)]
#[must_use]
pub const fn filter_bit4(address: V4) -> u32 {
    spread(u32::from_be(address) >> 8, FILTER_BITS)
}

/// The bit of an IPv6 address in its filter: all of a /32 have the same.
#[inline(always)]
#[must_use]
pub const fn filter_bit6(address: V6) -> u32 {
    spread(u32::from_be(address[0]), FILTER_BITS)
}

/// Index into `BAN_FILTER` of the page that holds a bit.
#[inline(always)]
#[must_use]
pub const fn filter_page(is_ipv6: bool, bit: u32) -> u32 {
    is_ipv6 as u32 * FILTER_PAGES + bit / PAGE_BITS
}

/// Whether a bit is set in its page.
#[inline(always)]
#[must_use]
pub const fn is_set(page: &BanPage, bit: u32) -> bool {
    page[(bit % PAGE_BITS) as usize / 32] >> (bit % 32) & 1 != 0
}

/// Set a bit in its page.
pub const fn set(page: &mut BanPage, bit: u32) {
    page[(bit % PAGE_BITS) as usize / 32] |= 1 << (bit % 32);
}
