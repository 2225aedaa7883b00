//! fw-common's look-ups as maps and helpers.

use core::arch::asm;

use aya_ebpf::{
    EbpfContext,
    maps::{LruHashMap, lpm_trie::Key},
};
use fw_common::{
    AddressLookups, Lookups, PortProtocol,
    abi::{Active, CLASS_CLOSED, SOURCE_PREFIX, Sent, Settings, Source4, Source6, class_page, page_of, slot_of},
    address::{Address, V4, V6},
    flow::{FlowEntry, FlowKey4, FlowKey6, FlowKind, judge},
    wire::Addresses,
};

use crate::{
    clock::now,
    maps::{ACTIVE, FLOWS4, FLOWS6, PORTS, SENT, SETTINGS, SOURCES4, SOURCES6},
    route,
};

/// The maps as one packet sees them: the policy is chosen once, so that no packet is judged by two.
pub(crate) struct Maps<'a, C> {
    ctx: &'a C,
    ifindex: u32,
    active: Active,
}

/// The policy in force.
#[inline(always)]
pub(crate) fn active() -> Active {
    // SAFETY: the map's value is alive while the program runs. One load, never two: the whole word may change at any moment.
    let active = ACTIVE.get_ptr(0).map_or(Active(0), |active| unsafe { active.read_volatile() });
    // The clock is read only while a change waits to be confirmed.
    let has_ended = active.deadline() != 0 && active.has_ended(now());
    settled(if has_ended { active.fallback() } else { active })
}

impl<'a, C: EbpfContext> Maps<'a, C> {
    #[inline(always)]
    pub(crate) fn new(ctx: &'a C, ifindex: u32, active: Active) -> Self {
        Self { ctx, ifindex, active }
    }

    #[inline(always)]
    fn buffer(&self) -> u32 {
        self.active.buffer()
    }

    #[inline(always)]
    fn forbids_forwarding(&self) -> bool {
        self.settings().is_some_and(|settings| settings.forward == 0)
    }

    #[inline(always)]
    fn settings(&self) -> Option<&Settings> {
        SETTINGS.get(self.buffer())
    }
}

/// What counts of the word while a packet is judged. As an instruction, because the compiler would look at the single bits where they are used
/// instead: then the verifier knows other things of the word on each way to here, and in Linux 6.1 goes all that follows once a way.
#[inline(always)]
fn settled(Active(mut word): Active) -> Active {
    // SAFETY: arithmetic on a register.
    unsafe {
        asm!("{word} &= {state}", word = inout(reg) word, state = const Active::STATE, options(pure, nomem, nostack));
    }
    Active(word)
}

impl<C: EbpfContext> Lookups for Maps<'_, C> {
    #[inline(always)]
    fn class(&self, protocol: PortProtocol, port: u16) -> u16 {
        PORTS.get(class_page(self.buffer(), protocol, port)).map_or(CLASS_CLOSED, |page| page[slot_of(port)])
    }

    #[inline(always)]
    fn allows_protocol(&self, protocol: u8) -> bool {
        self.settings().is_some_and(|settings| settings.allows(protocol))
    }

    #[inline(always)]
    fn sent(&self, protocol: PortProtocol, port: u16) -> Sent {
        SENT.get(page_of(protocol, port)).map_or(Sent { unicast: 0, multicast: 0 }, |page| page[slot_of(port)])
    }

    #[inline(always)]
    fn mark_sent(&self, protocol: PortProtocol, port: u16, kind: FlowKind) {
        let Some(page) = SENT.get_ptr_mut(page_of(protocol, port)) else { return };
        // SAFETY: the map's value is a whole page, alive while the program runs; each byte is only ever set to 1.
        let sent = unsafe { &mut (*page)[slot_of(port)] };
        let flag = match kind {
            FlowKind::Unicast => &mut sent.unicast,
            FlowKind::Multicast => &mut sent.multicast,
        };
        // A write that changes nothing would still take the cache line from the other CPUs.
        if *flag == 0 {
            *flag = 1;
        }
    }
}

impl<C: EbpfContext> AddressLookups<V4> for Maps<'_, C> {
    #[inline(always)]
    fn is_source_of(&self, class: u16, source: V4) -> bool {
        let key =
            Source4 { buffer: self.buffer() as u8, padding: 0, class: class.to_be_bytes(), address: source.to_bytes() };
        SOURCES4.get(Key::new(SOURCE_PREFIX + 32, key)).is_some()
    }

    #[inline(always)]
    fn is_forwarded(&self, addresses: &Addresses<V4>) -> bool {
        self.forbids_forwarding() && route::leads_elsewhere4(self.ctx, self.ifindex, addresses)
    }

    #[inline(always)]
    fn find_flow(&self, key: &FlowKey4, timeout: u64, refresh: bool) -> bool {
        find(&FLOWS4, key, timeout, refresh)
    }

    #[inline(always)]
    fn insert_flow(&self, key: &FlowKey4) {
        insert(&FLOWS4, key);
    }
}

impl<C: EbpfContext> AddressLookups<V6> for Maps<'_, C> {
    #[inline(always)]
    fn is_source_of(&self, class: u16, source: V6) -> bool {
        let key =
            Source6 { buffer: self.buffer() as u8, padding: 0, class: class.to_be_bytes(), address: source.to_bytes() };
        SOURCES6.get(Key::new(SOURCE_PREFIX + 128, key)).is_some()
    }

    #[inline(always)]
    fn is_forwarded(&self, addresses: &Addresses<V6>) -> bool {
        self.forbids_forwarding() && route::leads_elsewhere6(self.ctx, self.ifindex, addresses)
    }

    #[inline(always)]
    fn find_flow(&self, key: &FlowKey6, timeout: u64, refresh: bool) -> bool {
        find(&FLOWS6, key, timeout, refresh)
    }

    #[inline(always)]
    fn insert_flow(&self, key: &FlowKey6) {
        insert(&FLOWS6, key);
    }
}

#[inline(always)]
fn insert<K>(flows: &LruHashMap<K, FlowEntry>, key: &K) {
    // Nothing can be done about a full table: an LRU map makes room or, out of memory, forgets this flow.
    let _unused = flows.insert(key, FlowEntry { last_seen: now() }, 0);
}

#[inline(always)]
fn find<K>(flows: &LruHashMap<K, FlowEntry>, key: &K, timeout: u64, refresh: bool) -> bool {
    let Some(entry) = flows.get_ptr_mut(key) else { return false };
    // SAFETY: the kernel keeps the element's memory while the program runs. It may be given to another flow meanwhile: the worst is
    // that flow's time read or prolonged, which is what a hash without locks promises.
    let entry = unsafe { &mut *entry };
    let now = now();
    let (alive, write) = judge(*entry, now, timeout, refresh);
    if write {
        entry.last_seen = now;
    }
    alive
}
