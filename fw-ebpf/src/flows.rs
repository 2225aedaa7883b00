//! The flow tables, and in front of them what each CPU found lately: a slot of an array and the comparison of a key take the place of a
//! look-up in an LRU hash and of a clock.
//!
//! Only flows that were found are kept, only of one address, and for about a second: so what is kept can be filled by nobody who could not fill the
//! tables, and a flow lives at most that much longer.

use aya_ebpf::maps::LruHashMap;
use fw_common::{
    abi::{RECENT_FLOWS, RECENT_LIFETIME},
    flow::{FlowEntry, FlowKey4, FlowKey6, Recent4, Recent6, judge},
};

use crate::{
    clock::{now, ticks},
    maps::{FLOWS4, FLOWS6, RECENT4, RECENT6},
    slot::{cpu, entry, slot},
};

/// The functions of a family. What is out of line is rare, and one copy of it is enough.
macro_rules! family {
    ($find:ident $look_up:ident $find_group:ident $insert:ident, $key:ty, $recent:ident, $flows:ident, $found:ident) => {
        /// Whether a flow to one address is alive; it is brought to the present then.
        #[inline(always)]
        pub(crate) fn $find(key: &$key, timeout: u64) -> bool {
            let index = of_this_cpu(key.recent_slot());
            if let Some(recent) = $found.get(index)
                && recent.key == *key
                && ticks().wrapping_sub(recent.found) < RECENT_LIFETIME
            {
                return true;
            }
            $look_up(key, timeout, index) != 0
        }

        #[inline(never)]
        fn $look_up(key: &$key, timeout: u64, index: u32) -> u64 {
            if !look_up(&$flows, key, timeout, true) {
                return 0;
            }
            if let Some(recent) = slot(&$found, index) {
                *recent = $recent { key: *key, found: ticks() };
            }
            1
        }

        /// Whether a flow to a group is alive. Answers do not prolong it.
        #[inline(never)]
        pub(crate) fn $find_group(key: &$key, timeout: u64) -> u64 {
            u64::from(look_up(&$flows, key, timeout, false))
        }

        /// Put a flow into the table; 0 where that failed.
        #[inline(never)]
        pub(crate) fn $insert(key: &$key) -> u64 {
            // Nothing can be done about a full table: an LRU map makes room or, out of memory, forgets this flow.
            u64::from($flows.insert(key, FlowEntry { last_seen: now() }, 0).is_ok())
        }
    };
}
family!(find4 look_up4 find_group4 insert4, FlowKey4, Recent4, FLOWS4, RECENT4);
family!(find6 look_up6 find_group6 insert6, FlowKey6, Recent6, FLOWS6, RECENT6);

/// This CPU's slot.
#[inline(always)]
fn of_this_cpu(slot: u32) -> u32 {
    cpu() * RECENT_FLOWS + slot
}

#[inline(always)]
fn look_up<K>(flows: &LruHashMap<K, FlowEntry>, key: &K, timeout: u64, refresh: bool) -> bool {
    let Some(entry) = entry(flows, key) else { return false };
    let now = now();
    let (alive, write) = judge(*entry, now, timeout, refresh);
    if write {
        entry.last_seen = now;
    }
    alive
}
