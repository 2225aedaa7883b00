//! The recorder: the last drops, and who sent them.

use aya_ebpf::{
    helpers::{bpf_ktime_get_ns, generated::bpf_get_smp_processor_id},
    programs::XdpContext,
};
use fw_common::{
    Decision, Frame,
    abi::RECORDS_PER_CPU,
    record::{CAPTURED, Kind, Knocks, source},
};

use crate::{
    count::ticks,
    frame::Packet,
    maps::{DROPS, KNOCKS, RECORDERS},
};

/// A drop as it is recorded.
struct Drop {
    kind: u64,
    drops: u64,
    port: u16,
    protocol: u8,
    reason: u8,
    passed: u8,
}

/// Record a drop of a kind of which this CPU has seen so many, unless there are too many kinds at once.
#[inline(always)]
pub(crate) fn record(ctx: &XdpContext, decision: &Decision, drops: u64, passed: bool) {
    let (protocol, port) = decision.port.map_or((0, 0), |(protocol, port)| (protocol as u8, port));
    let kind = Kind::number(decision.reason, decision.port);
    write(ctx, &Drop { kind, drops, port, protocol, reason: decision.reason as u8, passed: u8::from(passed) });
}

#[inline(never)]
fn write(ctx: &XdpContext, drop: &Drop) {
    // SAFETY: the helper takes no argument.
    let cpu = unsafe { bpf_get_smp_processor_id() };
    let Some(recorder) = RECORDERS.get_ptr_mut(cpu) else { return };
    // SAFETY: the map's value is alive while the program runs, and this CPU's alone.
    let recorder = unsafe { &mut *recorder };
    if !recorder.admits(drop.reason, ticks()) {
        return;
    }
    let left_out = recorder.left_out(drop.kind, drop.drops);
    // SAFETY: the helper takes no argument.
    let at = unsafe { bpf_ktime_get_ns() };
    let packet = Packet::from_xdp(ctx);
    let slot = (recorder.recorded % u64::from(RECORDS_PER_CPU)) as u32;
    if let Some(record) = DROPS.get_ptr_mut(cpu * RECORDS_PER_CPU + slot) {
        // SAFETY: as above.
        let record = unsafe { &mut *record };
        record.number = 0;
        record.at = at;
        record.left_out = left_out;
        record.length = packet.len() as u32;
        record.reason = drop.reason;
        record.passed = drop.passed;
        record.captured = capture(&packet, &mut record.bytes) as u16;
        recorder.recorded += 1;
        record.number = recorder.recorded;
    }
    if let Some(source) = source(&packet) {
        let Drop { port, protocol, reason, .. } = *drop;
        let mut knocks = Knocks { packets: 1 + left_out, at, port, protocol, reason, padding: 0 };
        if let Some(known) = KNOCKS.get_ptr_mut(source) {
            // SAFETY: the kernel keeps the element's memory while the program runs; CPUs that count a sender at once may lose a packet.
            unsafe {
                knocks.packets += (*known).packets;
                *known = knocks;
            }
        } else {
            // A full table makes room; out of memory, the sender goes uncounted.
            let _unused = KNOCKS.insert(source, knocks, 0);
        }
    }
}

/// Copy the first bytes of a frame, and say how many. Written out, since offsets that the compiler knows are what the verifier likes best.
macro_rules! capture {
    ($packet:expr, $bytes:expr, $($at:literal)*) => {'captured: {
        $(if let Some(word) = $packet.read::<4>($at) {
            $bytes[$at..$at + 4].copy_from_slice(&word);
        } else {
            break 'captured capture_tail($packet, $bytes, $at);
        })*
        CAPTURED
    }};
}

#[inline(always)]
fn capture(packet: &Packet, bytes: &mut [u8; CAPTURED]) -> usize {
    // Every frame has its Ethernet header.
    capture!(packet, bytes, 0 4 8 12 16 20 24 28 32 36 40 44 48 52 56 60 64 68 72 76 80 84 88 92)
}

/// Up to three bytes of a short frame.
#[inline(always)]
fn capture_tail(packet: &Packet, bytes: &mut [u8; CAPTURED], mut at: usize) -> usize {
    if let Some(pair) = packet.pair(at) {
        bytes[at..at + 2].copy_from_slice(&pair);
        at += 2;
    }
    if let Some([_, last]) = packet.pair(at.wrapping_sub(1)) {
        bytes[at] = last;
        at += 1;
    }
    at
}
