//! Traffic for the benchmarks: a source of it, by live frames of `BPF_PROG_TEST_RUN` (Linux 5.18), and what lets all or nothing of it in.
//! Never part of the product.
#![no_std]
#![no_main]

use core::{
    ffi::c_void,
    ptr::{read_volatile, write_volatile},
};

use aya_ebpf::{
    bindings::{
        TC_ACT_UNSPEC,
        xdp_action::{XDP_DROP, XDP_PASS},
    },
    helpers::{bpf_get_prandom_u32, bpf_ktime_get_ns, bpf_redirect},
    macros::xdp,
    programs::XdpContext,
};

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

/// 32-bit words of a frame of the smallest size that Ethernet knows.
const WORDS: usize = 60 / 4;
/// Where an IPv4 header without options has the source port behind it.
const SOURCE_PORT: usize = 14 + 20;

/// What is sent. This and the next two are set when the program is loaded.
#[unsafe(no_mangle)]
static FRAME: [u32; WORDS] = [0; WORDS];
/// Where it leaves.
#[unsafe(no_mangle)]
static INTERFACE: u32 = 0;
/// Nanoseconds from one frame to the next, or 0 for as many as can be.
#[unsafe(no_mangle)]
static INTERVAL: u64 = 0;

/// Nanoseconds from one handful to the next. Network cards gather for about as long before they interrupt.
const TICK: u64 = 1 << 15;
/// When the next frame is due.
static mut DUE: u64 = 0;

/// Sends [`FRAME`] out of [`INTERFACE`], each time from another source port.
///
/// The kernel hands the same few pages round, as those who received them left them: a frame is written anew each time.
#[xdp]
pub fn flood(ctx: XdpContext) -> u32 {
    // SAFETY: variables of this very program, which runs on one CPU at a time. They are read as they are in the object that was loaded,
    // not as the compiler knows them; the helper takes nothing.
    unsafe {
        let interval = read_volatile(&raw const INTERVAL);
        if interval != 0 {
            let (now, due) = (bpf_ktime_get_ns() & !(TICK - 1), read_volatile(&raw const DUE));
            if now < due {
                return XDP_DROP;
            }
            // What was missed is not made up for beyond a tick: that would be a burst.
            write_volatile(&raw mut DUE, due.max(now.saturating_sub(TICK)) + interval);
        }
    }
    let start = ctx.data();
    if start + 4 * WORDS > ctx.data_end() {
        return XDP_DROP;
    }
    for index in 0..WORDS {
        let word = (start + 4 * index) as *mut u32;
        // SAFETY: the words lie between `data` and `data_end`, BPF needs no alignment, and the variable is this program's.
        unsafe { word.write_unaligned(read_volatile((&raw const FRAME).cast::<u32>().add(index))) };
    }
    let port = (start + SOURCE_PORT) as *mut [u8; 2];
    // SAFETY: both bytes lie inside the words above, and helpers may always be called.
    unsafe {
        *port = (bpf_get_prandom_u32() as u16).to_ne_bytes();
        bpf_redirect(read_volatile(&raw const INTERFACE), 0) as u32
    }
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

/// Passes every packet unseen, at TC ingress. Spelled out as fw-ebpf's own, for the same reason.
#[unsafe(no_mangle)]
#[unsafe(link_section = "classifier")]
pub fn pass_tc(_skb: *mut c_void) -> i32 {
    TC_ACT_UNSPEC
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
