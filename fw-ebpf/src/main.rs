//! The kernel side of `fw`: an XDP program that judges what comes in, and a TC program that notes what leaves.
//!
//! Both are thin: they turn the context into a [`fw_common::Frame`], the maps into [`fw_common::Lookups`], call
//! fw-common, and count.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch, core_intrinsics)]
#![expect(internal_features, reason = "whether the compiler knows an offset has no other name")]

mod clock;
mod count;
mod egress;
mod flows;
mod frame;
mod ingress;
mod lookups;
mod maps;
mod record;
mod route;
mod slot;
mod verifier;

/// The kernel wants a licence it knows; the helpers in use ask for one that is compatible with the GPL.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
