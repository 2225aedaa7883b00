//! fw-common's look-ups as maps and helpers.

use aya_ebpf::maps::lpm_trie::Key;
use fw_common::{
    AddressLookups, Lookups, PortProtocol,
    abi::{
        CLASS_CLOSED, CLASS_LAN, ON_LINK, PAGE, SENT_PORTLESS, SOURCE_PREFIX, Sent, Settings, Source4, Source6,
        class_page, is_by_link, page_of, slot_of,
    },
    active::Active,
    address::{Address, V4, V6, mapped},
    admission::{Admission, LimitKey},
    flow::{Direction, FlowClass, FlowKey4, FlowKey6, FlowKind},
    rate::{Attempts, Rate},
    wire::{Addresses, ethernet::Tags},
};

use crate::{
    bans,
    clock::{now, since_boot},
    flows,
    hook::Hook,
    maps::{ACTIVE, ATTEMPTS, PORTS, SENT, SETTINGS, SOURCES4, SOURCES6},
    route::{self, Way},
    slot::{entry, slot},
    verifier::{forget, settled},
};

/// The maps as one packet sees them: the policy is chosen once, so that no packet is judged by two.
pub(crate) struct Maps<'a, H: Hook> {
    ctx: &'a H::Context,
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
    let Active(word) = if has_ended { active.fallback() } else { active };
    // All that counts of the word while a packet is judged.
    Active(settled::<{ Active::STATE }>(word))
}

impl<'a, H: Hook> Maps<'a, H> {
    #[inline(always)]
    pub(crate) fn of(ctx: &'a H::Context, active: Active) -> Self {
        Self { ctx, ifindex: H::ifindex(ctx), active }
    }
}

impl<H: Hook> Maps<'_, H> {
    /// How the packet came in.
    #[inline(always)]
    fn way(&self, tags: Tags) -> Way {
        Way { ifindex: self.ifindex, tags: H::behind_taken_off(self.ctx, tags) }
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

impl<H: Hook> Lookups for Maps<'_, H> {
    #[inline(always)]
    fn class(&self, protocol: PortProtocol, port: u16) -> u16 {
        PORTS.get(class_page(self.buffer(), protocol, port)).map_or(CLASS_CLOSED, |page| page[slot_of(port)])
    }

    #[inline(always)]
    fn allows_protocol(&self, protocol: u8) -> bool {
        self.settings().is_some_and(|settings| settings.allows(protocol))
    }

    #[inline(always)]
    fn has_bans(&self) -> bool {
        bans::buffer() != 0
    }

    #[inline(always)]
    fn has_limits(&self) -> bool {
        // A copy, as below.
        let Active(word) = self.active;
        settled::<{ Active::LIMITS }>(word) != 0
    }

    #[inline(always)]
    fn has_bans_or_limits(&self) -> bool {
        let Active(word) = self.active;
        // One comparison.
        u64::from(bans::buffer()) | settled::<{ Active::LIMITS }>(word) != 0
    }

    #[inline(always)]
    fn exceeds_ping_limit(&self) -> bool {
        self.settings().is_some_and(|settings| settings.ping.count != 0 && exceeds(&LimitKey::PING, settings.ping))
    }

    #[inline(always)]
    fn interface(&self) -> u32 {
        self.ifindex
    }

    #[inline(always)]
    fn names_networks(&self) -> bool {
        // A copy: what the verifier learns of it here is not to tell the ways apart that follow.
        let Active(word) = self.active;
        settled::<{ Active::NETWORKS }>(word) != 0
    }

    #[inline(always)]
    fn sent(&self, protocol: PortProtocol, port: u16) -> Sent {
        SENT.get(page_of(protocol, port)).map_or(Sent { unicast: 0, multicast: 0 }, |page| page[slot_of(port)])
    }

    #[inline(always)]
    fn mark_sent(&self, protocol: PortProtocol, port: u16, kind: FlowKind) {
        // Each byte is only ever set to 1.
        let Some(page) = slot(&SENT, page_of(protocol, port)) else { return };
        let sent = &mut page[slot_of(port)];
        let flag = match kind {
            FlowKind::Unicast => &mut sent.unicast,
            FlowKind::Multicast | FlowKind::Mdns => &mut sent.multicast,
        };
        // A write that changes nothing would still take the cache line from the other CPUs.
        if *flag == 0 {
            *flag = 1;
        }
    }

    #[inline(always)]
    fn sent_portless(&self, protocol: u8) -> bool {
        SENT.get(SENT_PORTLESS).is_some_and(|page| page[usize::from(protocol) % PAGE].unicast != 0)
    }

    #[inline(always)]
    fn mark_sent_portless(&self, protocol: u8) {
        if let Some(page) = slot(&SENT, SENT_PORTLESS) {
            page[usize::from(protocol) % PAGE].unicast = 1;
        }
    }
}

impl<H: Hook> AddressLookups<V4> for Maps<'_, H> {
    #[inline(always)]
    fn is_in_class(&self, class: u16, address: V4) -> bool {
        is_in_class4(class, address, self.active) != 0
    }

    #[inline(always)]
    fn exceeds_limit(&self, class: u16, port: u32, sender: V4) -> bool {
        exceeds4(class, port, sender, self.active) != 0
    }

    #[inline(always)]
    fn is_forwarded(&self, tags: Tags, addresses: &Addresses<V4>) -> bool {
        self.forbids_forwarding() && route::leads_elsewhere4(self.ctx, self.way(tags), addresses)
    }

    #[inline(always)]
    fn is_known_to_stay(&self, destination: V4) -> bool {
        route::is_known_to_stay4(destination, self.way(Tags::NONE).tags)
    }

    #[inline(always)]
    fn is_banned(&self, sender: V4) -> bool {
        bans::is_banned4(sender)
    }

    #[inline(always)]
    fn may_be_on_link(&self, tags: Tags, sender: V4) -> bool {
        route::may_be_on_link4(self.ctx, self.way(tags), sender)
    }

    #[inline(always)]
    fn find_flow(&self, key: &FlowKey4, class: FlowClass, direction: Direction) -> bool {
        flows::v4::find(key, class, direction, self.active)
    }

    #[inline(always)]
    fn insert_flow(&self, key: &FlowKey4, class: FlowClass) {
        flows::v4::insert(key, class);
    }
}

impl<H: Hook> AddressLookups<V6> for Maps<'_, H> {
    #[inline(always)]
    fn is_in_class(&self, class: u16, address: V6) -> bool {
        is_in_class6(class, &address, self.active) != 0
    }

    #[inline(always)]
    fn exceeds_limit(&self, class: u16, port: u32, sender: V6) -> bool {
        exceeds6(class, port, &sender, self.active) != 0
    }

    #[inline(always)]
    fn is_forwarded(&self, tags: Tags, addresses: &Addresses<V6>) -> bool {
        self.forbids_forwarding() && route::leads_elsewhere6(self.ctx, self.way(tags), addresses)
    }

    #[inline(always)]
    fn is_known_to_stay(&self, destination: V6) -> bool {
        route::is_known_to_stay6(destination, self.way(Tags::NONE).tags)
    }

    #[inline(always)]
    fn is_banned(&self, sender: V6) -> bool {
        bans::is_banned6(&sender)
    }

    #[inline(always)]
    fn may_be_on_link(&self, tags: Tags, sender: V6) -> bool {
        route::may_be_on_link6(self.ctx, self.way(tags), &sender)
    }

    #[inline(always)]
    fn find_flow(&self, key: &FlowKey6, class: FlowClass, direction: Direction) -> bool {
        flows::v6::find(key, class, direction, self.active)
    }

    #[inline(always)]
    fn insert_flow(&self, key: &FlowKey6, class: FlowClass) {
        flows::v6::insert(key, class);
    }
}

// Out of line: they are rare, and their keys would take room on the stack.

#[inline(never)]
fn is_in_class4(class: u16, address: V4, active: Active) -> u64 {
    forget(admission4(class, address, active).map_or(0, lets_in), address as usize)
}

#[inline(never)]
fn is_in_class6(class: u16, address: &V6, active: Active) -> u64 {
    forget(admission6(class, address, active).map_or(0, lets_in), address[3] as usize)
}

#[inline(always)]
fn admission4(class: u16, address: V4, active: Active) -> Option<&'static Admission> {
    let bit = if is_by_link(class) { on_link4(address, active) } else { 0 };
    // Forgotten, so that both ways join.
    look_up4(class | forget(bit, address as usize) as u16, address, active)
}

#[inline(always)]
fn admission6(class: u16, address: &V6, active: Active) -> Option<&'static Admission> {
    let bit = if is_by_link(class) { on_link6(address, active) } else { 0 };
    // Forgotten, so that both ways join.
    look_up6(class | forget(bit, address[3] as usize) as u16, address, active)
}

/// [`ON_LINK`] for a sender on the link, else 0.
#[inline(never)]
fn on_link4(address: V4, active: Active) -> u64 {
    look_up4(CLASS_LAN, address, active).map_or(0, |_| u64::from(ON_LINK))
}

/// The same for IPv6.
#[inline(never)]
fn on_link6(address: &V6, active: Active) -> u64 {
    look_up6(CLASS_LAN, address, active).map_or(0, |_| u64::from(ON_LINK))
}

#[inline(always)]
fn look_up4(class: u16, address: V4, active: Active) -> Option<&'static Admission> {
    let key =
        Source4 { buffer: active.buffer() as u8, padding: 0, class: class.to_be_bytes(), address: address.to_bytes() };
    SOURCES4.get(Key::new(SOURCE_PREFIX + 32, key))
}

#[inline(always)]
fn look_up6(class: u16, address: &V6, active: Active) -> Option<&'static Admission> {
    let key =
        Source6 { buffer: active.buffer() as u8, padding: 0, class: class.to_be_bytes(), address: address.to_bytes() };
    SOURCES6.get(Key::new(SOURCE_PREFIX + 128, key))
}

/// The clock is read only where an end is near enough to be told from none.
#[inline(always)]
fn lets_in(admission: &Admission) -> u64 {
    admission.lets_in(if admission.ends() { since_boot() } else { 0 })
}

#[inline(never)]
fn exceeds4(class: u16, port: u32, sender: V4, active: Active) -> u64 {
    let Some(rate) = admission4(class, sender, active).and_then(limit) else { return 0 };
    forget(u64::from(exceeds(&LimitKey { sender: mapped(sender), port }, rate)), port as usize)
}

#[inline(never)]
fn exceeds6(class: u16, port: u32, sender: &V6, active: Active) -> u64 {
    let Some(rate) = admission6(class, sender, active).and_then(limit) else { return 0 };
    let [first, second, ..] = *sender;
    // Who is off the link may have a whole /64.
    let key = if on_link6(sender, active) != 0 {
        LimitKey { sender: *sender, port }
    } else {
        LimitKey { sender: [first, second, 0, 0], port }
    };
    forget(u64::from(exceeds(&key, rate)), port as usize)
}

/// The limit in force of an admission.
#[inline(always)]
fn limit(admission: &Admission) -> Option<Rate> {
    let is_open = admission.open_until > if admission.ends() { since_boot() } else { 0 };
    (!is_open && admission.then.count != 0).then_some(admission.then)
}

/// Count one more of a key; returns whether it exceeds a rate.
#[inline(always)]
fn exceeds(key: &LimitKey, rate: Rate) -> bool {
    let now = now();
    if let Some(attempts) = entry(&ATTEMPTS, key) {
        return attempts.exceed(rate, now);
    }
    // Nothing can be done where there is no memory. No rule opens the port any wider then.
    let _forgotten = ATTEMPTS.insert(key, Attempts::first(now), 0);
    false
}
