//! The TC egress program: every packet that leaves, after masquerading.

use core::ffi::c_void;

use aya_ebpf::{bindings::TC_ACT_UNSPEC, programs::TcContext};
use aya_log_ebpf::debug;
use fw_common::{Reason, track};

use crate::{
    frame::Packet,
    lookups::{Maps, active},
};

/// Bytes that hold every header that is read, two VLAN tags and a long IPv6 chain included.
const HEADERS: u32 = 512;

// What aya's `classifier` macro makes, with a context that has no type: the type would put `__sk_buff` into BTF, and with it forward
// declarations, whose order LLVM leaves to the addresses of its own objects. No two machines would build the same bytes.
#[unsafe(no_mangle)]
#[unsafe(link_section = "classifier")]
pub fn fw_egress(skb: *mut c_void) -> i32 {
    let ctx = TcContext::new(skb.cast());
    // SAFETY: the context is this program's own, and the field is a plain integer.
    let ifindex = unsafe { (*ctx.skb.skb).ifindex };
    let active = active();
    let mut outcome = track(&Packet::from_tc(&ctx), &Maps::new(&ctx, ifindex, active));
    // The headers may lie outside the linear part (forwarded packets): have them copied there and look once more.
    if outcome == Err(Reason::Truncated) && ctx.pull_data(HEADERS.min(ctx.len())).is_ok() {
        outcome = track(&Packet::from_tc(&ctx), &Maps::new(&ctx, ifindex, active));
    }
    if let Err(reason) = outcome {
        debug!(&ctx, "not tracked: {}", reason.name());
    }
    // TCX calls it TCX_NEXT: whatever comes next decides.
    TC_ACT_UNSPEC
}
