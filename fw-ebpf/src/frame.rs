//! The one bounded read from packet memory.

use core::arch::asm;

use aya_ebpf::programs::{TcContext, XdpContext};
use fw_common::Frame;

/// No header lies further back: two tags, an IPv6 header and eight extension headers of 2,048 bytes end at 16,446. The verifier, which
/// allows 65,535 bytes, wants to hear it.
const MAX_OFFSET: usize = 0x7fff;

/// Packet memory between two addresses that the kernel vouches for.
pub(crate) struct Packet {
    data: usize,
    data_end: usize,
    len: usize,
}

impl Packet {
    #[inline(always)]
    pub(crate) fn from_xdp(ctx: &XdpContext) -> Self {
        let (data, data_end) = (ctx.data(), ctx.data_end());
        Self { data, data_end, len: data_end - data }
    }

    /// Only the linear part of a socket buffer can be read; its length is that of the whole packet.
    #[inline(always)]
    pub(crate) fn from_tc(ctx: &TcContext) -> Self {
        Self { data: ctx.data(), data_end: ctx.data_end(), len: ctx.len() as usize }
    }
}

impl Frame for Packet {
    #[inline(always)]
    fn len(&self) -> usize {
        self.len
    }

    #[inline(always)]
    fn read<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.pointer::<N>(at).map(|start| {
            let start: *const Even<N> = start.cast();
            // SAFETY: the N bytes from `start` lie between `data` and `data_end`, which the verifier checks once more. The kernel
            // places frames at even addresses, and `at` is even.
            unsafe { (*start).0 }
        })
    }

    /// Without what [`pointer`](Packet::pointer) does about offsets: this one is 0.
    #[inline(always)]
    fn head<const N: usize>(&self) -> Option<[u8; N]> {
        if self.data + N > self.data_end {
            return None;
        }
        let start = self.data as *const Even<N>;
        // SAFETY: as above.
        Some(unsafe { (*start).0 })
    }

    #[inline(always)]
    fn pair(&self, at: usize) -> Option<[u8; 2]> {
        // SAFETY: as above; bytes need no alignment.
        self.pointer::<2>(at).map(|start| unsafe { *start.cast() })
    }
}

/// Bytes at an even address, which are loaded in pairs.
#[repr(C, align(2))]
struct Even<const N: usize>([u8; N]);

impl Packet {
    /// Where the `N` bytes at `at` are, if the packet has them. `N` is at least 2: for 1 the compiler writes `start >= data_end`, from
    /// which the verifier learns nothing.
    #[inline(always)]
    fn pointer<const N: usize>(&self, at: usize) -> Option<*const u8> {
        const { assert!(N >= 2) };
        let (mut at, mut data_end) = (at, self.data_end);
        // SAFETY: no instruction at all. It hides where the values come from, or the compiler compares with `data_end - N`, arithmetic
        // that the verifier forbids, and makes `at` a difference whose lower bound the verifier loses.
        unsafe { asm!("/* {0} {1} */", inout(reg) at, inout(reg) data_end, options(nomem, nostack, preserves_flags)) };
        if at > MAX_OFFSET {
            return None;
        }
        let start = self.data + at;
        if start + N > data_end { None } else { Some(start as *const u8) }
    }
}
