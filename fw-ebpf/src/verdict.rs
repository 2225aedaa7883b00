//! The last steps for a judged packet, the same at every hook.

use core::ffi::c_void;

use aya_log_ebpf::{
    debug,
    macro_support::{Level, level_enabled},
};
use fw_common::{Decision, Verdict, abi::Active, is_banned};

use crate::{
    count::{Size, count},
    hook::{Hook, anew, bare, network},
    lookups::Maps,
    record::record,
};

/// Drop what a banned sender sends, count the packet, record it if necessary, and return the verdict.
#[inline(always)]
pub(crate) fn conclude<H: Hook>(
    ctx: *mut c_void,
    decision: Decision,
    size: Size,
    active: Active,
    is_bare: bool,
) -> u32 {
    let may_be_banned = decision.may_be_banned(&Maps::<H>::of(&H::context(ctx), active));
    let decision = if may_be_banned {
        let decision = decision.forgotten(&H::packet(&H::context(ctx)));
        if is_sender_banned::<H>(ctx, active, is_bare) != 0 { Decision::BANNED } else { decision }
    } else {
        decision
    };
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

/// Whether a packet that would pass comes from somebody who is banned. `is_bare` where it has no Ethernet header.
#[inline(never)]
fn is_sender_banned<H: Hook>(ctx: *mut c_void, active: Active, is_bare: bool) -> u64 {
    let network = if is_bare { bare::<H>(&anew::<H>(ctx)) } else { network::<H>(ctx) };
    let ctx = anew::<H>(ctx);
    u64::from(is_banned(&H::packet(&ctx), network, &Maps::<H>::of(&ctx, active)))
}
