//! The XDP program: every packet that comes in, before Linux has a socket buffer for it.

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
    let decision = if decision.hangs_on_routes(&lookups) {
        // Forgotten, so that all ways meet before the routing table is asked.
        settle(ctx.ctx.cast(), active, decision.forgotten(&Packet::from_xdp(&ctx)))
    } else {
        decision.as_it_is()
    };
    let size = Size { packets: 1, bytes: Packet::from_xdp(&ctx).len() };
    conclude::<hook::Xdp>(ctx.ctx.cast(), decision, size, active, false)
}

/// Lets every packet pass. Drivers are asked with it whether they take a program.
#[xdp]
#[inline(always)]
pub fn fw_probe(_ctx: XdpContext) -> u32 {
    hook::Xdp::PASS
}

/// Out of line, so that the many ways through the headers of what is not plain meet where it ends.
#[inline(never)]
fn judge(ctx: *mut c_void, active: Active) -> Decision {
    judge_behind::<hook::Xdp>(ctx, network::<hook::Xdp>(ctx), active)
}

#[inline(never)]
fn settle(ctx: *mut c_void, active: Active, decision: Decision) -> Decision {
    settle_behind::<hook::Xdp>(ctx, active, decision)
}

/// Judge a packet behind any link layer. What hangs on the routing table is to be settled.
#[inline(always)]
pub(crate) fn judge_behind<H: Hook>(ctx: *mut c_void, network: LocatedNetwork, active: Active) -> Decision {
    // Asked for anew after the tags: how much of the frame was seen to be there differs by them.
    let located = Located::locate(&H::packet(&anew::<H>(ctx)), network);
    let ctx = anew::<H>(ctx);
    judge_located(&H::packet(&ctx), located, &Maps::<H>::of(&ctx, active))
}

/// Say what becomes of it then.
#[inline(always)]
pub(crate) fn settle_behind<H: Hook>(ctx: *mut c_void, active: Active, decision: Decision) -> Decision {
    let ctx = anew::<H>(ctx);
    fw_common::settle(&H::packet(&ctx), decision, &Maps::<H>::of(&ctx, active))
}
