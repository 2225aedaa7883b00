//! The flow tables, and in front of them what each CPU found lately: a slot of an array and the comparison of a key take the place of a
//! look-up in an LRU hash and of a clock.
//!
//! Only flows that were found are kept, only of one address, and for about a second: so what is kept can be filled by nobody who could not fill the
//! tables, and a flow lives at most that much longer.

use aya_ebpf::maps::LruHashMap;
use fw_common::{
    abi::RECENT_FLOWS,
    active::Active,
    flow::{Direction, FlowClass, FlowEntry, Found, Timeouts, judge},
};

use crate::{
    clock::{now, ticks},
    maps::SETTINGS,
    slot::{cpu, entry},
};

/// The functions of a family. What is out of line is rare, and one copy of it is enough. Each class and direction has a function of its own: the
/// verifier goes through what it knows of them once, and the kernel calls a table that it knows by name.
macro_rules! family {
    ($family:ident, $key:ident, $recent:ident, $flows:ident, $datagrams:ident, $found:ident) => {
        pub(crate) mod $family {
            use fw_common::{
                active::Active,
                flow::{
                    Direction::{self, Egress, Ingress},
                    FlowClass::{self, Connection, Datagram, Group, Mdns, Portless},
                    FlowEntry, $key, $recent,
                },
            };

            use super::{look_up, recent_index};
            use crate::{
                clock::{now, ticks},
                maps::{$datagrams, $flows, $found},
                slot::slot,
            };

            /// Whether a flow is alive. It becomes what [`judge`](fw_common::flow::judge) says.
            #[inline(always)]
            pub(crate) fn find(key: &$key, class: FlowClass, direction: Direction, active: Active) -> bool {
                // Rare, and not worth a place in front.
                let found = match (class, direction) {
                    (Group, Ingress) => Some(group_answered(key, active)),
                    (Group, Egress) => Some(group_asked(key, active)),
                    (Mdns, Ingress) => Some(mdns_answered(key, active)),
                    (Mdns, Egress) => Some(mdns_asked(key, active)),
                    (Portless, Ingress) => Some(portless_answered(key, active)),
                    (Portless, Egress) => Some(portless_asked(key, active)),
                    _ => None,
                };
                if let Some(found) = found {
                    return found != 0;
                }
                let index = recent_index(key.recent_slot());
                if let Some(recent) = $found.get(index)
                    && recent.key == *key
                    && recent.found.serves(ticks(), direction)
                {
                    return true;
                }
                let found = match (class, direction) {
                    (Connection, Ingress) => connection_answered(key, active, index),
                    (Connection, Egress) => connection_asked(key, active, index),
                    (_, Ingress) => datagram_answered(key, active, index),
                    (_, Egress) => datagram_asked(key, active, index),
                };
                found != 0
            }

            /// A look-up by class and direction.
            macro_rules! by {
                ($name:ident, $map:ident, $class:ident, $direction:ident) => {
                    #[inline(never)]
                    fn $name(key: &$key, active: Active, index: u32) -> u64 {
                        let Some(found) = look_up(&$map, key, $class, $direction, active) else { return 0 };
                        if let Some(recent) = slot(&$found, index) {
                            *recent = $recent { key: *key, found };
                        }
                        1
                    }
                };
            }
            by!(connection_answered, $flows, Connection, Ingress);
            by!(connection_asked, $flows, Connection, Egress);
            by!(datagram_answered, $datagrams, Datagram, Ingress);
            by!(datagram_asked, $datagrams, Datagram, Egress);

            #[inline(never)]
            fn group_answered(key: &$key, active: Active) -> u64 {
                u64::from(look_up(&$datagrams, key, Group, Ingress, active).is_some())
            }

            #[inline(never)]
            fn group_asked(key: &$key, active: Active) -> u64 {
                u64::from(look_up(&$datagrams, key, Group, Egress, active).is_some())
            }

            #[inline(never)]
            fn mdns_answered(key: &$key, active: Active) -> u64 {
                u64::from(look_up(&$datagrams, key, Mdns, Ingress, active).is_some())
            }

            #[inline(never)]
            fn mdns_asked(key: &$key, active: Active) -> u64 {
                u64::from(look_up(&$datagrams, key, Mdns, Egress, active).is_some())
            }

            #[inline(never)]
            fn portless_answered(key: &$key, active: Active) -> u64 {
                u64::from(look_up(&$flows, key, Portless, Ingress, active).is_some())
            }

            #[inline(never)]
            fn portless_asked(key: &$key, active: Active) -> u64 {
                u64::from(look_up(&$flows, key, Portless, Egress, active).is_some())
            }

            /// Put a flow into the table; 0 where that failed.
            #[inline(never)]
            pub(crate) fn insert(key: &$key, class: FlowClass) -> u64 {
                let entry = FlowEntry::new(now(), false);
                // Nothing can be done about a full table: an LRU map makes room or, out of memory, forgets this flow.
                let inserted = if class.is_among_connections() {
                    $flows.insert(key, entry, 0)
                } else {
                    $datagrams.insert(key, entry, 0)
                };
                u64::from(inserted.is_ok())
            }
        }
    };
}
family!(v4, FlowKey4, Recent4, FLOWS4, DATAGRAMS4, RECENT4);
family!(v6, FlowKey6, Recent6, FLOWS6, DATAGRAMS6, RECENT6);

/// This CPU's.
#[inline(always)]
fn recent_index(slot: u32) -> u32 {
    cpu() * RECENT_FLOWS + slot
}

#[inline(always)]
fn look_up<K>(
    flows: &LruHashMap<K, FlowEntry>,
    key: &K,
    class: FlowClass,
    direction: Direction,
    active: Active,
) -> Option<Found> {
    let entry = entry(flows, key)?;
    // The others are the same in every policy.
    let timeouts = match class {
        FlowClass::Connection | FlowClass::Datagram => &SETTINGS.get(active.buffer())?.timeouts,
        FlowClass::Group | FlowClass::Mdns | FlowClass::Portless => &Timeouts::DEFAULT,
    };
    let (alive, becomes) = judge(*entry, now(), class, timeouts, direction);
    if !alive {
        return None;
    }
    if let Some(becomes) = becomes {
        *entry = becomes;
    }
    Some(Found::new(ticks(), entry.is_answered()))
}
