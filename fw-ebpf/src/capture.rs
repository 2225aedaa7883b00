//! The first bytes of a packet.

use aya_ebpf::{helpers::generated::bpf_skb_load_bytes, programs::TcContext};
use fw_common::{
    Frame as _,
    record::CAPTURED,
    wire::ethernet::{HEADER, TAG},
};

use crate::{field::field, frame::Packet, verifier::forget};

/// Copy the words at these offsets. Written out, because the verifier handles constant offsets best.
macro_rules! capture {
    ($packet:expr, $bytes:expr, $($at:literal)*) => {'captured: {
        $(if let Some(word) = $packet.read::<4>($at) {
            $bytes[$at..$at + 4].copy_from_slice(&word);
        } else {
            break 'captured capture_tail($packet, $bytes, $at);
        })*
        CAPTURED
    }};
}

/// Copy the first bytes of a frame; returns how many.
#[inline(always)]
pub(crate) fn capture(packet: &Packet, bytes: &mut [u8; CAPTURED]) -> usize {
    // Every frame has its Ethernet header.
    capture!(packet, bytes, 0 4 8 12 16 20 24 28 32 36 40 44 48 52 56 60 64 68 72 76 80 84 88 92)
}

/// Up to three bytes of a short frame.
#[inline(always)]
fn capture_tail(packet: &Packet, bytes: &mut [u8; CAPTURED], mut at: usize) -> usize {
    if let Some(pair) = packet.pair(at) {
        bytes[at..at + 2].copy_from_slice(&pair);
        at += 2;
    }
    if let Some([_, last]) = packet.pair(at.wrapping_sub(1)) {
        bytes[at] = last;
        at += 1;
    }
    at
}

/// The offset of a VLAN tag, after both MAC addresses.
const TAG_AT: usize = HEADER - 2;

/// Copy the first bytes of a packet of `len` bytes from a socket buffer, `skipped` bytes from its start; returns how many. A helper does it: it also
/// reads what lies in pages, and is a single path for the verifier, whatever the length. A VLAN tag that Linux has removed is put back.
#[inline(always)]
pub(crate) fn capture_tc(
    ctx: &TcContext,
    len: usize,
    is_tagged: bool,
    skipped: u32,
    bytes: &mut [u8; CAPTURED],
) -> usize {
    let to = bytes.as_mut_ptr();
    if !is_tagged {
        return load::<CAPTURED>(ctx, skipped, to, len);
    }
    // The first field is in network byte order, the second in the byte order of this machine.
    let (protocol, tag) = (field!(ctx, vlan_proto) as u16, (field!(ctx, vlan_tci) as u16).to_be());
    load::<TAG_AT>(ctx, 0, to, TAG_AT);
    bytes[TAG_AT..TAG_AT + 2].copy_from_slice(&protocol.to_ne_bytes());
    bytes[TAG_AT + 2..TAG_AT + TAG].copy_from_slice(&tag.to_ne_bytes());
    let behind = bytes[TAG_AT + TAG..].as_mut_ptr();
    TAG_AT + TAG + load::<{ CAPTURED - TAG_AT - TAG }>(ctx, TAG_AT as u32, behind, len - TAG_AT)
}

/// Copy `len` bytes, at most `MOST`, to memory with room for that many.
#[inline(always)]
fn load<const MOST: usize>(ctx: &TcContext, at: u32, to: *mut u8, len: usize) -> usize {
    // The helper refuses a length of 0. Linux 6.12 learns nothing from a comparison with 0, but it knows the bounds if 1 is added to a bounded value.
    let len = forget(len.wrapping_sub(1) as u64, len).min(MOST as u64 - 1) + 1;
    // SAFETY: the helper writes no more than `len` bytes.
    let copied = unsafe { bpf_skb_load_bytes(ctx.skb.skb.cast(), at, to.cast(), len as u32) };
    if copied == 0 { len as usize } else { 0 }
}
