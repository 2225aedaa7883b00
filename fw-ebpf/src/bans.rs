//! Who is banned, asked of packets that would pass.

use aya_ebpf::maps::lpm_trie::Key;
use fw_common::{
    address::{V4, V6},
    bans::{BAN_PREFIX, BUFFER, Ban4, Ban6, filter_bit4, filter_bit6, filter_page, is_set},
};

use crate::{
    clock::since_boot,
    maps::{BAN_FILTER, BANS, BANS4, BANS6},
};

/// The buffer in force; 0 where nobody is banned.
#[inline(always)]
pub(crate) fn buffer() -> u32 {
    // SAFETY: the map's value is alive while the program runs. One load, because it may change at any moment.
    BANS.get_ptr(0).map_or(0, |buffer| unsafe { buffer.read_volatile() }) & BUFFER
}

#[inline(always)]
pub(crate) fn is_banned4(sender: V4) -> bool {
    may_be_banned(false, filter_bit4(sender)) && is_in_trie4(sender) != 0
}

#[inline(always)]
pub(crate) fn is_banned6(sender: &V6) -> bool {
    may_be_banned(true, filter_bit6(*sender)) && is_in_trie6(sender) != 0
}

#[inline(always)]
fn may_be_banned(is_ipv6: bool, bit: u32) -> bool {
    BAN_FILTER.get(filter_page(is_ipv6, bit)).is_some_and(|page| is_set(page, bit))
}

// Out of line: most senders are not asked about.

#[inline(never)]
fn is_in_trie4(sender: V4) -> u64 {
    let key = Key::new(BAN_PREFIX + V4::BITS, Ban4 { buffer: buffer(), address: sender });
    u64::from(BANS4.get(key).is_some_and(lasts))
}

#[inline(never)]
fn is_in_trie6(sender: &V6) -> u64 {
    let key = Key::new(BAN_PREFIX + 128, Ban6 { buffer: buffer(), address: *sender });
    u64::from(BANS6.get(key).is_some_and(lasts))
}

/// Whether a ban that ends then goes on.
#[inline(always)]
fn lasts(end: &u64) -> bool {
    *end > since_boot()
}
