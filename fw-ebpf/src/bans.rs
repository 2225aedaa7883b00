//! Who is banned, asked of packets that would pass.

use fw_common::{
    address::{V4, V6},
    bans::{BUFFER, Number6, filter_bit4, filter_bit6, filter_page, index_of, is_set, number4, number6, page_key},
};

use crate::{
    clock::since_boot,
    maps::{BAN_FILTER, BAN_INDEX4, BAN_INDEX6, BANS, BANS4, BANS6},
    verifier::forget,
};

/// The buffer in force; 0 where nobody is banned.
#[inline(always)]
pub(crate) fn buffer() -> u32 {
    // SAFETY: the map's value is alive while the program runs. One load, because it may change at any moment.
    BANS.get_ptr(0).map_or(0, |buffer| unsafe { buffer.read_volatile() }) & BUFFER
}

#[inline(always)]
pub(crate) fn is_banned4(sender: V4) -> bool {
    may_be_banned(false, filter_bit4(sender)) && is_in_ranges4(sender) != 0
}

#[inline(always)]
pub(crate) fn is_banned6(sender: &V6) -> bool {
    may_be_banned(true, filter_bit6(*sender)) && is_in_ranges6(sender) != 0
}

#[inline(always)]
fn may_be_banned(is_ipv6: bool, bit: u32) -> bool {
    BAN_FILTER.get(filter_page(is_ipv6, bit)).is_some_and(|page| is_set(page, bit))
}

// Out of line: most senders are not asked about.

#[inline(never)]
fn is_in_ranges4(sender: V4) -> u64 {
    let (buffer, number) = (buffer(), number4(sender));
    let Some(index) = BAN_INDEX4.get(index_of(buffer)) else { return 0 };
    let page = last(index, sender as usize, |&first| first <= number);
    // SAFETY: nobody changes a page of the buffer in force, and one of the other buffer is not removed before this program ends.
    let Some(page) = (unsafe { BANS4.get(page_key(buffer, page as u32)) }) else { return 0 };
    let range = page.get(last(page, sender as usize, |range| range.first <= number));
    u64::from(range.is_some_and(|range| number <= range.last && lasts(range.end)))
}

#[inline(never)]
fn is_in_ranges6(sender: &V6) -> u64 {
    let (buffer, number) = (buffer(), number6(sender));
    let Some(index) = BAN_INDEX6.get(index_of(buffer)) else { return 0 };
    let page = last(index, sender[3] as usize, |first| is_in_order(first, &number));
    // SAFETY: as above.
    let Some(page) = (unsafe { BANS6.get(page_key(buffer, page as u32)) }) else { return 0 };
    let range = page.get(last(page, sender[3] as usize, |range| is_in_order(&range.first, &number)));
    u64::from(range.is_some_and(|range| is_in_order(&number, &range.last) && lasts(range.end)))
}

/// The place of the last item that begins at or before the sender. The first item does. `salt` is any value that the verifier does not know.
#[inline(always)]
fn last<T, const N: usize>(items: &[T; N], salt: usize, begins: impl Fn(&T) -> bool) -> usize {
    let mut place = 0;
    let mut step = N.next_power_of_two() / 2;
    while step > 0 {
        let next = forget((place | step) as u64, salt) as usize & (N.next_power_of_two() - 1);
        if items.get(next).is_some_and(&begins) {
            place = next;
        }
        step /= 2;
    }
    place
}

/// Whether a number is at most another one.
#[inline(always)]
fn is_in_order(one: &Number6, other: &Number6) -> bool {
    one[0] < other[0] || one[0] == other[0] && one[1] <= other[1]
}

/// Whether a ban that ends then goes on.
#[inline(always)]
fn lasts(end: u64) -> bool {
    end > since_boot()
}
