//! The TC egress program: every packet that leaves, after masquerading.

use aya_ebpf::{bindings::TC_ACT_UNSPEC, macros::classifier, programs::TcContext};
use aya_log_ebpf::debug;
use fw_common::{Reason, track};

use crate::{frame::Packet, lookups::Maps};

/// Bytes that hold every header that is read, two VLAN tags and a long IPv6 chain included.
const HEADERS: u32 = 512;

#[classifier]
pub fn fw_egress(ctx: TcContext) -> i32 {
    // SAFETY: the context is this program's own, and the field is a plain integer.
    let ifindex = unsafe { (*ctx.skb.skb).ifindex };
    let mut outcome = track(&Packet::from_tc(&ctx), &Maps::new(&ctx, ifindex));
    // The headers may lie outside the linear part (forwarded packets): have them copied there and look once more.
    if outcome == Err(Reason::Truncated) && ctx.pull_data(HEADERS.min(ctx.len())).is_ok() {
        outcome = track(&Packet::from_tc(&ctx), &Maps::new(&ctx, ifindex));
    }
    if let Err(reason) = outcome {
        debug!(&ctx, "not tracked: {}", reason.name());
    }
    // TCX calls it TCX_NEXT: whatever comes next decides.
    TC_ACT_UNSPEC
}
