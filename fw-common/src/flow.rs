//! Flows: what this host sent, and how long answers to it pass.
//!
//! A key is that of the *reply*: its remote side is the sender of the packet that is looked up. Addresses and ports are in network byte
//! order. A key consists of whole words, as the kernel hashes it: single bytes would have to leave the processor's store buffer before
//! they could be read as a word.

use bytemuck::{Pod, Zeroable};

use crate::{
    abi::{RECENT_FLOWS, RECENT_LIFETIME},
    address::{V4, V6, spread},
    discovery::Group,
    protocol::number,
    wire::{Addresses, transport::Ports},
};

pub use crate::timeouts::{FlowClass, FlowKind, SECOND, Timeouts};

/// An IPv4 flow, 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Pod, Zeroable)]
#[repr(C)]
pub struct FlowKey4 {
    /// The peer's address, 0 for [`FlowKind::Multicast`] and [`FlowKind::Mdns`].
    pub remote: V4,
    /// This host's address on the wire; for [`FlowKind::Mdns`] the index of the interface.
    pub local: V4,
    /// The peer's port, 0 if its address is 0, and then this host's port, in the order and byte order of the packet.
    pub ports: u32,
    /// In memory order: the IP protocol number, a [`FlowKind`], and two bytes of 0.
    pub class: u32,
}

/// An IPv6 flow, 40 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Pod, Zeroable)]
#[repr(C)]
pub struct FlowKey6 {
    /// The peer's address, 0 for [`FlowKind::Multicast`] and [`FlowKind::Mdns`].
    pub remote: V6,
    /// This host's address on the wire; for [`FlowKind::Mdns`] the index of the interface in the last word.
    pub local: V6,
    /// The peer's port, 0 if its address is 0, and then this host's port, in the order and byte order of the packet.
    pub ports: u32,
    /// In memory order: the IP protocol number, a [`FlowKind`], and two bytes of 0.
    pub class: u32,
}

/// The key of a flow in its table.
pub trait FlowKey: Pod + Ord {
    /// The class of the flow.
    fn class(&self) -> FlowClass;
}

impl FlowKey for FlowKey4 {
    fn class(&self) -> FlowClass {
        FlowClass::of_key(self.class)
    }
}

impl FlowKey for FlowKey6 {
    fn class(&self) -> FlowClass {
        FlowClass::of_key(self.class)
    }
}

/// An address whose family has flow tables.
pub trait Tracked: Group {
    /// The table's key.
    type Key;

    /// The key of the flow that a packet with this IP protocol number and these addresses and ports
    /// would be a reply in.
    fn reply_key(addresses: &Addresses<Self>, protocol: u8, ports: &Ports, kind: FlowKind) -> Self::Key;

    /// The key of the flow of mDNS questions that left by the interface with this index.
    fn mdns_key(interface: u32) -> Self::Key;
}

impl Tracked for V4 {
    type Key = FlowKey4;

    #[inline(always)]
    fn reply_key(addresses: &Addresses<Self>, protocol: u8, ports: &Ports, kind: FlowKind) -> FlowKey4 {
        FlowKey4 {
            remote: if matches!(kind, FlowKind::Multicast) { 0 } else { addresses.source },
            local: addresses.destination,
            ports: ports_of(ports, kind),
            class: class_word(protocol, kind),
        }
    }

    #[inline(always)]
    fn mdns_key(interface: u32) -> FlowKey4 {
        FlowKey4 { remote: 0, local: interface, ports: 0, class: class_word(number::UDP, FlowKind::Mdns) }
    }
}

impl Tracked for V6 {
    type Key = FlowKey6;

    #[inline(always)]
    fn reply_key(addresses: &Addresses<Self>, protocol: u8, ports: &Ports, kind: FlowKind) -> FlowKey6 {
        FlowKey6 {
            remote: if matches!(kind, FlowKind::Multicast) { [0; 4] } else { addresses.source },
            local: addresses.destination,
            ports: ports_of(ports, kind),
            class: class_word(protocol, kind),
        }
    }

    #[inline(always)]
    fn mdns_key(interface: u32) -> FlowKey6 {
        FlowKey6 {
            remote: [0; 4],
            local: [0, 0, 0, interface],
            ports: 0,
            class: class_word(number::UDP, FlowKind::Mdns),
        }
    }
}

/// The ports of a key: the peer's is 0 if its address is 0.
#[inline(always)]
const fn ports_of(ports: &Ports, kind: FlowKind) -> u32 {
    if matches!(kind, FlowKind::Multicast) { Ports::new(0, ports.destination()).word() } else { ports.word() }
}

/// The last word of a key.
#[inline(always)]
const fn class_word(protocol: u8, kind: FlowKind) -> u32 {
    u32::from_ne_bytes([protocol, kind as u8, 0, 0])
}

/// When a flow was last used, and whether it was answered, 8 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct FlowEntry {
    /// Nanoseconds of `CLOCK_MONOTONIC`, which does not count suspend. The lowest bit is 1 once an answer came.
    pub last_seen: u64,
}

impl FlowKey4 {
    /// The slot, among those of a CPU, that notes that the flow was found. Flows that share a slot only replace each other there.
    #[inline(always)]
    #[must_use]
    pub const fn recent_slot(&self) -> u32 {
        spread(self.remote ^ self.ports, RECENT_FLOWS.ilog2())
    }
}

impl FlowKey6 {
    /// As [`FlowKey4::recent_slot`].
    #[inline(always)]
    #[must_use]
    pub const fn recent_slot(&self) -> u32 {
        spread(self.remote[1] ^ self.remote[3] ^ self.ports, RECENT_FLOWS.ilog2())
    }
}

/// When a CPU found a flow, and whether it was answered by then.
///
/// | bits | meaning |
/// |---|---|
/// | 0 | 1 if it was answered |
/// | 1-63 | ticks of the kernel; 0 for an empty slot |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(transparent)]
pub struct Found(u64);

impl Found {
    /// Found at a time in ticks of the kernel.
    #[inline(always)]
    #[must_use]
    pub const fn new(ticks: u64, is_answered: bool) -> Self {
        Self(ticks << 1 | is_answered as u64)
    }

    /// Whether a packet in this direction needs no table look-up: less than [`RECENT_LIFETIME`] has passed, and an answer has been noted already.
    #[inline(always)]
    #[must_use]
    pub const fn serves(self, ticks: u64, direction: Direction) -> bool {
        let knows = matches!(direction, Direction::Egress) || self.0 & 1 != 0;
        knows && ticks.wrapping_sub(self.0 >> 1) < RECENT_LIFETIME
    }
}

/// An IPv4 flow that a CPU found alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Recent4 {
    /// The flow.
    pub key: FlowKey4,
    /// When it was found.
    pub found: Found,
}

/// An IPv6 flow that a CPU found alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Recent6 {
    /// The flow.
    pub key: FlowKey6,
    /// When it was found.
    pub found: Found,
}

/// The direction of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Direction {
    /// Inbound: an answer.
    Ingress = 0,
    /// Outbound.
    Egress = 1,
}

/// A flow's time is updated only when it is this old, so that a stream does not write to its cache line with each packet.
pub const REFRESH_AFTER: u64 = SECOND;

impl FlowEntry {
    const ANSWERED: u64 = 1;

    /// An entry that was used at a time in nanoseconds of `CLOCK_MONOTONIC`.
    #[inline(always)]
    #[must_use]
    pub const fn new(now: u64, is_answered: bool) -> Self {
        Self { last_seen: now & !Self::ANSWERED | is_answered as u64 }
    }

    /// Whether an answer ever came.
    #[inline(always)]
    #[must_use]
    pub const fn is_answered(self) -> bool {
        self.last_seen & Self::ANSWERED != 0
    }

    /// How long ago the flow was used, in nanoseconds. Negative if the clock reads earlier than the entry (the coarse clock of another
    /// CPU). A time before the boot wraps around and is valid.
    #[inline(always)]
    #[must_use]
    pub const fn age(self, now: u64) -> i64 {
        now.wrapping_sub(self.last_seen & !Self::ANSWERED).cast_signed()
    }

    /// Whether the flow is still within `timeout`.
    #[inline(always)]
    #[must_use]
    pub const fn is_alive(self, now: u64, timeout: u64) -> bool {
        self.age(now) <= timeout.cast_signed()
    }

    /// Whether [`REFRESH_AFTER`] has passed, so that the time should be updated.
    #[inline(always)]
    #[must_use]
    pub const fn is_stale(self, now: u64) -> bool {
        self.age(now) >= REFRESH_AFTER.cast_signed()
    }
}

/// The rule of every flow table: whether the entry is alive, and its new value after a packet in this direction; `None` if it stays the same.
/// Answers to a multicast or broadcast request do not prolong its flow.
#[inline(always)]
#[must_use]
pub const fn judge(
    entry: FlowEntry,
    now: u64,
    class: FlowClass,
    timeouts: &Timeouts,
    direction: Direction,
) -> (bool, Option<FlowEntry>) {
    let alive = entry.is_alive(now, timeouts.of(class, entry.is_answered()));
    let answers = matches!(direction, Direction::Ingress);
    let counts = !(answers && matches!(class, FlowClass::Group | FlowClass::Mdns));
    let is_news = entry.is_stale(now) || answers && !entry.is_answered();
    let becomes =
        if alive && counts && is_news { Some(FlowEntry::new(now, answers || entry.is_answered())) } else { None };
    (alive, becomes)
}
