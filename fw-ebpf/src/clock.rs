//! The clocks.

use aya_ebpf::{
    Global,
    helpers::{
        bpf_ktime_get_ns,
        generated::{bpf_jiffies64, bpf_ktime_get_coarse_ns},
    },
};

/// 1 where the kernel has `bpf_ktime_get_coarse_ns` (5.11). A constant to the verifier, which drops the other branch.
#[unsafe(no_mangle)]
static COARSE_CLOCK: Global<u8> = Global::new(1);

/// Nanoseconds of `CLOCK_MONOTONIC`, read coarsely where the kernel can: that costs a seventh.
#[inline(always)]
pub(crate) fn now() -> u64 {
    if COARSE_CLOCK.load() == 1 {
        // SAFETY: the helper takes no argument.
        unsafe { bpf_ktime_get_coarse_ns() }
    } else {
        exactly_now()
    }
}

/// Nanoseconds of `CLOCK_MONOTONIC`.
#[inline(always)]
pub(crate) fn exactly_now() -> u64 {
    // SAFETY: the helper takes no argument.
    unsafe { bpf_ktime_get_ns() }
}

/// The kernel's clock in ticks of `1 / CONFIG_HZ` seconds. The kernel makes the call a load in place (5.6).
#[inline(always)]
pub(crate) fn ticks() -> u64 {
    // SAFETY: the helper takes no argument.
    unsafe { bpf_jiffies64() }
}
