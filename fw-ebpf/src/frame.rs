//! The one bounded read from packet memory.

use core::{arch::asm, hint::assert_unchecked, intrinsics::is_val_statically_known};

use aya_ebpf::programs::{TcContext, XdpContext};
use fw_common::Frame;

use crate::verifier::forget;

/// No header lies further back: two tags, an IPv6 header, a chain of the longest that is walked and one extension header of 2,048 bytes end well
/// below. The verifier, which allows 65,535 bytes, wants to hear it.
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

    /// Only the linear part of a socket buffer can be read; its length is that of the whole packet. The first `skipped` bytes are none of it.
    #[inline(always)]
    pub(crate) fn from_tc(ctx: &TcContext, skipped: usize) -> Self {
        Self { data: ctx.data() + skipped, data_end: ctx.data_end(), len: ctx.len() as usize - skipped }
    }
}

/// A block for the distance of each word among the first `$bytes` bytes. Spelled out, because the distance is part of the instruction.
macro_rules! for_each_word {
    ($distance:ident, $bytes:expr, $block:block) => {
        for_each_word!(@ $distance, $bytes, $block, 0 4 8 12 16 20 24 28 32 36)
    };
    (@ $distance:ident, $bytes:expr, $block:block, $($at:literal)*) => {
        $(if $at < $bytes {
            const $distance: usize = $at;
            $block
        })*
    };
}

impl Frame for Packet {
    #[inline(always)]
    fn len(&self) -> usize {
        self.len
    }

    #[inline(always)]
    fn read<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        const { assert!(N.is_multiple_of(4) && N <= 40) };
        let start = self.pointer(at, N)?;
        let mut bytes = [0; N];
        for_each_word!(DISTANCE, N, {
            // SAFETY: the four bytes lie inside the N from `start` that the packet has.
            let word = unsafe { load::<DISTANCE>(start) };
            bytes[DISTANCE..DISTANCE + 4].copy_from_slice(&word.to_ne_bytes());
        });
        Some(bytes)
    }

    #[inline(always)]
    fn words<const N: usize>(&self, at: usize) -> Option<[u32; N]> {
        const { assert!(N <= 10) };
        let start = self.pointer(at, 4 * N)?;
        let mut words = [0; N];
        for_each_word!(DISTANCE, 4 * N, {
            // SAFETY: the word is one of the N from `start` that the packet has.
            words[DISTANCE / 4] = unsafe { load::<DISTANCE>(start) };
        });
        Some(words)
    }

    #[inline(always)]
    fn forget(&self, value: u64) -> u64 {
        // Of the length of a socket buffer the verifier knows that it has 32 bits.
        forget(value, self.data_end - self.data)
    }

    #[inline(always)]
    fn head<const N: usize>(&self) -> Option<[u8; N]> {
        self.pointer(0, N).map(|start| {
            let start: *const Even<N> = start.cast();
            // SAFETY: the N bytes from `start` lie between `data` and `data_end`, which the verifier checks once more, and the kernel
            // places frames at even addresses.
            unsafe { (*start).0 }
        })
    }

    #[inline(always)]
    fn pair(&self, at: usize) -> Option<[u8; 2]> {
        // SAFETY: as above; bytes need no alignment.
        self.pointer(at, 2).map(|start| unsafe { *start.cast() })
    }
}

/// The word `DISTANCE` bytes behind an address.
///
/// As an instruction, because Rust's own loads promise the compiler an alignment, and without that promise it loads byte by byte. The kernel
/// needs none: headers start two bytes before a multiple of four, as it expects where alignment matters (`NET_IP_ALIGN`), and the verifier
/// refuses the program where that is not enough.
///
/// # Safety
/// The four bytes are the packet's.
#[inline(always)]
unsafe fn load<const DISTANCE: usize>(start: *const u8) -> u32 {
    let word: u64;
    // SAFETY: one load of memory that the caller vouches for.
    unsafe {
        asm!(
            "{word} = *(u32 *)({start} + {distance})",
            word = out(reg) word,
            start = in(reg) start,
            distance = const DISTANCE,
            options(pure, readonly, nostack, preserves_flags)
        );
    }
    // SAFETY: BPF's loads of four bytes extend with zeros. The compiler would clear the other bytes once more.
    unsafe { assert_unchecked(word <= u32::MAX as u64) };
    word as u32
}

/// Bytes at an even address, which are loaded in pairs.
#[repr(C, align(2))]
struct Even<const N: usize>([u8; N]);

impl Packet {
    /// Where the `len` bytes at `at` are, if the packet has them. There are at least 2: for 1 the compiler writes `start >= data_end`,
    /// from which the verifier learns nothing.
    #[inline(always)]
    fn pointer(&self, at: usize, len: usize) -> Option<*const u8> {
        let (mut at, mut data_end) = (at, self.data_end);
        // An offset that the compiler knows needs none of this: the packets without tags and options.
        if !is_val_statically_known(at) {
            // SAFETY: one instruction, which changes nothing: no offset is larger. It tells the verifier so, and it hides where the values
            // come from, or the compiler compares with `data_end - len`, arithmetic that the verifier forbids, and makes `at` a
            // difference whose lower bound the verifier loses.
            unsafe {
                asm!(
                    "{at} &= {max} /* {data_end} */",
                    at = inout(reg) at,
                    max = const MAX_OFFSET,
                    data_end = inout(reg) data_end,
                    options(pure, nomem, nostack, preserves_flags)
                );
            }
        }
        let start = self.data + at;
        if start + len > data_end { None } else { Some(start as *const u8) }
    }
}
