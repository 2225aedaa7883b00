//! The recorder of the last drops and their senders.

use core::ffi::c_void;

use fw_common::{
    Decision, Frame,
    abi::RECORDS_PER_CPU,
    address::V6,
    record::{Dropped, Knocks, Recorder, source, source_of_packet},
};

use crate::{
    clock::{exactly_now, ticks},
    hook::Hook,
    maps::{DROPS, KNOCKS, RECORDERS},
    slot::{cpu, entry, slot},
};

/// Record a drop, unless there are too many kinds at once. `drops` is how many of its kind this CPU has counted. Returns the number of its
/// reason, or 0 where the packet passes.
///
/// Arguments and result go through a map, and nothing else is needed afterwards. So the verifier has the same state here on every path, and checks the
/// code that follows once. Otherwise it would check a million instructions in Linux 6.1.
#[inline(always)]
pub(crate) fn record<H: Hook>(ctx: *mut c_void, decision: Decision, drops: u64, monitors: bool, is_bare: bool) -> u64 {
    let Some(recorder) = slot(&RECORDERS, cpu()) else { return if monitors { 0 } else { decision.number().into() } };
    let (protocol, port) = decision.port().map_or((0, 0), |(protocol, port)| (protocol as u8, port));
    let drop = Dropped {
        kind: decision.kind(),
        drops,
        port,
        protocol,
        reason: decision.number(),
        passed: u8::from(monitors),
        is_bare: u8::from(is_bare),
        padding: [0; 2],
    };
    // SAFETY: the field is borrowed. Volatile, because the compiler would otherwise pass the values in registers.
    unsafe { (&raw mut recorder.drop).write_volatile(drop) };
    write::<H>(ctx, recorder)
}

#[inline(never)]
fn write<H: Hook>(ctx: *mut c_void, recorder: &mut Recorder) -> u64 {
    if recorder.admits(ticks()) {
        keep::<H>(&H::context(ctx), recorder);
    }
    if recorder.drop.passed == 0 { recorder.drop.reason.into() } else { 0 }
}

#[inline(always)]
fn keep<H: Hook>(ctx: &H::Context, recorder: &mut Recorder) {
    let at = exactly_now();
    let left_out = recorder.left_out();
    let Dropped { port, protocol, reason, passed, is_bare, .. } = recorder.drop;
    let packet = H::packet(ctx);
    let sender = if is_bare == 0 { source(&packet) } else { source_of_packet(&packet, H::ether_type(ctx)) };
    // Copy last: each length of a frame is a path of its own through the code that follows.
    if let Some(source) = sender {
        note(source, Knocks { packets: 1 + left_out, at, port, protocol, reason, padding: 0 });
    }
    let index = (recorder.recorded % u64::from(RECORDS_PER_CPU)) as u32;
    let Some(record) = slot(&DROPS, cpu() * RECORDS_PER_CPU + index) else { return };
    record.number = 0;
    record.at = at;
    record.left_out = left_out;
    record.length = (packet.len() + H::tag(ctx)) as u32;
    record.reason = reason;
    record.passed = passed;
    record.captured = H::capture(ctx, &mut record.bytes) as u8;
    record.is_bare = is_bare;
    recorder.recorded += 1;
    record.number = recorder.recorded;
}

#[inline(always)]
fn note(source: V6, mut knocks: Knocks) {
    // CPUs that count the same sender at once may lose a packet.
    if let Some(known) = entry(&KNOCKS, &source) {
        knocks.packets += known.packets;
        *known = knocks;
    } else {
        // A full table evicts a sender; without memory the sender is not counted.
        let _unused = KNOCKS.insert(source, knocks, 0);
    }
}
