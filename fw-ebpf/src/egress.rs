//! The TC egress programs, which see every outbound packet after masquerading: one for interfaces with Ethernet headers, one for those without.

use core::ffi::c_void;

use aya_ebpf::bindings::TC_ACT_UNSPEC;
use aya_log_ebpf::debug;
use fw_common::{
    Noted,
    active::Active,
    is_answer_forwarded, note_located, track_plain,
    wire::located::{Located, LocatedNetwork},
};

use crate::{
    hook::{Hook as _, Tc, anew, bare, network},
    lookups::{Maps, active},
    readable::{fetch_all, fetch_exactly},
    verifier::forget,
};

// The same as aya's `classifier` macro makes, but with an untyped context. A type would put `__sk_buff` into BTF, with forward declarations in an
// order that depends on memory addresses inside LLVM. Then no two machines would build the same bytes.
#[unsafe(no_mangle)]
#[unsafe(link_section = "classifier")]
pub fn fw_egress(skb: *mut c_void) -> i32 {
    let ctx = Tc::context(skb);
    let active = active();
    if track_plain(&Tc::packet(&ctx), &Maps::<Tc>::of(&ctx, active)).is_none() {
        // The headers may lie outside the linear part (forwarded packets).
        fetch_all(&ctx);
        track(skb, active, locate(skb));
    }
    // TCX calls it TCX_NEXT: the next program decides.
    TC_ACT_UNSPEC
}

#[unsafe(no_mangle)]
#[unsafe(link_section = "classifier")]
pub fn fw_egress_l3(skb: *mut c_void) -> i32 {
    let ctx = Tc::context(skb);
    fetch_exactly::<0>(&ctx);
    track(skb, active(), locate_bare(skb));
    TC_ACT_UNSPEC
}

#[inline(always)]
fn track(skb: *mut c_void, active: Active, located: Located) {
    // Both times the verifier sees the same call.
    let flag = |is_forwarded: u64| forget(is_forwarded, located.transport());
    if note(skb, active, located, flag(0)) != 0 && is_forwarded(skb, active, located) != 0 {
        note(skb, active, located, flag(1));
    }
}

#[inline(never)]
fn locate(skb: *mut c_void) -> Located {
    find(skb, network::<Tc>(skb))
}

#[inline(never)]
fn locate_bare(skb: *mut c_void) -> Located {
    find(skb, bare::<Tc>(&anew::<Tc>(skb)))
}

#[inline(never)]
fn find(skb: *mut c_void, network: LocatedNetwork) -> Located {
    Located::find(&Tc::packet(&anew::<Tc>(skb)), network)
}

#[inline(never)]
fn note(skb: *mut c_void, active: Active, located: Located, is_forwarded: u64) -> u64 {
    let ctx = anew::<Tc>(skb);
    match note_located(&Tc::packet(&ctx), located, is_forwarded != 0, &Maps::<Tc>::of(&ctx, active)) {
        Ok(noted) => u64::from(noted == Noted::Unsettled),
        Err(reason) => {
            debug!((), "not tracked: {}", reason.name());
            0
        }
    }
}

#[inline(never)]
fn is_forwarded(skb: *mut c_void, active: Active, located: Located) -> u64 {
    let ctx = anew::<Tc>(skb);
    u64::from(is_answer_forwarded(&Tc::packet(&ctx), located, &Maps::<Tc>::of(&ctx, active)))
}
