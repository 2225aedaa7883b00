//! The maps. `fw_common::abi` defines their names and shapes; the loader sets the sizes that depend on the machine (CPUs, `--flows`).

use aya_ebpf::{
    bindings::BPF_F_NO_PREALLOC,
    macros::map,
    maps::{Array, HashMap, LpmTrie, LruHashMap},
};
use fw_common::{
    abi::{
        BUFFERS, COUNTED_PROTOCOLS, ClassPage, CounterPage, DEFAULT_FLOWS, KNOCKERS, MAX_ATTEMPTS, MAX_RULE_CHUNKS,
        MAX_SOURCES, MAX_UPPERS, Meta, PAGES, PORT_PROTOCOLS, RARE_PORTS, RECENT_FLOWS, RECORDS_PER_CPU,
        ROUTES_PER_CPU, RarePort, ReasonCounters, Route, RuleChunk, RulesAt, SENT_PORTLESS, SentPage, Settings,
        Source4, Source6, Uppers,
    },
    active::Active,
    address::V6,
    admission::{Admission, LimitKey},
    bans::{BAN_BUFFERS, FILTER_PAGES, FilterPage, Index4, Index6, PAGES4, PAGES6, Page4, Page6},
    flow::{FlowEntry, FlowKey4, FlowKey6, Recent4, Recent6},
    rate::Attempts,
    record::{Knocks, Record, Recorder},
};

#[map]
pub(crate) static FLOWS4: LruHashMap<FlowKey4, FlowEntry> = LruHashMap::with_max_entries(DEFAULT_FLOWS, 0);
#[map]
pub(crate) static FLOWS6: LruHashMap<FlowKey6, FlowEntry> = LruHashMap::with_max_entries(DEFAULT_FLOWS, 0);
#[map]
pub(crate) static DATAGRAMS4: LruHashMap<FlowKey4, FlowEntry> = LruHashMap::with_max_entries(DEFAULT_FLOWS, 0);
#[map]
pub(crate) static DATAGRAMS6: LruHashMap<FlowKey6, FlowEntry> = LruHashMap::with_max_entries(DEFAULT_FLOWS, 0);
// The size of one CPU's slice; the loader multiplies it.
#[map]
pub(crate) static RECENT4: Array<Recent4> = Array::with_max_entries(RECENT_FLOWS, 0);
#[map]
pub(crate) static RECENT6: Array<Recent6> = Array::with_max_entries(RECENT_FLOWS, 0);
#[map]
pub(crate) static SENT: Array<SentPage> = Array::with_max_entries(SENT_PORTLESS + 1, 0);

#[map]
pub(crate) static ATTEMPTS: LruHashMap<LimitKey, Attempts> = LruHashMap::with_max_entries(MAX_ATTEMPTS, 0);

#[map]
pub(crate) static BANS: Array<u32> = Array::with_max_entries(1, 0);
#[map]
pub(crate) static BANS4: HashMap<u32, Page4> = HashMap::with_max_entries(BAN_BUFFERS * PAGES4, BPF_F_NO_PREALLOC);
#[map]
pub(crate) static BANS6: HashMap<u32, Page6> = HashMap::with_max_entries(BAN_BUFFERS * PAGES6, BPF_F_NO_PREALLOC);
#[map]
pub(crate) static BAN_INDEX4: Array<Index4> = Array::with_max_entries(BAN_BUFFERS, 0);
#[map]
pub(crate) static BAN_INDEX6: Array<Index6> = Array::with_max_entries(BAN_BUFFERS, 0);
#[map]
pub(crate) static BAN_FILTER: Array<FilterPage> = Array::with_max_entries(2 * FILTER_PAGES, 0);

#[map]
pub(crate) static ACTIVE: Array<Active> = Array::with_max_entries(1, 0);
#[map]
pub(crate) static SETTINGS: Array<Settings> = Array::with_max_entries(BUFFERS, 0);
#[map]
pub(crate) static PORTS: Array<ClassPage> = Array::with_max_entries(BUFFERS * PORT_PROTOCOLS * PAGES, 0);
#[map]
pub(crate) static SOURCES4: LpmTrie<Source4, Admission> = LpmTrie::with_max_entries(MAX_SOURCES, 0);
#[map]
pub(crate) static SOURCES6: LpmTrie<Source6, Admission> = LpmTrie::with_max_entries(MAX_SOURCES, 0);

/// Only the user side reads it.
#[map]
pub(crate) static RULES: HashMap<RulesAt, RuleChunk> = HashMap::with_max_entries(MAX_RULE_CHUNKS, BPF_F_NO_PREALLOC);

// The size of one CPU's slot or slice; the loader multiplies it. Plain arrays, because a per-CPU array of this size takes a system call and an
// allocation for each of 131,072 slots.
#[map]
pub(crate) static COUNTERS: Array<ReasonCounters> = Array::with_max_entries(1, 0);
#[map]
pub(crate) static PORT_COUNTERS: Array<CounterPage> = Array::with_max_entries(COUNTED_PROTOCOLS * PAGES, 0);
#[map]
pub(crate) static RARE_PORT_COUNTERS: Array<RarePort> = Array::with_max_entries(RARE_PORTS, 0);
#[map]
pub(crate) static ROUTES: Array<Route> = Array::with_max_entries(ROUTES_PER_CPU, 0);
#[map]
pub(crate) static UPPERS: HashMap<u32, Uppers> = HashMap::with_max_entries(MAX_UPPERS, BPF_F_NO_PREALLOC);
#[map]
pub(crate) static DROPS: Array<Record> = Array::with_max_entries(RECORDS_PER_CPU, 0);
#[map]
pub(crate) static RECORDERS: Array<Recorder> = Array::with_max_entries(1, 0);
#[map]
pub(crate) static KNOCKS: LruHashMap<V6, Knocks> = LruHashMap::with_max_entries(KNOCKERS, 0);

/// Only the user side reads it: it describes the pinned folder.
#[map]
pub(crate) static META: Array<Meta> = Array::with_max_entries(1, 0);
