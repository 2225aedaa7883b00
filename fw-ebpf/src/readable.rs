//! The readable bytes of a socket buffer. Only its linear part is readable: a driver may leave any part of the packet in pages, and GRO moves to the
//! front what it reads.
//!
//! The bytes that may be needed are fetched once, before the packet is judged, and no more than that: if a tap shares the buffer, it must be copied.

use core::ffi::c_void;

use aya_ebpf::{EbpfContext as _, programs::TcContext};
use fw_common::{
    Frame as _,
    protocol::number,
    wire::{
        ethernet::{self, ETHER_TYPE_IPV4, ETHER_TYPE_IPV6},
        ipv4, ipv6,
    },
};

use crate::hook::{Hook as _, Tc};

/// The most bytes that are read of a transport header.
const TRANSPORT: usize = 16;

/// The bytes from the start of a frame that contain every header that is read, including two VLAN tags and the longest chain of extension headers.
const HEADERS: usize =
    ethernet::HEADER + ethernet::MAX_TAGS * ethernet::TAG + ipv6::HEADER + ipv6::MAX_CHAIN + TRANSPORT;

/// Make the needed bytes of a packet readable whose network header is at `LINK`: of a plain packet (no tags, options or extension headers) only its
/// headers, of any other everything that may be read.
#[inline(always)]
pub(crate) fn fetch<const LINK: usize>(ctx: &TcContext) {
    let linear = ctx.data_end() - ctx.data();
    if linear < LINK + ipv6::HEADER + TRANSPORT && linear < ctx.len() as usize {
        fetch_needed::<LINK>(ctx.as_ptr());
    }
}

/// Make everything readable that may be read of a packet that is not plain.
#[inline(always)]
pub(crate) fn fetch_all(ctx: &TcContext) {
    pull(ctx, HEADERS);
}

/// The same unless the packet is plain, of which less is needed.
#[inline(always)]
pub(crate) fn fetch_exactly<const LINK: usize>(ctx: &TcContext) {
    if ctx.data_end() - ctx.data() < HEADERS.min(ctx.len() as usize) {
        fetch_needed::<LINK>(ctx.as_ptr());
    }
}

#[inline(never)]
fn fetch_needed<const LINK: usize>(skb: *mut c_void) -> u64 {
    let ctx = Tc::context(skb);
    let packet = Tc::packet(&ctx);
    let needed = match Tc::ether_type(&ctx) {
        ETHER_TYPE_IPV4 if matches!(packet.pair(LINK), Some([0x45, _])) => LINK + ipv4::HEADER + TRANSPORT,
        ETHER_TYPE_IPV6 if matches!(packet.pair(LINK + 6), Some([number::TCP | number::UDP, _])) => {
            LINK + ipv6::HEADER + TRANSPORT
        }
        _ => HEADERS,
    };
    pull(&ctx, needed);
    0
}

/// If this fails, the packet is judged as it is, and drops as truncated.
#[inline(always)]
fn pull(ctx: &TcContext, bytes: usize) {
    let bytes = bytes.min(ctx.len() as usize);
    if ctx.data_end() - ctx.data() < bytes {
        let _unused = ctx.pull_data(bytes as u32);
    }
}
