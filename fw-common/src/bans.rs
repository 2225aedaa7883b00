//! Bans: senders of which nothing passes, whatever the policies say. They are the machine's, not an interface's.
//!
//! The banned networks are kept as ranges of addresses, in order, on pages. An index has the first address of every page, so two binary searches find
//! the range of a sender. They are dear, so a filter of bits is in front: the ranges are searched only where the sender's bit is set. More bits than
//! needed cost time; a missing one would let a banned sender in.

use bytemuck::{Pod, Zeroable};

use crate::address::{V4, V6, spread};

/// Networks of a family that can be banned.
pub const MAX_BANS: u32 = 131_072;
/// Ranges of IPv4 addresses that fit on a page.
pub const RANGES4: usize = 249;
/// Ranges of IPv6 addresses that fit on a page.
pub const RANGES6: usize = 99;
/// Pages of IPv4 ranges in a buffer. A network inside another one, with another end, makes three ranges of two networks.
pub const PAGES4: u32 = (2 * MAX_BANS).div_ceil(RANGES4 as u32);
/// Pages of IPv6 ranges in a buffer.
pub const PAGES6: u32 = (2 * MAX_BANS).div_ceil(RANGES6 as u32);
/// Places in the index of IPv4 ranges: a power of two, so that none needs a check.
pub const INDEX4: u32 = PAGES4.next_power_of_two();
/// Places in the index of IPv6 ranges.
pub const INDEX6: u32 = PAGES6.next_power_of_two();
/// Buffers: one in force, one to write.
pub const BAN_BUFFERS: u32 = 2;
/// How many bits a filter has, as a power of two.
pub const FILTER_BITS: u32 = 21;
/// The bits of the value of `BANS` that say which buffer is in force, 1 or 2; 0 where nobody is banned. The user side has the others for itself.
pub const BUFFER: u32 = 3;
/// A page of a filter: bit `n % 32` of word `n / 32` is bit `n`.
pub type FilterPage = [u32; 1024];
/// Bits of a page.
const PAGE_BITS: u32 = size_of::<FilterPage>() as u32 * 8;
/// Pages of a filter. Those for IPv4 addresses come first in `BAN_FILTER`.
pub const FILTER_PAGES: u32 = (1 << FILTER_BITS) / PAGE_BITS;
/// The end of a ban or a rule that has none; any other is in nanoseconds of `CLOCK_BOOTTIME`, which counts suspend.
pub const FOR_EVER: u64 = u64::MAX;

/// An IPv4 address as a number, in the host's byte order.
pub type Number4 = u32;
/// An IPv6 address as a number: the upper half, then the lower one, each in the host's byte order.
pub type Number6 = [u64; 2];

/// Banned IPv4 addresses, and the latest end of all bans of them. Cleared, it is a ban that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Range4 {
    /// The first address.
    pub first: Number4,
    /// The last address.
    pub last: Number4,
    /// When the ban ends.
    pub end: u64,
}

/// The same for IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Range6 {
    /// The first address.
    pub first: Number6,
    /// The last address.
    pub last: Number6,
    /// When the ban ends.
    pub end: u64,
}

/// Ranges in order. Cleared ones come first, at least one. The kernel allocates a page with its key and 56 bytes of its own, and rounds up to a power
/// of two.
pub type Page4 = [Range4; 1 + RANGES4];
/// The same for IPv6.
pub type Page6 = [Range6; 1 + RANGES6];
/// The first address of each page, in order. Pages that do not exist come first, with 0, at least one.
pub type Index4 = [Number4; INDEX4 as usize];
/// The same for IPv6.
pub type Index6 = [Number6; INDEX6 as usize];

/// An IPv4 address as a number.
#[inline(always)]
#[must_use]
pub const fn number4(address: V4) -> Number4 {
    u32::from_be(address)
}

/// An IPv6 address as a number.
#[inline(always)]
#[must_use]
pub const fn number6(address: &V6) -> Number6 {
    const fn joined(upper: u32, lower: u32) -> u64 {
        (u32::from_be(upper) as u64) << 32 | u32::from_be(lower) as u64
    }
    [joined(address[0], address[1]), joined(address[2], address[3])]
}

/// Index into the index maps of a [buffer](BUFFER).
#[inline(always)]
#[must_use]
pub const fn index_of(buffer: u32) -> u32 {
    buffer.wrapping_sub(1)
}

/// Key of a page of a [buffer](BUFFER).
#[inline(always)]
#[must_use]
pub const fn page_key(buffer: u32, page: u32) -> u32 {
    buffer << 16 | page
}

/// The buffer of a page with this key.
#[must_use]
pub const fn buffer_of(page_key: u32) -> u32 {
    page_key >> 16
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
pub const fn is_set(page: &FilterPage, bit: u32) -> bool {
    page[(bit % PAGE_BITS) as usize / 32] >> (bit % 32) & 1 != 0
}

/// Set a bit in its page.
pub const fn set(page: &mut FilterPage, bit: u32) {
    page[(bit % PAGE_BITS) as usize / 32] |= 1 << (bit % 32);
}

const _: () = assert!(PAGES4 < INDEX4 && PAGES6 < INDEX6, "an index has a place without a page");
const _: () =
    assert!(INDEX4 <= 1 << 16 && INDEX6 <= 1 << 16, "the number of a page fits into the lower half of its key");
