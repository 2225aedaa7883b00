//! The TC programs for what comes in, where the driver has no native XDP: behind GRO, before netfilter, and without the copies that generic XDP
//! makes. One for interfaces with Ethernet headers, one for those without.

use core::{ffi::c_void, mem::MaybeUninit};

use aya_ebpf::{
    EbpfContext as _, Global, bindings::bpf_xfrm_state, helpers::generated::bpf_skb_get_xfrm_state, programs::TcContext,
};
use fw_common::{
    Decision, Frame as _, Reason, Verdict,
    abi::Active,
    decide_plain,
    wire::{
        ethernet::{self, ETHER_TYPE_IPV6},
        ipv4, ipv6,
        located::LocatedNetwork,
    },
};

use crate::{
    count::Size,
    hook::{Hook as _, Tc, anew, bare, network},
    ingress::{judge_behind, settle_behind},
    lookups::{Maps, active},
    readable::{fetch, fetch_all, fetch_exactly},
    verdict::conclude,
};

/// 1 where the kernel was built with IPsec. A constant to the verifier, which drops the call of a helper that other kernels lack.
#[unsafe(no_mangle)]
static XFRM: Global<u8> = Global::new(0);

/// What is counted for the TCP header of a packet that was joined to another: the one without options.
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

/// No path of its own for plain packets: what comes out of a tunnel costs much more than being judged.
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
    if decision.hangs_on_routes(&Maps::<Tc>::of(ctx, active)) {
        // Forgotten, so that all ways meet before the routing table is asked.
        settle(ctx.as_ptr(), active, decision.forgotten(&Tc::packet(ctx)))
    } else {
        decision.as_it_is()
    }
}

// Out of line, so that the many ways through the headers of what is not plain meet where they end.

#[inline(never)]
fn judge_general(skb: *mut c_void, active: Active) -> Decision {
    fetch_all(&Tc::context(skb));
    let mut located = network::<Tc>(skb);
    let ctx = anew::<Tc>(skb);
    if Tc::tag(&ctx) != 0 {
        located = located.behind_tag(&Tc::packet(&ctx));
    }
    judge(skb, located, active)
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

/// Whether this host's own IPsec decrypted the packet: it comes by the same interface a second time then.
#[inline(never)]
fn was_decrypted(skb: *mut c_void) -> u64 {
    let mut state = MaybeUninit::<bpf_xfrm_state>::uninit();
    // SAFETY: the helper writes as many bytes as it is told, and says by 0 that the packet has a first state.
    let found =
        unsafe { bpf_skb_get_xfrm_state(skb.cast(), 0, state.as_mut_ptr(), size_of::<bpf_xfrm_state>() as u32, 0) };
    u64::from(found == 0)
}

/// How many packets of the wire GRO joined to this one, and about the bytes that they had there: each has headers of its own.
#[inline(always)]
fn size<const LINK: usize>(ctx: &TcContext) -> Size {
    // SAFETY: the context is this program's own, and the field is a plain integer.
    let segments = unsafe { (*ctx.skb.skb).gso_segs };
    let packet = Tc::packet(ctx);
    let packets = packet.forget(u64::from(segments.max(1)));
    let network = if Tc::ether_type(ctx) == ETHER_TYPE_IPV6 { ipv6::HEADER } else { ipv4::HEADER };
    let headers = packet.forget((LINK + network + TCP_HEADER) as u64);
    Size { packets, bytes: packet.len() + Tc::tag(ctx) + (packets.wrapping_sub(1) * headers) as usize }
}
