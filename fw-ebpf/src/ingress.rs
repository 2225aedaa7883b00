//! The XDP program, which sees every inbound packet before Linux has a socket buffer for it.

use core::ffi::c_void;

use aya_ebpf::{EbpfContext as _, macros::xdp, programs::XdpContext};
use fw_common::{
    Decision, Frame as _,
    active::Active,
    decide_plain, judge_located,
    wire::located::{Located, LocatedNetwork},
};

use crate::{
    count::Size,
    hook::{self, Hook, anew, network},
    lookups::{Maps, active},
    verdict::conclude,
};

#[xdp]
#[inline(always)]
pub fn fw_ingress(ctx: XdpContext) -> u32 {
    ingress::<hook::Xdp>(&ctx)
}

/// The same for frames that may have fragments, such as jumbo frames (Linux 5.18).
#[xdp(frags)]
#[inline(always)]
pub fn fw_ingress_frag(ctx: XdpContext) -> u32 {
    ingress::<hook::XdpFrag>(&ctx)
}

#[inline(always)]
fn ingress<H: Hook<Context = XdpContext>>(ctx: &XdpContext) -> u32 {
    let active = active();
    let lookups = Maps::<H>::of(ctx, active);
    let plain = decide_plain(&H::packet(ctx), &lookups);
    let decision = plain.unwrap_or_else(|| judge::<H>(ctx.as_ptr(), active));
    let decision = if decision.is_unsettled(&lookups) {
        // Forgotten, so that all paths join before the look-ups.
        let decision = decision.forgotten(&H::packet(ctx));
        if decision.may_answer_many() && answers_many::<H>(ctx.as_ptr(), active, decision) != 0 {
            Decision::ANSWER
        } else {
            settle::<H>(ctx.as_ptr(), active, decision.forgotten(&H::packet(ctx)))
        }
    } else {
        decision.as_it_is()
    };
    let packet = H::packet(ctx);
    let size = Size { packets: 1, bytes: packet.len() };
    conclude::<H>(ctx.as_ptr(), decision.forgotten(&packet), size, active, false)
}

/// Passes every packet. The loader attaches it to find out whether a driver takes programs.
#[xdp]
pub fn fw_probe(_ctx: XdpContext) -> u32 {
    hook::Xdp::PASS
}

/// The same for frames with fragments.
#[xdp(frags)]
pub fn fw_probe_frag(_ctx: XdpContext) -> u32 {
    hook::Xdp::PASS
}

// Out of line, so that the many paths through headers that are not plain join at their end.

#[inline(never)]
fn judge<H: Hook>(ctx: *mut c_void, active: Active) -> Decision {
    judge_behind::<H>(ctx, network::<H>(ctx), active)
}

#[inline(never)]
fn settle<H: Hook>(ctx: *mut c_void, active: Active, decision: Decision) -> Decision {
    settle_behind::<H>(ctx, active, decision)
}

#[inline(never)]
fn answers_many<H: Hook>(ctx: *mut c_void, active: Active, decision: Decision) -> u64 {
    answers_many_behind::<H>(ctx, active, decision)
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
