//! The last steps for a judged packet, the same at every hook.

use core::ffi::c_void;

use aya_log_ebpf::{
    debug,
    macro_support::{Level, level_enabled},
};
use fw_common::{Decision, Reason, Verdict, active::Active, withhold};

use crate::{
    count::{Size, count},
    hook::{Hook, anew, bare, network},
    lookups::Maps,
    record::record,
    refuse::{is_on, refuse},
};

/// Drop what a banned sender sends and what exceeds a limit, count the packet, record it if necessary, and return the verdict.
#[inline(always)]
pub(crate) fn conclude<H: Hook>(
    ctx: *mut c_void,
    decision: Decision,
    size: Size,
    active: Active,
    is_bare: bool,
) -> u32 {
    let may_be_withheld = decision.may_be_withheld(&Maps::<H>::of(&H::context(ctx), active));
    let decision = if may_be_withheld { withheld::<H>(ctx, decision, active, is_bare) } else { decision.passed() };
    let to_record = count(decision, size);
    // The verifier sees a constant and drops the call.
    if level_enabled(Level::Debug) {
        say(decision, size);
    }
    let dropped_for = match (to_record, decision.verdict()) {
        (Some(drops), _) => record::<H>(ctx, decision, drops, active.monitors(), is_bare),
        (None, Verdict::Drop) if !active.monitors() => u64::from(decision.number()),
        (None, _) => 0,
    };
    if dropped_for == 0 {
        H::PASS
    } else if !is_bare && dropped_for == Reason::ClosedPort as u64 && is_on(active) {
        refuse::<H>(ctx, active)
    } else {
        H::DROP
    }
}

#[inline(never)]
fn say(decision: Decision, size: Size) -> u64 {
    debug!((), "{} {}", decision.reason().name(), size.bytes);
    0
}

/// The final decision about a packet that would pass. `is_bare` where it has no Ethernet header.
#[inline(never)]
fn withheld<H: Hook>(ctx: *mut c_void, decision: Decision, active: Active, is_bare: bool) -> Decision {
    let network = if is_bare { bare::<H>(&anew::<H>(ctx)) } else { network::<H>(ctx) };
    let ctx = anew::<H>(ctx);
    let packet = H::packet(&ctx);
    // Forgotten, so that the verifier follows the rest once for all results.
    withhold(&packet, network, decision, &Maps::<H>::of(&ctx, active)).forgotten(&packet)
}
