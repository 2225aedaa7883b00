//! The clocks.

use aya_ebpf::{
    Global,
    helpers::{
        bpf_ktime_get_ns,
        generated::{bpf_jiffies64, bpf_ktime_get_boot_ns, bpf_ktime_get_coarse_ns},
    },
};

use crate::slot::ask;

/// 1 where the kernel has `bpf_ktime_get_coarse_ns` (5.11). The verifier sees a constant and drops the other branch.
#[unsafe(no_mangle)]
static COARSE_CLOCK: Global<u8> = Global::new(1);

/// Nanoseconds of `CLOCK_MONOTONIC`, from the coarse clock if the kernel has it: it costs a seventh.
#[inline(always)]
pub(crate) fn now() -> u64 {
    if COARSE_CLOCK.load() == 1 { ask!(bpf_ktime_get_coarse_ns) } else { exactly_now() }
}

/// Nanoseconds of `CLOCK_MONOTONIC`.
#[inline(always)]
pub(crate) fn exactly_now() -> u64 {
    ask!(bpf_ktime_get_ns)
}

/// Nanoseconds of `CLOCK_BOOTTIME`, which counts suspend (5.8).
#[inline(always)]
pub(crate) fn since_boot() -> u64 {
    ask!(bpf_ktime_get_boot_ns)
}

/// The kernel's clock in ticks of `1 / CONFIG_HZ` seconds. The kernel replaces the call with a load (5.6).
#[inline(always)]
pub(crate) fn ticks() -> u64 {
    ask!(bpf_jiffies64)
}
