//! The TC ingress programs, for drivers without native XDP: after GRO, before netfilter, and without the copies that generic XDP makes. One is for
//! interfaces with Ethernet headers, one for those without.

use core::{ffi::c_void, mem::MaybeUninit};

use aya_ebpf::{
    EbpfContext as _, Global, bindings::bpf_xfrm_state, helpers::generated::bpf_skb_get_xfrm_state, programs::TcContext,
};
use fw_common::{
    Decision, Frame as _, Reason, Verdict,
    active::Active,
    decide_plain,
    wire::{
        ethernet::{self, ETHER_TYPE_IPV6},
        ipv4, ipv6,
        located::LocatedNetwork,
    },
};

use crate::{
    count::Size,
    field::field,
    hook::{Hook as _, Tc, anew, bare, network},
    ingress::{answers_many_behind, judge_behind, settle_behind},
    lookups::{Maps, active},
    readable::{fetch, fetch_all, fetch_exactly},
    verdict::conclude,
};

/// 1 if the kernel was built with IPsec. The verifier sees a constant and drops the call of a helper that other kernels lack.
#[unsafe(no_mangle)]
static XFRM: Global<u8> = Global::new(0);

/// The bytes that count for the TCP header of each joined packet: a header without options.
const TCP_HEADER: usize = 20;

#[unsafe(no_mangle)]
#[unsafe(link_section = "classifier")]
pub fn fw_ingress_tc(skb: *mut c_void) -> i32 {
    let ctx = Tc::context(skb);
    fetch::<{ ethernet::HEADER }>(&ctx);
    let active = active();
    let plain = decide_plain(&Tc::packet(&ctx), &Maps::<Tc>::of(&ctx, active));
    let decision = settled(&ctx, active, plain.unwrap_or_else(|| judge_general(skb, active)));
    answer::<{ ethernet::HEADER }>(&ctx, decision, active)
}

/// Plain packets have no path of their own here: decapsulation costs much more than the verdict.
#[unsafe(no_mangle)]
#[unsafe(link_section = "classifier")]
pub fn fw_ingress_l3(skb: *mut c_void) -> i32 {
    let ctx = Tc::context(skb);
    let active = active();
    let decision = settled(&ctx, active, judge_bare(skb, active));
    answer::<0>(&ctx, decision, active)
}

#[inline(always)]
fn settled(ctx: &TcContext, active: Active, decision: Decision) -> Decision {
    if decision.is_unsettled(&Maps::<Tc>::of(ctx, active)) {
        // Forgotten, so that all paths join before the look-ups.
        let decision = decision.forgotten(&Tc::packet(ctx));
        if decision.may_answer_many() && answers_many(ctx.as_ptr(), active, decision) != 0 {
            Decision::ANSWER
        } else {
            settle(ctx.as_ptr(), active, decision.forgotten(&Tc::packet(ctx)))
        }
    } else {
        decision.as_it_is()
    }
}

// Out of line, so that the many paths through headers that are not plain join at their end.

#[inline(never)]
fn judge_general(skb: *mut c_void, active: Active) -> Decision {
    fetch_all(&Tc::context(skb));
    let mut located = network::<Tc>(skb);
    let ctx = anew::<Tc>(skb);
    if Tc::tag(&ctx) != 0 {
        located = located.behind_tag(&Tc::packet(&ctx));
    }
    // Forgotten, so that the tag makes no second way.
    judge(skb, located.forgotten(&Tc::packet(&ctx)), active)
}

#[inline(never)]
fn judge_bare(skb: *mut c_void, active: Active) -> Decision {
    fetch_exactly::<0>(&Tc::context(skb));
    judge(skb, bare::<Tc>(&anew::<Tc>(skb)), active)
}

#[inline(never)]
fn judge(skb: *mut c_void, network: LocatedNetwork, active: Active) -> Decision {
    judge_behind::<Tc>(skb, network, active)
}

#[inline(never)]
fn settle(skb: *mut c_void, active: Active, decision: Decision) -> Decision {
    settle_behind::<Tc>(skb, active, decision)
}

#[inline(never)]
fn answers_many(skb: *mut c_void, active: Active, decision: Decision) -> u64 {
    answers_many_behind::<Tc>(skb, active, decision)
}

#[inline(always)]
fn answer<const LINK: usize>(ctx: &TcContext, mut decision: Decision, active: Active) -> i32 {
    let skb = ctx.as_ptr();
    if matches!(decision.verdict(), Verdict::Drop) && XFRM.load() == 1 && was_decrypted(skb) != 0 {
        decision = Decision::new(Reason::Decrypted, None);
    }
    let packet = Tc::packet(ctx);
    let decision = decision.forgotten(&packet);
    conclude::<Tc>(skb, decision, size::<LINK>(ctx), active, LINK == 0) as i32
}

/// Whether this host's own IPsec decrypted the packet, which then arrives a second time at the same interface.
#[inline(never)]
fn was_decrypted(skb: *mut c_void) -> u64 {
    let mut state = MaybeUninit::<bpf_xfrm_state>::uninit();
    // SAFETY: the helper writes at most the given number of bytes. It returns 0 if the packet has a first state.
    let found =
        unsafe { bpf_skb_get_xfrm_state(skb.cast(), 0, state.as_mut_ptr(), size_of::<bpf_xfrm_state>() as u32, 0) };
    u64::from(found == 0)
}

/// The number of packets that GRO joined to this one, and an estimate of their bytes on the wire: each had headers of its own.
#[inline(always)]
fn size<const LINK: usize>(ctx: &TcContext) -> Size {
    let segments = field!(ctx, gso_segs);
    let packet = Tc::packet(ctx);
    let packets = packet.forget(u64::from(segments.max(1)));
    let network = if Tc::ether_type(ctx) == ETHER_TYPE_IPV6 { ipv6::HEADER } else { ipv4::HEADER };
    let headers = packet.forget((LINK + network + TCP_HEADER) as u64);
    Size { packets, bytes: packet.len() + Tc::tag(ctx) + (packets.wrapping_sub(1) * headers) as usize }
}
