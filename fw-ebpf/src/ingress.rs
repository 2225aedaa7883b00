//! The XDP program: every packet that comes in.

use aya_ebpf::{
    bindings::xdp_action::{XDP_DROP, XDP_PASS},
    macros::xdp,
    programs::XdpContext,
};
use aya_log_ebpf::debug;
use fw_common::{Frame, Verdict, decide};

use crate::{count::count, frame::Packet, lookups::Maps, record::record};

#[xdp]
#[inline(always)]
pub fn fw_ingress(ctx: XdpContext) -> u32 {
    let packet = Packet::from_xdp(&ctx);
    let maps = Maps::new(&ctx, ctx.ingress_ifindex() as u32);
    let decision = decide(&packet, &maps);
    let to_record = count(&decision, packet.len());
    debug!(&ctx, "{} {}", decision.reason.name(), packet.len());
    if let Some(drops) = to_record {
        return record(&ctx, &decision, drops, maps.monitors());
    }
    match decision.verdict() {
        Verdict::Drop if !maps.monitors() => XDP_DROP,
        Verdict::Pass | Verdict::Drop => XDP_PASS,
    }
}
