//! The XDP program, which sees every inbound packet before Linux has a socket buffer for it.

use core::ffi::c_void;

use aya_ebpf::{macros::xdp, programs::XdpContext};
use fw_common::{
    Decision, Frame as _,
    abi::Active,
    decide_plain, judge_located,
    wire::located::{Located, LocatedNetwork},
};

use crate::{
    count::Size,
    frame::Packet,
    hook::{self, Hook, anew, network},
    lookups::{Maps, active},
    verdict::conclude,
};

#[xdp]
#[inline(always)]
pub fn fw_ingress(ctx: XdpContext) -> u32 {
    let active = active();
    let lookups = Maps::<hook::Xdp>::of(&ctx, active);
    let plain = decide_plain(&Packet::from_xdp(&ctx), &lookups);
    let decision = plain.unwrap_or_else(|| judge(ctx.ctx.cast(), active));
    let decision = if decision.is_unsettled(&lookups) {
        // Forgotten, so that all paths join before the look-ups.
        let decision = decision.forgotten(&Packet::from_xdp(&ctx));
        if decision.may_answer_many() && answers_many(ctx.ctx.cast(), active, decision) != 0 {
            Decision::ANSWER
        } else {
            settle(ctx.ctx.cast(), active, decision.forgotten(&Packet::from_xdp(&ctx)))
        }
    } else {
        decision.as_it_is()
    };
    let size = Size { packets: 1, bytes: Packet::from_xdp(&ctx).len() };
    conclude::<hook::Xdp>(ctx.ctx.cast(), decision, size, active, false)
}

/// Passes every packet. The loader attaches it to find out whether a driver takes programs.
#[xdp]
#[inline(always)]
pub fn fw_probe(_ctx: XdpContext) -> u32 {
    hook::Xdp::PASS
}

/// Out of line, so that the many paths through headers that are not plain join at its end.
#[inline(never)]
fn judge(ctx: *mut c_void, active: Active) -> Decision {
    judge_behind::<hook::Xdp>(ctx, network::<hook::Xdp>(ctx), active)
}

#[inline(never)]
fn settle(ctx: *mut c_void, active: Active, decision: Decision) -> Decision {
    settle_behind::<hook::Xdp>(ctx, active, decision)
}

#[inline(never)]
fn answers_many(ctx: *mut c_void, active: Active, decision: Decision) -> u64 {
    answers_many_behind::<hook::Xdp>(ctx, active, decision)
}

/// Judge a packet behind any link layer. The decision may have to be settled.
#[inline(always)]
pub(crate) fn judge_behind<H: Hook>(ctx: *mut c_void, network: LocatedNetwork, active: Active) -> Decision {
    // Read again after the tags: the verified length of the frame depends on them.
    let located = Located::locate(&H::packet(&anew::<H>(ctx)), network);
    let ctx = anew::<H>(ctx);
    judge_located(&H::packet(&ctx), located, &Maps::<H>::of(&ctx, active))
}

/// Whether the packet of such a decision answers a datagram to many.
#[inline(always)]
pub(crate) fn answers_many_behind<H: Hook>(ctx: *mut c_void, active: Active, decision: Decision) -> u64 {
    let ctx = anew::<H>(ctx);
    u64::from(fw_common::answers_many(&H::packet(&ctx), decision, &Maps::<H>::of(&ctx, active)))
}

/// Settle such a decision.
#[inline(always)]
pub(crate) fn settle_behind<H: Hook>(ctx: *mut c_void, active: Active, decision: Decision) -> Decision {
    let ctx = anew::<H>(ctx);
    fw_common::settle(&H::packet(&ctx), decision, &Maps::<H>::of(&ctx, active))
}
