//! What left this host, and how long its answers are expected.
//!
//! A key names the *reply*: the remote side is the sender of the packet that is looked up. Addresses and ports are as they stand in the
//! packet, and a key is made of whole words, as the kernel hashes it: bytes written singly would have to leave the processor's store
//! buffer before they could be read as a word.

use bytemuck::{Pod, Zeroable};

use crate::{
    abi::RECENT_FLOWS,
    address::{Address, V4, V6},
    protocol::PortProtocol,
    wire::{Addresses, transport::Ports},
};

/// Nanoseconds in a second.
pub const SECOND: u64 = 1_000_000_000;

/// How a flow was opened, which decides who may answer it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum FlowKind {
    /// To one address: only the exact reverse tuple answers it.
    Unicast = 0,
    /// To a multicast or broadcast address: anyone may answer from the port that was asked. The key's remote address is 0.
    Multicast = 1,
}

/// An IPv4 flow, 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Pod, Zeroable)]
#[repr(C)]
pub struct FlowKey4 {
    /// The peer's address, 0 for [`FlowKind::Multicast`].
    pub remote: V4,
    /// This host's address on the wire.
    pub local: V4,
    /// The peer's port and this host's, as they follow each other in the packet.
    pub ports: u32,
    /// The IP protocol number, then a [`FlowKind`], as they follow each other in memory, then two bytes of 0.
    pub class: u32,
}

/// An IPv6 flow, 40 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Pod, Zeroable)]
#[repr(C)]
pub struct FlowKey6 {
    /// The peer's address, 0 for [`FlowKind::Multicast`].
    pub remote: V6,
    /// This host's address on the wire.
    pub local: V6,
    /// The peer's port and this host's, as they follow each other in the packet.
    pub ports: u32,
    /// The IP protocol number, then a [`FlowKind`], as they follow each other in memory, then two bytes of 0.
    pub class: u32,
}

/// An address whose family has a flow table.
pub trait Tracked: Address {
    /// The table's key.
    type Key;

    /// The key under which a request was recorded that a packet of this IP protocol number, with these
    /// addresses and ports, would answer.
    fn reply_key(addresses: &Addresses<Self>, protocol: u8, ports: &Ports, kind: FlowKind) -> Self::Key;
}

impl Tracked for V4 {
    type Key = FlowKey4;

    #[inline(always)]
    fn reply_key(addresses: &Addresses<Self>, protocol: u8, ports: &Ports, kind: FlowKind) -> FlowKey4 {
        FlowKey4 {
            remote: if matches!(kind, FlowKind::Multicast) { 0 } else { addresses.source },
            local: addresses.destination,
            ports: ports.word(),
            class: u32::from_ne_bytes([protocol, kind as u8, 0, 0]),
        }
    }
}

impl Tracked for V6 {
    type Key = FlowKey6;

    #[inline(always)]
    fn reply_key(addresses: &Addresses<Self>, protocol: u8, ports: &Ports, kind: FlowKind) -> FlowKey6 {
        FlowKey6 {
            remote: if matches!(kind, FlowKind::Multicast) { [0; 4] } else { addresses.source },
            local: addresses.destination,
            ports: ports.word(),
            class: u32::from_ne_bytes([protocol, kind as u8, 0, 0]),
        }
    }
}

/// When a flow was last used, 8 bytes: nanoseconds of `CLOCK_MONOTONIC`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct FlowEntry {
    /// Nanoseconds since boot, suspend not counted.
    pub last_seen: u64,
}

impl FlowKey4 {
    /// Where, among a CPU's slots, it is noted that the flow was found. Flows that share a slot only take it from each other.
    #[inline(always)]
    #[must_use]
    pub const fn recent_slot(&self) -> u32 {
        spread(self.remote ^ self.ports)
    }
}

impl FlowKey6 {
    /// As [`FlowKey4::recent_slot`].
    #[inline(always)]
    #[must_use]
    pub const fn recent_slot(&self) -> u32 {
        spread(self.remote[1] ^ self.remote[3] ^ self.ports)
    }
}

/// A slot for a word: neighbours end far from each other.
#[inline(always)]
const fn spread(word: u32) -> u32 {
    // 2^32 divided by the golden ratio.
    word.wrapping_mul(0x9e37_79b1) >> (u32::BITS - RECENT_FLOWS.ilog2())
}

/// An IPv4 flow that a CPU found alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Recent4 {
    /// Which.
    pub key: FlowKey4,
    /// When it was looked up, in ticks of the kernel; 0 for an empty slot.
    pub found: u64,
}

/// An IPv6 flow that a CPU found alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Recent6 {
    /// Which.
    pub key: FlowKey6,
    /// When it was looked up, in ticks of the kernel; 0 for an empty slot.
    pub found: u64,
}

/// TCP, SCTP and DCCP flows live this long without a packet (RFC 5382, REQ-5: not less than 2 hours 4 minutes).
pub const TIMEOUT_CONNECTION: u64 = (2 * 60 + 4) * 60 * SECOND;
/// UDP and UDP-Lite flows (RFC 4787, REQ-5: not less than two minutes; Linux keeps streams for three).
pub const TIMEOUT_DATAGRAM: u64 = 180 * SECOND;
/// Answers to a multicast or broadcast request come soon or never: SSDP asks for at most 5 s (`UPnP` 1.1, 1.3.2).
pub const TIMEOUT_MULTICAST: u64 = 10 * SECOND;
/// A flow's time is written again only when it is this old, so that a stream does not dirty its cache line per packet.
pub const REFRESH_AFTER: u64 = SECOND;

/// How long a flow lives without a packet, in nanoseconds.
#[inline(always)]
#[must_use]
pub const fn timeout(protocol: PortProtocol, kind: FlowKind) -> u64 {
    match (kind, protocol) {
        (FlowKind::Multicast, _) => TIMEOUT_MULTICAST,
        (_, PortProtocol::Udp | PortProtocol::UdpLite) => TIMEOUT_DATAGRAM,
        (_, PortProtocol::Tcp | PortProtocol::Sctp | PortProtocol::Dccp) => TIMEOUT_CONNECTION,
    }
}

impl FlowEntry {
    /// How long ago the flow was used, in nanoseconds: below 0 for a clock that reads earlier than the entry (the coarse clock of
    /// another CPU). A time before the boot, which wraps around, is as good as any other.
    #[inline(always)]
    #[must_use]
    pub const fn age(self, now: u64) -> i64 {
        now.wrapping_sub(self.last_seen).cast_signed()
    }

    /// Whether the flow is still within `timeout`.
    #[inline(always)]
    #[must_use]
    pub const fn is_alive(self, now: u64, timeout: u64) -> bool {
        self.age(now) <= timeout.cast_signed()
    }

    /// Whether [`REFRESH_AFTER`] has passed, so that the time is worth writing.
    #[inline(always)]
    #[must_use]
    pub const fn is_stale(self, now: u64) -> bool {
        self.age(now) >= REFRESH_AFTER.cast_signed()
    }
}

/// The rule of every flow table: whether the entry lives, and whether its time is to be written again.
#[inline(always)]
#[must_use]
pub const fn judge(entry: FlowEntry, now: u64, timeout: u64, refresh: bool) -> (bool, bool) {
    let alive = entry.is_alive(now, timeout);
    (alive, alive && refresh && entry.is_stale(now))
}
