//! The last steps for a judged packet, the same at every hook.

use core::ffi::c_void;

use aya_log_ebpf::{
    debug,
    macro_support::{Level, level_enabled},
};
use fw_common::{Decision, Verdict, abi::Active};

use crate::{
    count::{Size, count},
    hook::Hook,
    record::record,
};

/// Count the packet, record it if necessary, and return the verdict.
#[inline(always)]
pub(crate) fn conclude<H: Hook>(
    ctx: *mut c_void,
    decision: Decision,
    size: Size,
    active: Active,
    is_bare: bool,
) -> u32 {
    let to_record = count(decision, size);
    // The verifier sees a constant and drops the call.
    if level_enabled(Level::Debug) {
        say(decision, size);
    }
    if let Some(drops) = to_record {
        return record::<H>(ctx, decision, drops, active.monitors(), is_bare);
    }
    match decision.verdict() {
        Verdict::Drop if !active.monitors() => H::DROP,
        _ => H::PASS,
    }
}

#[inline(never)]
fn say(decision: Decision, size: Size) -> u64 {
    debug!((), "{} {}", decision.reason().name(), size.bytes);
    0
}
