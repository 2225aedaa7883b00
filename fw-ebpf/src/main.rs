//! The kernel side of `fw`: programs at XDP or TC that judge inbound packets, and TC programs that track outbound packets.
//!
//! All are thin: they wrap the context as a [`fw_common::Frame`] and the maps as [`fw_common::Lookups`], call fw-common, and count.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch, core_intrinsics)]
#![expect(internal_features, reason = "whether the compiler knows an offset has no other name")]

mod bans;
mod capture;
mod clock;
mod count;
mod egress;
mod field;
mod flows;
mod frame;
mod hook;
mod ingress;
mod ingress_tc;
mod lookups;
mod maps;
mod readable;
mod record;
mod refuse;
mod route;
mod slot;
mod verdict;
mod verifier;

/// The kernel needs a licence it knows, and some helpers need one that is compatible with the GPL.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
