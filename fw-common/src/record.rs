//! Records of drops besides their counters: the last dropped packets, and their senders.
//!
//! A flood must cost next to nothing, so only a few drops are recorded per window of time, chosen so that a flood does not hide other drops. The
//! counters count every packet, and so tell how many were left out.

use bytemuck::{Pod, Zeroable};

use crate::{
    Reason,
    abi::{RECORD_KINDS, RECORD_WINDOW, RECORDS_PER_WINDOW},
    address::{Address, V4, V6, mapped},
    answer::Answer,
    frame::Frame,
    wire::ethernet::{self, Link},
};

/// How many bytes of a frame are kept: two VLAN tags, IPv6 and TCP with their usual options fit.
pub const CAPTURED: usize = 96;

/// The records of a CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Recorder {
    /// The drop that is being recorded.
    pub drop: Dropped,
    /// Drops recorded so far. The last one is in slot `(recorded - 1) % RECORDS_PER_CPU` of the CPU's part of `DROPS`.
    pub recorded: u64,
    /// The answer to a closed port that is being sent.
    pub answer: Answer,
    /// Always 0.
    pub padding: u32,
    /// Answers to closed ports in a window of [`ANSWER_WINDOW`].
    pub answers: InWindow,
    /// Drops of each reason that reached the recorder in a window.
    pub reasons: [InWindow; Reason::SLOTS],
    /// Kinds of drops that were recorded recently, at `kind % RECORD_KINDS`.
    pub kinds: [Kind; RECORD_KINDS],
}

/// A drop, as the decision describes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Dropped {
    /// Its [kind](crate::Decision::kind).
    pub kind: u64,
    /// How many of its kind the CPU has counted, including this one.
    pub drops: u64,
    /// Its destination port, host byte order; 0 where none was read.
    pub port: u16,
    /// The transport, as [`PortProtocol`](crate::PortProtocol) has it; means nothing where the port is 0.
    pub protocol: u8,
    /// [`Reason`].
    pub reason: u8,
    /// 1 where the interface only monitors: the packet passes.
    pub passed: u8,
    /// 1 where the interface has no Ethernet headers.
    pub is_bare: u8,
    /// Always 0.
    pub padding: [u8; 2],
}

/// Drops, or answers, in a window of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct InWindow {
    /// The window's number, its lower half.
    pub window: u32,
    /// Their number.
    pub drops: u32,
}

/// Drops at the same port or, where no port decided, for the same reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Kind {
    /// See [`Decision::kind`](crate::Decision::kind); 0 in an empty slot.
    pub number: u64,
    /// How many the CPU had counted at the last recorded one.
    pub drops: u64,
}

/// A window of time for answers to closed ports is 2^30 ns, a little more than a second.
pub const ANSWER_WINDOW: u32 = 30;
/// How many answers to closed ports a CPU sends in a window.
pub const ANSWERS_PER_WINDOW: u32 = 100;

impl Recorder {
    /// Whether another answer to a closed port may be sent, at a time in nanoseconds.
    #[inline(always)]
    #[must_use]
    pub const fn may_answer(&self, now: u64) -> bool {
        self.answers.window != (now >> ANSWER_WINDOW) as u32 || self.answers.drops < ANSWERS_PER_WINDOW
    }

    /// Count an answer.
    #[inline(always)]
    pub const fn count_answer(&mut self, now: u64) {
        let window = (now >> ANSWER_WINDOW) as u32;
        let sent = if self.answers.window == window { self.answers.drops } else { 0 };
        self.answers = InWindow { window, drops: sent + 1 };
    }

    /// Whether the drop may be recorded, at `ticks` of the kernel.
    #[inline(always)]
    pub const fn admits(&mut self, ticks: u64) -> bool {
        let reason = &mut self.reasons[self.drop.reason as usize % Reason::SLOTS];
        let window = (ticks >> RECORD_WINDOW) as u32;
        if reason.window != window {
            *reason = InWindow { window, drops: 0 };
        }
        reason.drops = reason.drops.saturating_add(1);
        reason.drops <= RECORDS_PER_WINDOW
    }

    /// How many drops of its kind were left out since the last recorded one; 0 if that is not known any more.
    #[inline(always)]
    pub const fn left_out(&mut self) -> u64 {
        let Dropped { kind: number, drops, .. } = self.drop;
        let kind = &mut self.kinds[number as usize % RECORD_KINDS];
        let left_out = if kind.number == number { drops.saturating_sub(kind.drops + 1) } else { 0 };
        *kind = Kind { number, drops };
        left_out
    }
}

/// A dropped packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Record {
    /// Its number among the drops of its CPU, from 1; 0 if the slot is empty or is being written.
    pub number: u64,
    /// Its time, in nanoseconds of `CLOCK_MONOTONIC`.
    pub at: u64,
    /// Drops of the same kind that were left out before this one.
    pub left_out: u64,
    /// Length of the frame in bytes, from the first byte of the Ethernet header, where there is one.
    pub length: u32,
    /// [`Reason`].
    pub reason: u8,
    /// 1 where the interface only monitors: the packet passed.
    pub passed: u8,
    /// How many of [`bytes`](Self::bytes) are the frame's.
    pub captured: u8,
    /// 1 where the interface has no Ethernet headers: the bytes start with the packet's IP header.
    pub is_bare: u8,
    /// The first bytes of the frame.
    pub bytes: [u8; CAPTURED],
}

/// The dropped packets of a sender.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Knocks {
    /// Their estimated number: each recorded drop also counts for the drops of its kind that were left out before it.
    pub packets: u64,
    /// When the last one was recorded, nanoseconds of `CLOCK_MONOTONIC`.
    pub at: u64,
    /// Its destination port, host byte order; 0 where none was read.
    pub port: u16,
    /// The transport, as [`PortProtocol`](crate::PortProtocol) has it; means nothing where the port is 0.
    pub protocol: u8,
    /// [`Reason`].
    pub reason: u8,
    /// Always 0.
    pub padding: u32,
}

/// The source address in a frame, even of a malformed one: an IPv6 address, or an IPv4-mapped one (RFC 4291, 2.5.5.2).
#[inline(always)]
pub fn source<F: Frame + ?Sized>(frame: &F) -> Option<V6> {
    source_behind(frame, &ethernet::parse(frame).ok()?)
}

/// The same for a packet [without an Ethernet header](Link::bare).
#[inline(always)]
pub fn source_of_packet<F: Frame + ?Sized>(packet: &F, ether_type: u16) -> Option<V6> {
    source_behind(packet, &Link::bare(ether_type))
}

#[inline(always)]
fn source_behind<F: Frame + ?Sized>(frame: &F, link: &Link) -> Option<V6> {
    const IPV4_SOURCE: usize = 12;
    const IPV6_SOURCE: usize = 8;
    match link.ether_type {
        ethernet::ETHER_TYPE_IPV4 => V4::read(frame, link.network + IPV4_SOURCE).map(|found| mapped(found.source)),
        ethernet::ETHER_TYPE_IPV6 => V6::read(frame, link.network + IPV6_SOURCE).map(|found| found.source),
        _ => None,
    }
}
