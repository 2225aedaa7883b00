//! Where a program hangs: how it reads a packet there, and what it answers.

use core::ffi::c_void;

use aya_ebpf::{
    EbpfContext, Global,
    bindings::{
        __sk_buff, TC_ACT_SHOT, TC_ACT_UNSPEC,
        xdp_action::{XDP_DROP, XDP_PASS},
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
    frame::Packet,
    verifier::{forget, whole},
};

/// Bytes before what is read of a socket buffer: always 0 where a program is attached. `BPF_PROG_TEST_RUN` puts an Ethernet header before every
/// packet: there the programs for interfaces without such headers are loaded with 14. A constant to the verifier.
#[unsafe(no_mangle)]
static SKIPPED: Global<u8> = Global::new(0);

/// A place in the kernel where programs are run on packets. A context goes by its address alone: its type would lead into BTF.
pub(crate) trait Hook {
    type Context: EbpfContext;
    /// The answer for a packet that goes on.
    const PASS: u32;
    /// The answer for one that does not.
    const DROP: u32;
    fn context(ctx: *mut c_void) -> Self::Context;

    fn packet(ctx: &Self::Context) -> Packet;

    /// The interface that the packet came in by, or leaves by.
    fn ifindex(ctx: &Self::Context) -> u32;

    /// All tags that the frame came with: those that it has, behind the one that was taken off it.
    fn behind_taken_off(ctx: &Self::Context, tags: Tags) -> Tags;

    /// The network protocol, as Linux sees it: an `EtherType` in host byte order. 0 where that is not known.
    fn ether_type(ctx: &Self::Context) -> u16;

    /// Bytes of a VLAN tag that Linux has taken off the packet.
    fn tag(ctx: &Self::Context) -> usize;

    /// Copy the first bytes of the packet as it was on the wire, and say how many.
    fn capture(ctx: &Self::Context, bytes: &mut [u8; CAPTURED]) -> usize;
}

/// Ask the context anew where the packet is.
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

    /// The card may have taken one off, and XDP cannot ask for it.
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
}

/// TC, in either direction. Linux has taken the outer VLAN tag off what comes in.
pub(crate) enum Tc {}

impl Hook for Tc {
    type Context = TcContext;
    // TCX calls it TCX_NEXT: whatever comes next decides.
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
        // SAFETY: the context is this program's own, and the field is a plain integer.
        unsafe { (*ctx.skb.skb).ifindex }
    }

    #[inline(always)]
    fn behind_taken_off(ctx: &TcContext, tags: Tags) -> Tags {
        // SAFETY: the context is this program's own, and the field is a plain integer.
        let is_tagged = unsafe { (*ctx.skb.skb).vlan_present };
        if is_tagged == 0 { tags } else { Tags(behind_taken_off(ctx.skb.skb.cast(), tags) as u32) }
    }

    #[inline(always)]
    fn ether_type(ctx: &TcContext) -> u16 {
        // SAFETY: the context is this program's own, and the field is a plain integer.
        u16::from_be(unsafe { (*ctx.skb.skb).protocol } as u16)
    }

    #[inline(always)]
    fn tag(ctx: &TcContext) -> usize {
        // SAFETY: the context is this program's own, and the field is a plain integer.
        if unsafe { (*ctx.skb.skb).vlan_present } == 0 { 0 } else { ethernet::TAG }
    }

    #[inline(always)]
    fn capture(ctx: &TcContext, bytes: &mut [u8; CAPTURED]) -> usize {
        capture_tc(ctx, Self::packet(ctx).len(), Self::tag(ctx) != 0, u32::from(SKIPPED.load()), bytes)
    }
}

/// Out of line, so that the ways to the tag meet where it ends.
#[inline(never)]
fn behind_taken_off(skb: *mut c_void, tags: Tags) -> u64 {
    let skb = whole(skb).cast::<__sk_buff>();
    // SAFETY: the context is this program's own, and the field is a plain integer.
    let ether_type = unsafe { (*skb).vlan_proto };
    // SAFETY: the same.
    let control = unsafe { (*skb).vlan_tci };
    let Tags(word) = tags.behind(Tags::NONE.with(u16::from_be(ether_type as u16), control as u16));
    forget(u64::from(word), control as usize)
}
