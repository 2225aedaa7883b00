//! The layout that the kernel and user sides share changes only with `ABI_VERSION`: the types of the maps, their constants, and the maps of the
//! object. `abi.txt` contains the layout of the current version.

use std::{fmt::Write as _, mem::offset_of};

use aya_obj::Object;
use fw_common::{
    PortProtocol, Reason,
    abi::{
        self, Counter, Meta, PortDrops, PortSlot, RarePort, Route, RulesAt, Sent, Settings, Source4, Source6, Uppers,
        map,
    },
    active::Active,
    admission::{Admission, LimitKey},
    bans::{self, Range4, Range6},
    flow::{FlowEntry, FlowKey4, FlowKey6, FlowKind, Recent4, Recent6, Timeouts},
    rate::{Attempts, Rate},
    record::{self, Dropped, InWindow, Kind, Knocks, Record, Recorder},
};
use fw_user::testing::OBJECT;

/// The committed layout.
const COMMITTED: &str = include_str!("abi.txt");

/// Size, alignment and the offset of each field. A new field breaks the build here.
macro_rules! layout {
    ($text:ident, $type:ident { $($field:tt),* }) => {{
        let $type { $($field: _),* } = <$type as bytemuck::Zeroable>::zeroed();
        let offsets = [$((stringify!($field), offset_of!($type, $field))),*];
        let offsets = offsets.map(|(name, offset)| format!("{name} {offset}")).join(", ");
        let name = stringify!($type);
        writeln!($text, "{name}: size {}, align {}: {offsets}", size_of::<$type>(), align_of::<$type>())
            .expect("a String takes all");
    }};
}

macro_rules! constants {
    ($text:ident, $from:ident: $($name:ident),*) => {
        $(writeln!($text, "{} = {:?}", stringify!($name), $from::$name).expect("a String takes all");)*
    };
}

fn current() -> String {
    let mut text = String::new();
    layout!(text, Active { 0 });
    layout!(text, Settings { protocols, forward, refuse, lan, ping, macs, timeouts });
    layout!(text, Source4 { buffer, padding, class, address });
    layout!(text, Source6 { buffer, padding, class, address });
    layout!(text, Admission { open_until, then });
    layout!(text, Rate { count, seconds });
    layout!(text, LimitKey { sender, port });
    layout!(text, Attempts { since, count });
    layout!(text, RulesAt { buffer, chunk });
    layout!(text, Sent { unicast, multicast });
    layout!(text, Counter { packets, bytes });
    layout!(text, PortSlot { passed, drops });
    layout!(text, RarePort { port, slot });
    layout!(text, PortDrops { 0 });
    layout!(text, Route { destination, asked, tags, forwarded });
    layout!(text, Uppers { network, others });
    layout!(text, Meta { abi, ifindex, attached_at, netns, uid, mode, egress, padding, version });
    layout!(text, FlowKey4 { remote, local, ports, class });
    layout!(text, FlowKey6 { remote, local, ports, class });
    layout!(text, FlowEntry { last_seen });
    layout!(text, Timeouts { tcp, udp, udp_stream, padding });
    layout!(text, Recent4 { key, found });
    layout!(text, Recent6 { key, found });
    layout!(text, Recorder { drop, recorded, answer, padding, answers, reasons, kinds });
    layout!(text, Dropped { kind, drops, port, protocol, reason, passed, is_bare, padding });
    layout!(text, InWindow { window, drops });
    layout!(text, Kind { number, drops });
    layout!(text, Record { number, at, left_out, length, reason, passed, captured, is_bare, bytes });
    layout!(text, Knocks { packets, at, port, protocol, reason, padding });
    layout!(text, Range4 { first, last, end });
    layout!(text, Range6 { first, last, end });
    constants!(text, bans: MAX_BANS, RANGES4, RANGES6, PAGES4, PAGES6, INDEX4, INDEX6, BAN_BUFFERS, FILTER_BITS, FILTER_PAGES, FOR_EVER, BUFFER);
    constants!(text, record: CAPTURED, ANSWER_WINDOW, ANSWERS_PER_WINDOW);
    constants!(text, abi: RECORDS_PER_CPU, RECORDS_PER_WINDOW, RECORD_KINDS, RECORD_WINDOW, KNOCKERS);
    constants!(text, abi: BUFFERS, PAGE, PAGES, PORT_PROTOCOLS, COUNTED_PROTOCOLS, RARE_PORTS, MAX_SOURCES);
    constants!(text, abi: RULE_CHUNK, MAX_RULE_CHUNKS);
    constants!(text, abi: RECENT_FLOWS, RECENT_LIFETIME);
    constants!(text, abi: DEFAULT_FLOWS, MAX_UPPERS, ROUTES_PER_CPU, ROUTE_LIFETIME, CLASS_CLOSED, CLASS_FORWARD, CLASS_LAN, CLASS_BY_LINK, ON_LINK, CLASS_OPEN, MAX_ATTEMPTS, SOURCE_PREFIX, MAX_MACS);
    constants!(text, Meta: MODE_NATIVE, MODE_GENERIC, MODE_TC, EGRESS_NONE, EGRESS_TCX, EGRESS_CLSACT, EGRESS_OWN_CLSACT);
    text.extend(Reason::ALL.iter().map(|reason| format!("reason {} = {reason}\n", *reason as u8)));
    text.extend(PortProtocol::ALL.iter().map(|protocol| format!("transport {} = {protocol}\n", *protocol as u8)));
    text.extend(
        [FlowKind::Unicast, FlowKind::Multicast, FlowKind::Mdns]
            .map(|kind| format!("kind {} = {kind:?}\n", kind as u8)),
    );
    text.push_str(&indices());
    text.push_str(&maps());
    text
}

/// Examples of indexes in the maps that are indexed by port.
fn indices() -> String {
    let mut text = String::new();
    for (protocol, port) in [(PortProtocol::Tcp, 22), (PortProtocol::Udp, 5353), (PortProtocol::UdpLite, 65_535)] {
        let class = abi::class_page(1, protocol, port);
        let counter = abi::counter_page(3, abi::port_index(protocol, port));
        let (slot, rare) = (abi::slot_of(port), abi::rare_slot(3, abi::port_index(protocol, port)));
        let page = abi::page_of(protocol, port);
        text +=
            &format!("{port}/{protocol}: page {page}, slot {slot}, class {class}, counter {counter}, rare {rare}\n");
    }
    text
}

/// Type, sizes, capacity and flags of the object's maps, without those that aya makes for itself.
fn maps() -> String {
    let object = Object::parse(OBJECT).expect("the object is one");
    let names = map::SHARED.iter().chain(&map::PER_INTERFACE);
    let lines: Vec<String> = names
        .map(|&name| {
            let map = object.maps.get(name).unwrap_or_else(|| panic!("the object has no map {name}"));
            let (kind, key, value) = (map.map_type(), map.key_size(), map.value_size());
            let (entries, flags) = (map.max_entries(), map.map_flags());
            format!("map {name}: type {kind}, key {key}, value {value}, entries {entries}, flags {flags}\n")
        })
        .collect();
    lines.concat()
}

#[test]
fn the_layout_changes_only_with_the_abi_number() {
    let (number, committed) = COMMITTED.split_once('\n').expect("the first line is the number");
    let number: u32 = number.strip_prefix("ABI ").expect("`ABI N`").parse().expect("a number");
    let current = current();
    let text = format!("ABI {}\n{current}", abi::ABI_VERSION);
    assert!(
        committed == current || number != abi::ABI_VERSION,
        "the layout changed and ABI_VERSION is still {number}: raise it if a version with that number was ever released, and make \
         tests/tests/suite/quick/abi.txt this:\n\n{text}",
    );
    assert_eq!(COMMITTED, text, "ABI_VERSION is {}, tests/tests/suite/quick/abi.txt is of {number}", abi::ABI_VERSION);
}
