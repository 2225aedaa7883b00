//! The bounded reads from packet memory.

use core::{arch::asm, hint::assert_unchecked, intrinsics::is_val_statically_known};

use aya_ebpf::{
    bindings::xdp_md,
    helpers::generated::bpf_xdp_get_buff_len,
    programs::{TcContext, XdpContext},
};
use fw_common::Frame;

use crate::verifier::forget;

/// No header has a larger offset: two tags, an IPv6 header, the longest chain and one extension header of 2,048 bytes end well below. The verifier
/// allows 65,535 bytes and needs a bound.
const MAX_OFFSET: usize = 0x7fff;

/// Packet memory between two addresses from the kernel.
pub(crate) struct Packet {
    data: usize,
    data_end: usize,
    length: Length,
}

/// Where the length of a packet stands.
enum Length {
    Known(usize),
    /// With the kernel. Asked for only where it counts, because that is a call.
    InKernel(*mut xdp_md),
}

impl Packet {
    /// A frame of a program that the kernel gives no fragments.
    #[inline(always)]
    pub(crate) fn from_xdp(ctx: &XdpContext) -> Self {
        let (data, data_end) = (ctx.data(), ctx.data_end());
        Self { data, data_end, length: Length::Known(data_end - data) }
    }

    /// A frame that may have fragments, of which only the first part can be read.
    #[inline(always)]
    pub(crate) fn from_xdp_frags(ctx: &XdpContext) -> Self {
        Self { length: Length::InKernel(ctx.ctx), ..Self::from_xdp(ctx) }
    }

    /// Only the linear part of a socket buffer can be read; the length is that of the whole packet. The first `skipped` bytes do not belong to it.
    #[inline(always)]
    pub(crate) fn from_tc(ctx: &TcContext, skipped: usize) -> Self {
        let length = Length::Known(ctx.len() as usize - skipped);
        Self { data: ctx.data() + skipped, data_end: ctx.data_end(), length }
    }
}

/// A block for each word among the first `$bytes` bytes behind `$start`, which the packet has. Spelled out, because a word's distance from
/// there is part of the instruction.
macro_rules! for_each_word {
    ($start:expr, $bytes:expr, |$distance:ident, $word:ident| $block:block) => {
        for_each_word!(@ $start, $bytes, $distance, $word, $block, 0 4 8 12 16 20 24 28 32 36)
    };
    (@ $start:expr, $bytes:expr, $distance:ident, $word:ident, $block:block, $($at:literal)*) => {
        $(if $at < $bytes {
            const $distance: usize = $at;
            // SAFETY: the four bytes are among those that the packet has.
            let $word = unsafe { load::<$distance>($start) };
            $block
        })*
    };
}

impl Frame for Packet {
    #[inline(always)]
    fn len(&self) -> usize {
        match self.length {
            Length::Known(length) => length,
            // SAFETY: it is the context of this program.
            Length::InKernel(ctx) => unsafe { bpf_xdp_get_buff_len(ctx) as usize },
        }
    }

    #[inline(always)]
    fn read<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        const { assert!(N.is_multiple_of(4) && N <= 40) };
        let start = self.pointer(at, N)?;
        let mut bytes = [0; N];
        for_each_word!(start, N, |DISTANCE, word| {
            bytes[DISTANCE..DISTANCE + 4].copy_from_slice(&word.to_ne_bytes());
        });
        Some(bytes)
    }

    #[inline(always)]
    fn words<const N: usize>(&self, at: usize) -> Option<[u32; N]> {
        const { assert!(N <= 10) };
        let start = self.pointer(at, 4 * N)?;
        let mut words = [0; N];
        for_each_word!(start, 4 * N, |DISTANCE, word| {
            words[DISTANCE / 4] = word;
        });
        Some(words)
    }

    #[inline(always)]
    fn forget(&self, value: u64) -> u64 {
        // The verifier knows that the length of a socket buffer has 32 bits, so it is no salt.
        forget(value, self.data_end - self.data)
    }

    #[inline(always)]
    fn head<const N: usize>(&self) -> Option<[u8; N]> {
        // The kernel places frames at even addresses.
        self.copy(0).map(|Even(bytes)| bytes)
    }

    #[inline(always)]
    fn pair(&self, at: usize) -> Option<[u8; 2]> {
        self.copy(at)
    }
}

impl Packet {
    /// Overwrite the words from offset `at`; returns whether the packet has them.
    #[inline(always)]
    pub(crate) fn write<const N: usize>(&self, at: usize, words: &[u32; N]) -> bool {
        const { assert!(N <= 10) };
        let Some(start) = self.pointer(at, 4 * N) else { return false };
        for_each_word!(start, 4 * N, |DISTANCE, _word| {
            // SAFETY: the four bytes are among those that the packet has.
            unsafe { store::<DISTANCE>(start, words[DISTANCE / 4]) };
        });
        true
    }
}

/// Set the word `DISTANCE` bytes behind an address, in one instruction as [`load`].
///
/// # Safety
/// The four bytes are the packet's.
#[inline(always)]
unsafe fn store<const DISTANCE: usize>(start: *const u8, word: u32) {
    // SAFETY: one store to memory that the caller guarantees.
    unsafe {
        asm!(
            "*(u32 *)({start} + {distance}) = {word}",
            word = in(reg) u64::from(word),
            start = in(reg) start,
            distance = const DISTANCE,
            options(nostack, preserves_flags)
        );
    }
}

/// The word `DISTANCE` bytes behind an address.
///
/// Written as an instruction: Rust's own loads need an alignment, and an unaligned load becomes a load of each byte. The kernel needs no alignment.
/// Headers start two bytes before a multiple of four, as it expects where alignment matters (`NET_IP_ALIGN`), and otherwise the verifier refuses the
/// program.
///
/// # Safety
/// The four bytes are the packet's.
#[inline(always)]
unsafe fn load<const DISTANCE: usize>(start: *const u8) -> u32 {
    let word: u64;
    // SAFETY: one load of memory that the caller guarantees.
    unsafe {
        asm!(
            "{word} = *(u32 *)({start} + {distance})",
            word = out(reg) word,
            start = in(reg) start,
            distance = const DISTANCE,
            options(pure, readonly, nostack, preserves_flags)
        );
    }
    // SAFETY: BPF's loads of four bytes fill the upper half with zeros. The compiler would otherwise clear it again.
    unsafe { assert_unchecked(word <= u32::MAX as u64) };
    word as u32
}

/// Bytes at an even address, which are loaded in pairs.
#[derive(Clone, Copy)]
#[repr(C, align(2))]
struct Even<const N: usize>([u8; N]);

/// Types of which any bytes are a value.
trait Bytes: Copy {}
impl<const N: usize> Bytes for Even<N> {}
impl Bytes for [u8; 2] {}

impl Packet {
    /// The bytes at `at`, if the packet has them, at an address that is as even as the type needs.
    #[inline(always)]
    fn copy<T: Bytes>(&self, at: usize) -> Option<T> {
        // SAFETY: the bytes lie between `data` and `data_end`, which the verifier checks once more.
        self.pointer(at, size_of::<T>()).map(|start| unsafe { *start.cast() })
    }

    /// The address of the `len` bytes at `at`, if the packet has them. `len` is at least 2: for 1 the compiler writes `start >= data_end`, from which
    /// the verifier learns nothing.
    #[inline(always)]
    fn pointer(&self, at: usize, len: usize) -> Option<*const u8> {
        let (mut at, mut data_end) = (at, self.data_end);
        // A constant offset needs none of this: the packets without tags and options.
        if !is_val_statically_known(at) {
            // SAFETY: one instruction, which changes nothing, because no offset is larger. It tells the verifier the bound, and hides from the
            // compiler where the values come from. Otherwise the compiler compares with `data_end - len`, which the verifier forbids, and makes `at`
            // a difference whose lower bound the verifier loses.
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
