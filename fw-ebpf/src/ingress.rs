//! The XDP program: every packet that comes in.

use aya_ebpf::{
    bindings::{
        xdp_action::{XDP_DROP, XDP_PASS},
        xdp_md,
    },
    macros::xdp,
    programs::XdpContext,
};
use aya_log_ebpf::{
    debug,
    macro_support::{Level, level_enabled},
};
use fw_common::{Decision, Verdict, abi::Active, decide_located, decide_plain};

use crate::{
    count::count,
    frame::{Packet, locate},
    lookups::{Maps, active},
    record::record,
    verifier::whole,
};

#[xdp]
#[inline(always)]
pub fn fw_ingress(ctx: XdpContext) -> u32 {
    let active = active();
    let decision =
        decide_plain(&Packet::from_xdp(&ctx), &Maps::of_xdp(&ctx, active)).unwrap_or_else(|| judge(ctx.ctx, active));
    let to_record = count(decision, ctx.data_end() - ctx.data());
    // A constant to the verifier, which drops the call.
    if level_enabled(Level::Debug) {
        say(ctx.ctx, decision);
    }
    if let Some(drops) = to_record {
        return record(&ctx, decision, drops, active.monitors());
    }
    match decision.verdict() {
        Verdict::Drop if !active.monitors() => XDP_DROP,
        _ => XDP_PASS,
    }
}

/// Out of line, so that the many ways through the headers of what is not plain meet where it ends.
#[inline(never)]
fn judge(ctx: *mut xdp_md, active: Active) -> Decision {
    let located = locate(ctx);
    let ctx = XdpContext::new(whole(ctx));
    decide_located(&Packet::from_xdp(&ctx), located, &Maps::of_xdp(&ctx, active))
}

#[inline(never)]
fn say(ctx: *mut xdp_md, decision: Decision) -> u64 {
    let ctx = XdpContext::new(whole(ctx));
    debug!(&ctx, "{} {}", decision.reason().name(), ctx.data_end() - ctx.data());
    0
}
