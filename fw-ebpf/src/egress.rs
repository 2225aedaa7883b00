//! The TC egress program: every packet that leaves, after masquerading.

use core::ffi::c_void;

use aya_ebpf::{bindings::TC_ACT_UNSPEC, programs::TcContext};
use aya_log_ebpf::debug;
use fw_common::{abi::Active, track_located, track_plain};

use crate::{
    frame::{Packet, find},
    lookups::{Maps, active},
    verifier::whole,
};

/// Bytes that hold every header that is read, two VLAN tags and a long IPv6 chain included.
const HEADERS: u32 = 512;

// What aya's `classifier` macro makes, with a context that has no type: the type would put `__sk_buff` into BTF, and with it forward
// declarations, whose order LLVM leaves to the addresses of its own objects. No two machines would build the same bytes.
#[unsafe(no_mangle)]
#[unsafe(link_section = "classifier")]
pub fn fw_egress(skb: *mut c_void) -> i32 {
    let ctx = TcContext::new(skb.cast());
    let active = active();
    if track_plain(&Packet::from_tc(&ctx), &Maps::of_tc(&ctx, active)).is_none() {
        let len = HEADERS.min(ctx.len());
        // The headers may lie outside the linear part (forwarded packets): have them copied there. Where that fails, they are not read.
        if ctx.data_end() - ctx.data() < len as usize {
            let _unused = ctx.pull_data(len);
        }
        note(skb, active);
    }
    // TCX calls it TCX_NEXT: whatever comes next decides.
    TC_ACT_UNSPEC
}

#[inline(never)]
fn note(skb: *mut c_void, active: Active) -> u64 {
    let located = find(skb);
    let ctx = TcContext::new(whole(skb).cast());
    if let Err(reason) = track_located(&Packet::from_tc(&ctx), located, &Maps::of_tc(&ctx, active)) {
        debug!(&ctx, "not tracked: {}", reason.name());
    }
    0
}
