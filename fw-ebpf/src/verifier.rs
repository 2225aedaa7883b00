//! What the kernel's verifier and the compiler force on the packet path, with the reasons.
//!
//! The verifier walks every way through a program and remembers what it knows of each register and stack slot; where ways meet, it goes on
//! once for every state that differs. So:
//!
//! - Plain packets have a path of their own, inline, on which the compiler knows every offset. All others are read in functions that take and
//!   return words ([`fw_common::wire::located`]): what is known on one of the many ways through each ends there.
//! - Each of these functions asks the context anew where the packet is: how much of it was seen to be there differs by the way.
//! - [`forget`] makes a value unknown where ways meet. Masks belong at the end of a loop's round, where the next one begins.
//! - Nothing is cleared as a whole: the compiler makes a loop over bytes of it, and the verifier goes through each ([`Room`]).
//! - The functions are static. Global ones are verified once, but their context needs the kernel's BTF, which Raspberry Pi OS lacks.
//! - The stack ends at 512 bytes for all functions that call each other; large keys are made out of line.

use core::{arch::asm, mem::MaybeUninit};

/// The same value, of which the verifier knows nothing any more. `salt` is any value that it does not know; a value from memory would cost
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

/// A context as it is. The compiler would have the caller of a function load what the function loads from it, as numbers of 32 bits, and the
/// verifier forbids arithmetic with the ends of a packet.
#[inline(always)]
#[expect(clippy::pointers_in_nomem_asm_block, reason = "the pointer is not followed")]
pub(crate) fn whole<T>(mut ctx: *mut T) -> *mut T {
    // SAFETY: a register into itself. An instruction, because the loader takes none for a line without code.
    unsafe { asm!("{ctx} = {ctx}", ctx = inout(reg) ctx, options(nomem, nostack, preserves_flags)) };
    ctx
}

/// The bits of a word that are in `MASK`. As an instruction, because the compiler would look at the single bits where they are used instead:
/// then the verifier knows other things of the word on each way to here, and in Linux 6.1 goes all that follows once a way.
#[inline(always)]
pub(crate) fn settled<const MASK: u64>(mut word: u64) -> u64 {
    // SAFETY: arithmetic on a register.
    unsafe {
        asm!("{word} &= {mask}", word = inout(reg) word, mask = const MASK, options(pure, nomem, nostack));
    }
    word
}

/// Room for a structure of integers, at an address that is even by the word.
#[repr(C, align(8))]
pub(crate) struct Room<T>(MaybeUninit<T>);

impl<T: Copy> Room<T> {
    #[inline(always)]
    pub(crate) const fn new() -> Self {
        const { assert!(size_of::<T>().is_multiple_of(8)) };
        Self(MaybeUninit::uninit())
    }

    /// The structure with 0 in all of it, written by the word.
    #[inline(always)]
    pub(crate) fn cleared(&mut self) -> &mut T {
        let words: *mut u64 = self.0.as_mut_ptr().cast();
        for index in 0..size_of::<T>() / 8 {
            // SAFETY: one of the words of the structure.
            unsafe { words.wrapping_add(index).write_volatile(0) };
        }
        // SAFETY: only structures of integers and of unions of integers are made room for, for which zero is a value.
        unsafe { self.0.assume_init_mut() }
    }
}
