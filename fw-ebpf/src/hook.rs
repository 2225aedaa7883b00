//! The hooks of the programs: how a program reads a packet there, and what it returns.

use core::ffi::c_void;

use aya_ebpf::{
    EbpfContext, Global,
    bindings::{
        BPF_F_RECOMPUTE_CSUM, TC_ACT_SHOT, TC_ACT_UNSPEC,
        xdp_action::{XDP_DROP, XDP_PASS, XDP_TX},
    },
    helpers::generated::{
        bpf_redirect, bpf_skb_change_tail, bpf_skb_store_bytes, bpf_xdp_adjust_head, bpf_xdp_adjust_tail,
    },
    programs::{TcContext, XdpContext},
};
use fw_common::{
    Frame as _,
    record::CAPTURED,
    wire::{
        ethernet::{self, Tags},
        located::LocatedNetwork,
    },
};

use crate::{
    capture::{capture, capture_tc},
    field::field,
    frame::Packet,
    verifier::{forget, whole},
};

/// Bytes at the start of a socket buffer that are skipped: 0 in an attached program. `BPF_PROG_TEST_RUN` puts an Ethernet header before every packet,
/// so the programs for interfaces without such headers are loaded with 14 there. The verifier sees a constant.
#[unsafe(no_mangle)]
static SKIPPED: Global<u8> = Global::new(0);

/// A place in the kernel where programs run on packets. Functions pass a context by its untyped address: a type would get into BTF.
pub(crate) trait Hook {
    type Context: EbpfContext;
    /// The hook whose functions write answers here: they read no length, so that both XDP programs use the same ones.
    type Answers: Hook<Context = Self::Context>;
    /// The return value that passes a packet.
    const PASS: u32;
    /// The return value that drops a packet.
    const DROP: u32;
    fn context(ctx: *mut c_void) -> Self::Context;

    fn packet(ctx: &Self::Context) -> Packet;

    /// The index of the interface where the packet arrived, or leaves.
    fn ifindex(ctx: &Self::Context) -> u32;

    /// All tags that the frame arrived with: `tags`, behind the one that was removed.
    fn behind_taken_off(ctx: &Self::Context, tags: Tags) -> Tags;

    /// The network protocol, as Linux sees it: an `EtherType` in host byte order, or 0 if unknown.
    fn ether_type(ctx: &Self::Context) -> u16;

    /// Bytes of a VLAN tag that Linux has removed from the packet.
    fn tag(ctx: &Self::Context) -> usize;

    /// Copy the first bytes of the packet as it was on the wire; returns how many.
    fn capture(ctx: &Self::Context, bytes: &mut [u8; CAPTURED]) -> usize;

    /// Give a packet of `old` bytes another length; returns whether that was possible. Its bytes may have other offsets then.
    fn resize(ctx: &Self::Context, old: usize, len: usize) -> bool;

    /// Overwrite the words from offset `at`; returns whether the packet has them.
    fn write<const N: usize>(ctx: &Self::Context, at: usize, words: &[u32; N]) -> bool;

    /// Send the packet out of the interface where it arrived; returns the program's return value.
    fn send_back(ctx: &Self::Context) -> u32;
}

/// Read the packet's address from the context again.
#[inline(always)]
pub(crate) fn anew<H: Hook>(ctx: *mut c_void) -> H::Context {
    H::context(whole(ctx))
}

/// Read the link layer of a frame.
#[inline(always)]
pub(crate) fn network<H: Hook>(ctx: *mut c_void) -> LocatedNetwork {
    LocatedNetwork::locate(&H::packet(&anew::<H>(ctx)))
}

/// The link layer of a packet that comes without one.
#[inline(always)]
pub(crate) fn bare<H: Hook>(ctx: &H::Context) -> LocatedNetwork {
    LocatedNetwork::bare(&H::packet(ctx), H::ether_type(ctx))
}

/// XDP, native or generic.
pub(crate) enum Xdp {}

impl Hook for Xdp {
    type Context = XdpContext;
    type Answers = Xdp;
    const PASS: u32 = XDP_PASS;
    const DROP: u32 = XDP_DROP;

    #[inline(always)]
    fn context(ctx: *mut c_void) -> XdpContext {
        XdpContext::new(ctx.cast())
    }

    #[inline(always)]
    fn packet(ctx: &XdpContext) -> Packet {
        Packet::from_xdp(ctx)
    }

    #[inline(always)]
    fn ifindex(ctx: &XdpContext) -> u32 {
        ctx.ingress_ifindex() as u32
    }

    /// The card may have removed a tag, but XDP cannot read it.
    #[inline(always)]
    fn behind_taken_off(_ctx: &XdpContext, tags: Tags) -> Tags {
        tags
    }

    #[inline(always)]
    fn ether_type(_ctx: &XdpContext) -> u16 {
        0
    }

    #[inline(always)]
    fn tag(_ctx: &XdpContext) -> usize {
        0
    }

    #[inline(always)]
    fn capture(ctx: &XdpContext, bytes: &mut [u8; CAPTURED]) -> usize {
        capture(&Self::packet(ctx), bytes)
    }

    // A longer frame begins before the old one: the kernel always leaves room there, but not always behind it.
    #[inline(always)]
    fn resize(ctx: &XdpContext, old: usize, len: usize) -> bool {
        let shorter = old.wrapping_sub(len) as i32;
        if shorter < 0 {
            // SAFETY: it is the context of this program.
            unsafe { bpf_xdp_adjust_head(ctx.ctx, shorter) == 0 }
        } else {
            // SAFETY: the same.
            unsafe { bpf_xdp_adjust_tail(ctx.ctx, -shorter) == 0 }
        }
    }

    #[inline(always)]
    fn write<const N: usize>(ctx: &XdpContext, at: usize, words: &[u32; N]) -> bool {
        Self::packet(ctx).write(at, words)
    }

    #[inline(always)]
    fn send_back(_ctx: &XdpContext) -> u32 {
        XDP_TX
    }
}

/// XDP in a driver that hands over frames with fragments.
pub(crate) enum XdpFrag {}

impl Hook for XdpFrag {
    type Context = XdpContext;
    type Answers = Xdp;
    const PASS: u32 = Xdp::PASS;
    const DROP: u32 = Xdp::DROP;

    #[inline(always)]
    fn context(ctx: *mut c_void) -> XdpContext {
        Xdp::context(ctx)
    }

    #[inline(always)]
    fn packet(ctx: &XdpContext) -> Packet {
        Packet::from_xdp_frags(ctx)
    }

    #[inline(always)]
    fn ifindex(ctx: &XdpContext) -> u32 {
        Xdp::ifindex(ctx)
    }

    #[inline(always)]
    fn behind_taken_off(ctx: &XdpContext, tags: Tags) -> Tags {
        Xdp::behind_taken_off(ctx, tags)
    }

    #[inline(always)]
    fn ether_type(ctx: &XdpContext) -> u16 {
        Xdp::ether_type(ctx)
    }

    #[inline(always)]
    fn tag(ctx: &XdpContext) -> usize {
        Xdp::tag(ctx)
    }

    #[inline(always)]
    fn capture(ctx: &XdpContext, bytes: &mut [u8; CAPTURED]) -> usize {
        Xdp::capture(ctx, bytes)
    }

    #[inline(always)]
    fn resize(ctx: &XdpContext, old: usize, len: usize) -> bool {
        Xdp::resize(ctx, old, len)
    }

    #[inline(always)]
    fn write<const N: usize>(ctx: &XdpContext, at: usize, words: &[u32; N]) -> bool {
        Xdp::write(ctx, at, words)
    }

    #[inline(always)]
    fn send_back(ctx: &XdpContext) -> u32 {
        Xdp::send_back(ctx)
    }
}

/// TC, in either direction. Linux has removed the outer VLAN tag of inbound packets.
pub(crate) enum Tc {}

impl Hook for Tc {
    type Context = TcContext;
    type Answers = Self;
    // TCX calls it TCX_NEXT: the next program decides.
    const PASS: u32 = TC_ACT_UNSPEC as u32;
    const DROP: u32 = TC_ACT_SHOT as u32;

    #[inline(always)]
    fn context(ctx: *mut c_void) -> TcContext {
        TcContext::new(ctx.cast())
    }

    #[inline(always)]
    fn packet(ctx: &TcContext) -> Packet {
        Packet::from_tc(ctx, usize::from(SKIPPED.load()))
    }

    #[inline(always)]
    fn ifindex(ctx: &TcContext) -> u32 {
        field!(ctx, ifindex)
    }

    #[inline(always)]
    fn behind_taken_off(ctx: &TcContext, tags: Tags) -> Tags {
        let is_tagged = field!(ctx, vlan_present);
        if is_tagged == 0 { tags } else { Tags(behind_taken_off(ctx.skb.skb.cast(), tags) as u32) }
    }

    #[inline(always)]
    fn ether_type(ctx: &TcContext) -> u16 {
        u16::from_be(field!(ctx, protocol) as u16)
    }

    #[inline(always)]
    fn tag(ctx: &TcContext) -> usize {
        if field!(ctx, vlan_present) == 0 { 0 } else { ethernet::TAG }
    }

    #[inline(always)]
    fn capture(ctx: &TcContext, bytes: &mut [u8; CAPTURED]) -> usize {
        capture_tc(ctx, Self::packet(ctx).len(), Self::tag(ctx) != 0, u32::from(SKIPPED.load()), bytes)
    }

    #[inline(always)]
    fn resize(ctx: &TcContext, _old: usize, len: usize) -> bool {
        // SAFETY: it is the context of this program.
        unsafe { bpf_skb_change_tail(ctx.skb.skb, len as u32, 0) == 0 }
    }

    // A program that writes to packets itself would begin with a copy of each that others share.
    #[inline(always)]
    fn write<const N: usize>(ctx: &TcContext, at: usize, words: &[u32; N]) -> bool {
        let (from, len) = (words.as_ptr().cast(), (4 * N) as u32);
        // SAFETY: the helper reads the words.
        unsafe { bpf_skb_store_bytes(ctx.skb.skb, at as u32, from, len, BPF_F_RECOMPUTE_CSUM.into()) == 0 }
    }

    #[inline(always)]
    fn send_back(ctx: &TcContext) -> u32 {
        // SAFETY: the helper notes the interface, and reads no memory of the program.
        unsafe { bpf_redirect(Self::ifindex(ctx), 0) as u32 }
    }
}

/// Out of line, so that the paths to the tag join at its end.
#[inline(never)]
fn behind_taken_off(skb: *mut c_void, tags: Tags) -> u64 {
    let ctx = anew::<Tc>(skb);
    let ether_type = field!(&ctx, vlan_proto);
    let control = field!(&ctx, vlan_tci);
    let Tags(word) = tags.behind(Tags::NONE.with(u16::from_be(ether_type as u16), control as u16));
    forget(u64::from(word), control as usize)
}
