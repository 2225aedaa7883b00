//! The kernel side of `fw`: programs that judge what comes in, at XDP or at TC, and TC programs that note what leaves.
//!
//! All are thin: they turn the context into a [`fw_common::Frame`], the maps into [`fw_common::Lookups`], call
//! fw-common, and count.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch, core_intrinsics)]
#![expect(internal_features, reason = "whether the compiler knows an offset has no other name")]

mod capture;
mod clock;
mod count;
mod egress;
mod flows;
mod frame;
mod hook;
mod ingress;
mod ingress_tc;
mod lookups;
mod maps;
mod readable;
mod record;
mod route;
mod slot;
mod verdict;
mod verifier;

/// The kernel wants a licence it knows; the helpers in use ask for one that is compatible with the GPL.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
