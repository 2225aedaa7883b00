//! The recorder: the last drops, and who sent them.

use aya_ebpf::{
    bindings::{
        xdp_action::{XDP_DROP, XDP_PASS},
        xdp_md,
    },
    programs::XdpContext,
};
use fw_common::{
    Decision, Frame,
    abi::RECORDS_PER_CPU,
    address::V6,
    record::{CAPTURED, Dropped, Knocks, Recorder, source},
};

use crate::{
    clock::{exactly_now, ticks},
    frame::Packet,
    maps::{DROPS, KNOCKS, RECORDERS},
    slot::{cpu, entry, slot},
};

/// Record a drop of a kind of which this CPU has seen so many, unless there are too many kinds at once. Returns what becomes of the packet.
///
/// It is the last thing that is done with a packet, and all that is known of it goes by way of the map: so the verifier finds the same
/// state here whatever path led here, and looks at what follows once. Otherwise it would take a million instructions in Linux 6.1.
#[inline(always)]
pub(crate) fn record(ctx: &XdpContext, decision: Decision, drops: u64, monitors: bool) -> u32 {
    let Some(recorder) = slot(&RECORDERS, cpu()) else { return if monitors { XDP_PASS } else { XDP_DROP } };
    let (protocol, port) = decision.port().map_or((0, 0), |(protocol, port)| (protocol as u8, port));
    let drop = Dropped {
        kind: decision.kind(),
        drops,
        port,
        protocol,
        reason: decision.number(),
        passed: u8::from(monitors),
        padding: [0; 3],
    };
    // SAFETY: a place that is borrowed for this. Volatile, or the compiler would hand the values over in registers after all.
    unsafe { (&raw mut recorder.drop).write_volatile(drop) };
    write(ctx.ctx, recorder)
}

#[inline(never)]
fn write(ctx: *mut xdp_md, recorder: &mut Recorder) -> u32 {
    if recorder.admits(ticks()) {
        keep(&Packet::from_xdp(&XdpContext::new(ctx)), recorder);
    }
    if recorder.drop.passed == 0 { XDP_DROP } else { XDP_PASS }
}

#[inline(always)]
fn keep(packet: &Packet, recorder: &mut Recorder) {
    let at = exactly_now();
    let left_out = recorder.left_out();
    let Dropped { port, protocol, reason, passed, .. } = recorder.drop;
    // Copying comes last: each length that a frame can have is a way of its own through what follows.
    if let Some(source) = source(packet) {
        note(source, Knocks { packets: 1 + left_out, at, port, protocol, reason, padding: 0 });
    }
    let index = (recorder.recorded % u64::from(RECORDS_PER_CPU)) as u32;
    let Some(record) = slot(&DROPS, cpu() * RECORDS_PER_CPU + index) else { return };
    record.number = 0;
    record.at = at;
    record.left_out = left_out;
    record.length = packet.len() as u32;
    record.reason = reason;
    record.passed = passed;
    record.captured = capture(packet, &mut record.bytes) as u16;
    recorder.recorded += 1;
    record.number = recorder.recorded;
}

#[inline(always)]
fn note(source: V6, mut knocks: Knocks) {
    // CPUs that count a sender at once may lose a packet.
    if let Some(known) = entry(&KNOCKS, &source) {
        knocks.packets += known.packets;
        *known = knocks;
    } else {
        // A full table makes room; out of memory, the sender goes uncounted.
        let _unused = KNOCKS.insert(source, knocks, 0);
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
