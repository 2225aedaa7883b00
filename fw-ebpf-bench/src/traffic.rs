//! Traffic for the benchmarks: a source of it, by live frames of `BPF_PROG_TEST_RUN` (Linux 5.18), and what lets all or nothing of it in.
#![no_std]
#![no_main]

use core::sync::atomic::AtomicU64;

use aya_ebpf::{
    Global,
    bindings::xdp_action::{XDP_DROP, XDP_PASS},
    helpers::{bpf_get_prandom_u32, bpf_ktime_get_ns, bpf_redirect},
    macros::xdp,
    programs::XdpContext,
};

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

/// 32-bit words of a frame of the smallest size that Ethernet knows.
const WORDS: usize = 60 / 4;

/// What is sent. This and the next three are set when the program is loaded.
#[unsafe(no_mangle)]
static FRAME: Global<[u32; WORDS]> = Global::new([0; WORDS]);
/// The bits of it that are random.
#[unsafe(no_mangle)]
static RANDOM: Global<[u32; WORDS]> = Global::new([0; WORDS]);
/// Where it leaves.
#[unsafe(no_mangle)]
static INTERFACE: Global<u32> = Global::new(0);
/// Nanoseconds from one frame to the next, or 0 for as many as can be.
#[unsafe(no_mangle)]
static INTERVAL: Global<u64> = Global::new(0);

/// Nanoseconds from one handful to the next. Network cards gather for about as long before they interrupt.
const TICK: u64 = 1 << 15;
/// When the next frame is due.
static DUE: AtomicU64 = AtomicU64::new(0);

/// Sends [`FRAME`] out of [`INTERFACE`], each time with other [`RANDOM`] bits.
///
/// The kernel hands the same few pages round, as those who received them left them: a frame is written anew each time.
#[xdp]
pub fn flood(ctx: XdpContext) -> u32 {
    let interval = INTERVAL.load();
    if interval != 0 {
        // SAFETY: the helper takes no argument.
        let now = unsafe { bpf_ktime_get_ns() } & !(TICK - 1);
        // SAFETY: nothing else runs on the one CPU that sends. Volatile, because LLVM has no atomic load for this version of BPF.
        let due = unsafe { DUE.as_ptr().read_volatile() };
        if now < due {
            return XDP_DROP;
        }
        // What was missed is not made up for beyond a tick: that would be a burst.
        // SAFETY: as above.
        unsafe { DUE.as_ptr().write_volatile(due.max(now.saturating_sub(TICK)) + interval) };
    }
    let start = ctx.data();
    if start + 4 * WORDS > ctx.data_end() {
        return XDP_DROP;
    }
    // SAFETY: the helper takes no argument.
    let random = unsafe { bpf_get_prandom_u32() };
    for (index, (word, mask)) in FRAME.load().into_iter().zip(RANDOM.load()).enumerate() {
        let word = word & !mask | random & mask;
        // SAFETY: the words lie between `data` and `data_end`, and BPF needs no alignment.
        unsafe { ((start + 4 * index) as *mut u32).write_unaligned(word) };
    }
    // SAFETY: the helper takes numbers alone.
    unsafe { bpf_redirect(INTERFACE.load(), 0) as u32 }
}

/// Drops every packet unseen: what the kernel takes for itself.
#[xdp]
pub fn drop(_ctx: XdpContext) -> u32 {
    XDP_DROP
}

/// Passes every packet unseen.
#[xdp]
pub fn pass(_ctx: XdpContext) -> u32 {
    XDP_PASS
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
