//! What the kernel's verifier and the compiler require of the packet path, and why.
//!
//! The verifier follows every path through a program and remembers what it knows of each register and stack slot. Where paths join, it continues once
//! for each different state. So:
//!
//! - Plain packets have a path of their own, inline, with constant offsets. All others are read in functions that take and return words
//!   ([`fw_common::wire::located`]), so that the many paths through each function join at its end.
//! - Each of these functions reads the packet's address from the context again, because the verified length differs between the paths.
//! - [`forget`] makes a value unknown where paths join. Masks belong at the end of a loop's round, where the next one begins.
//! - Nothing is cleared as a whole: the compiler makes a loop over bytes, and the verifier follows each round ([`Room`]).
//! - The functions are static. Global ones are verified once, but their context needs the kernel's BTF, which Raspberry Pi OS lacks.
//! - The functions of a call chain share a stack of 512 bytes, so large keys are made out of line.

use core::{arch::asm, mem::MaybeUninit};

/// The same value, of which the verifier knows nothing any more. `salt` is any value that the verifier does not know. A value from memory would cost
/// a load.
#[inline(always)]
pub(crate) fn forget(mut value: u64, salt: usize) -> u64 {
    // SAFETY: arithmetic on registers, which changes nothing.
    unsafe {
        asm!(
            "{value} ^= {salt}",
            "{value} ^= {salt}",
            value = inout(reg) value,
            salt = in(reg) salt,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    value
}

/// The same context. Otherwise the compiler moves a function's loads from the context to its caller and passes them as numbers of 32 bits, and the
/// verifier forbids arithmetic with the ends of a packet.
#[inline(always)]
#[expect(clippy::pointers_in_nomem_asm_block, reason = "the pointer is not followed")]
pub(crate) fn whole<T>(mut ctx: *mut T) -> *mut T {
    // SAFETY: copies a register to itself. An instruction, because the loader refuses a line without code.
    unsafe { asm!("{ctx} = {ctx}", ctx = inout(reg) ctx, options(nomem, nostack, preserves_flags)) };
    ctx
}

/// The bits of a word that are in `MASK`. An instruction, because the compiler would otherwise test the single bits where they are used. Then the
/// verifier knows something else of the word on each path to here, and in Linux 6.1 follows the rest once for each path.
#[inline(always)]
pub(crate) fn settled<const MASK: u64>(mut word: u64) -> u64 {
    // SAFETY: arithmetic on a register.
    unsafe {
        asm!("{word} &= {mask}", word = inout(reg) word, mask = const MASK, options(pure, nomem, nostack));
    }
    word
}

/// Room for a structure of integers, aligned to eight bytes.
#[repr(C, align(8))]
pub(crate) struct Room<T>(MaybeUninit<T>);

impl<T: Copy> Room<T> {
    #[inline(always)]
    pub(crate) const fn new() -> Self {
        const { assert!(size_of::<T>().is_multiple_of(8)) };
        Self(MaybeUninit::uninit())
    }

    /// The structure filled with 0, written by the word.
    #[inline(always)]
    pub(crate) fn cleared(&mut self) -> &mut T {
        let words: *mut u64 = self.0.as_mut_ptr().cast();
        for index in 0..size_of::<T>() / 8 {
            // SAFETY: the word is one of the structure's.
            unsafe { words.wrapping_add(index).write_volatile(0) };
        }
        // SAFETY: the structures are of integers and of unions of integers, for which zero is a value.
        unsafe { self.0.assume_init_mut() }
    }
}
