//! The XDP program: every packet that comes in.

use aya_ebpf::{
    bindings::{
        xdp_action::{XDP_DROP, XDP_PASS},
        xdp_md,
    },
    macros::xdp,
    programs::XdpContext,
};
use aya_log_ebpf::debug;
use fw_common::{Decision, Verdict, abi::Active, decide};

use crate::{
    count::count,
    frame::Packet,
    lookups::{Maps, active},
    record::record,
};

#[xdp]
#[inline(always)]
pub fn fw_ingress(ctx: XdpContext) -> u32 {
    let active = active();
    let decision = judge(ctx.ctx, active);
    let to_record = count(decision, ctx.data_end() - ctx.data());
    debug!(&ctx, "{} {}", decision.reason().name(), ctx.data_end() - ctx.data());
    if let Some(drops) = to_record {
        return record(&ctx, decision, drops, active.monitors());
    }
    match decision.verdict() {
        Verdict::Drop if !active.monitors() => XDP_DROP,
        Verdict::Pass | Verdict::Drop => XDP_PASS,
    }
}

/// A function of its own, so that the many ways out of it end in one register: inside the program each of them would write what it found to
/// the stack before it asks whether it is the way out.
#[inline(never)]
fn judge(ctx: *mut xdp_md, active: Active) -> Decision {
    let ctx = XdpContext::new(ctx);
    decide(&Packet::from_xdp(&ctx), &Maps::new(&ctx, ctx.ingress_ifindex() as u32, active))
}
