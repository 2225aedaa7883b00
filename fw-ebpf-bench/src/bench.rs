//! What the benchmarks measure with: the filter, cut off after each of its steps, and its dearest steps by themselves.
//!
//! The steps are the product's own source files, compiled here once more.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch, core_intrinsics)]
#![expect(internal_features, reason = "whether the compiler knows an offset has no other name")]

#[path = "../../fw-ebpf/src/bans.rs"]
mod bans;
#[path = "../../fw-ebpf/src/capture.rs"]
mod capture;
#[path = "../../fw-ebpf/src/clock.rs"]
mod clock;
#[path = "../../fw-ebpf/src/field.rs"]
mod field;
#[path = "../../fw-ebpf/src/flows.rs"]
mod flows;
#[path = "../../fw-ebpf/src/frame.rs"]
mod frame;
#[expect(dead_code, reason = "only XDP is measured here")]
#[path = "../../fw-ebpf/src/hook.rs"]
mod hook;
#[path = "../../fw-ebpf/src/lookups.rs"]
mod lookups;
#[expect(dead_code, reason = "nothing is recorded here")]
#[path = "../../fw-ebpf/src/maps.rs"]
mod maps;
#[path = "../../fw-ebpf/src/route.rs"]
mod route;
#[path = "../../fw-ebpf/src/slot.rs"]
mod slot;
#[path = "../../fw-ebpf/src/verifier.rs"]
mod verifier;

use aya_ebpf::{
    bindings::{
        xdp_action::{XDP_DROP, XDP_PASS},
        xdp_md,
    },
    macros::xdp,
    programs::XdpContext,
};
use fw_common::{
    AddressLookups, Decision, Lookups, PortProtocol, Verdict,
    abi::{CLASS_CLOSED, CLASS_OPEN, Sent},
    active::Active,
    address::{V4, V6},
    decide_located, decide_plain,
    flow::{Direction, FlowClass, FlowKey4, FlowKey6, FlowKind},
    judge_located,
    wire::{Addresses, ethernet::Tags, located::Located},
};

use crate::{
    clock::{now, ticks},
    frame::Packet,
    hook::{Xdp, network},
    lookups::{Maps, active},
    maps::{FLOWS4, FLOWS6},
    verifier::whole,
};

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[inline(always)]
fn locate(ctx: *mut xdp_md) -> Located {
    Located::locate(&Packet::from_xdp(&XdpContext::new(whole(ctx))), network::<Xdp>(ctx.cast()))
}

/// Drops every packet unseen: the cost of calling a program at all.
#[xdp]
pub fn empty(_ctx: XdpContext) -> u32 {
    XDP_DROP
}

/// Parses and decides as the filter does, with a policy in its code, every flow known, and no map at all.
#[xdp]
pub fn parse(ctx: XdpContext) -> u32 {
    #[inline(never)]
    fn judge(ctx: *mut xdp_md) -> Decision {
        decide_located(&Packet::from_xdp(&XdpContext::new(whole(ctx))), locate(ctx), &InCode)
    }
    verdict(decide_plain(&Packet::from_xdp(&ctx), &InCode).unwrap_or_else(|| judge(ctx.ctx)))
}

/// The filter's decision with these look-ups, in the same parts as in the product: the kernel allows 512 bytes of stack.
macro_rules! decided {
    ($ctx:ident, $lookups:expr) => {{
        #[inline(never)]
        fn judge(ctx: *mut xdp_md, active: Active) -> Decision {
            let located = locate(ctx);
            let ctx = XdpContext::new(whole(ctx));
            judge_located(&Packet::from_xdp(&ctx), located, &$lookups(Maps::<Xdp>::of(&ctx, active)))
        }

        #[inline(never)]
        fn answers_many(ctx: *mut xdp_md, active: Active, decision: Decision) -> u64 {
            let ctx = XdpContext::new(whole(ctx));
            let lookups = $lookups(Maps::<Xdp>::of(&ctx, active));
            u64::from(fw_common::answers_many(&Packet::from_xdp(&ctx), decision, &lookups))
        }

        #[inline(never)]
        fn settle(ctx: *mut xdp_md, active: Active, decision: Decision) -> Decision {
            let ctx = XdpContext::new(whole(ctx));
            fw_common::settle(&Packet::from_xdp(&ctx), decision, &$lookups(Maps::<Xdp>::of(&ctx, active)))
        }

        let active = active();
        let packet = || Packet::from_xdp(&$ctx);
        let lookups = $lookups(Maps::<Xdp>::of(&$ctx, active));
        let decision = decide_plain(&packet(), &lookups).unwrap_or_else(|| judge($ctx.ctx, active));
        if !decision.is_unsettled(&lookups) {
            decision.as_it_is()
        } else if decision.may_answer_many() && answers_many($ctx.ctx, active, decision.forgotten(&packet())) != 0 {
            Decision::ANSWER
        } else {
            settle($ctx.ctx, active, decision.forgotten(&packet()))
        }
    }};
}

/// The same with the policy and the ports that something was sent from, from their maps.
#[xdp]
pub fn policy(ctx: XdpContext) -> u32 {
    verdict(decided!(ctx, PolicyAlone))
}

/// The same with flows and routes: the whole decision, of which nothing is counted.
#[xdp]
pub fn decision(ctx: XdpContext) -> u32 {
    verdict(decided!(ctx, core::convert::identity))
}

/// Reads the clock that flows are aged by.
#[xdp]
pub fn clock(_ctx: XdpContext) -> u32 {
    drop_if(now() != 0)
}

/// Reads the clock that remembered routes are aged by, and records held back.
#[xdp]
pub fn tick(_ctx: XdpContext) -> u32 {
    drop_if(ticks() != 0)
}

/// Asks for the CPU's number.
#[xdp]
pub fn cpu(_ctx: XdpContext) -> u32 {
    drop_if(slot::cpu() != u32::MAX)
}

/// Looks the IPv4 flow up that is all zeros.
#[xdp]
pub fn flow4(_ctx: XdpContext) -> u32 {
    drop_if(FLOWS4.get_ptr_mut(FlowKey4 { remote: 0, local: 0, ports: 0, class: 0 }).is_some())
}

/// Looks the IPv6 flow up that is all zeros.
#[xdp]
pub fn flow6(_ctx: XdpContext) -> u32 {
    drop_if(FLOWS6.get_ptr_mut(FlowKey6 { remote: [0; 4], local: [0; 4], ports: 0, class: 0 }).is_some())
}

#[inline(always)]
fn verdict(decision: Decision) -> u32 {
    drop_if(matches!(decision.verdict(), Verdict::Drop))
}

#[inline(always)]
fn drop_if(condition: bool) -> u32 {
    if condition { XDP_DROP } else { XDP_PASS }
}

/// Look-ups with the policy given in three methods. All others give the answers that lead farthest: every flow is known, and no packet is routed
/// on.
macro_rules! known {
    ($lookups:ty { $($policy:tt)* }) => {
        impl Lookups for $lookups {
            $($policy)*

            #[inline(always)]
            fn mark_sent(&self, _: PortProtocol, _: u16, _: FlowKind) {}

            #[inline(always)]
            fn has_bans(&self) -> bool {
                false
            }

            #[inline(always)]
            fn has_limits(&self) -> bool {
                false
            }

            #[inline(always)]
            fn exceeds_ping_limit(&self) -> bool {
                false
            }

            #[inline(always)]
            fn interface(&self) -> u32 {
                0
            }

            #[inline(always)]
            fn names_networks(&self) -> bool {
                false
            }

            #[inline(always)]
            fn sent_portless(&self, _: u8) -> bool {
                false
            }

            #[inline(always)]
            fn mark_sent_portless(&self, _: u8) {}
        }
        known!($lookups, V4, FlowKey4);
        known!($lookups, V6, FlowKey6);
    };
    ($lookups:ty, $address:ty, $key:ty) => {
        impl AddressLookups<$address> for $lookups {
            #[inline(always)]
            fn is_in_class(&self, _: u16, _: $address) -> bool {
                true
            }

            #[inline(always)]
            fn exceeds_limit(&self, _: u16, _: u32, _: $address) -> bool {
                false
            }

            #[inline(always)]
            fn is_banned(&self, _: $address) -> bool {
                false
            }

            #[inline(always)]
            fn may_be_on_link(&self, _: Tags, _: $address) -> bool {
                true
            }

            #[inline(always)]
            fn is_forwarded(&self, _: Tags, _: &Addresses<$address>) -> bool {
                false
            }

            #[inline(always)]
            fn find_flow(&self, _: &$key, _: FlowClass, _: Direction) -> bool {
                true
            }

            #[inline(always)]
            fn insert_flow(&self, _: &$key, _: FlowClass) {}
        }
    };
}

/// The policy of the benchmarks without its map.
struct InCode;

known! {
    InCode {
        #[inline(always)]
        fn class(&self, _: PortProtocol, port: u16) -> u16 {
            if port == 80 { CLASS_OPEN } else { CLASS_CLOSED }
        }

        #[inline(always)]
        fn allows_protocol(&self, _: u8) -> bool {
            false
        }

        #[inline(always)]
        fn sent(&self, _: PortProtocol, port: u16) -> Sent {
            Sent { unicast: u8::from(port == 40_000), multicast: 0 }
        }
    }
}

/// The maps of the policy alone.
struct PolicyAlone<'a>(Maps<'a, Xdp>);

known! {
    PolicyAlone<'_> {
        #[inline(always)]
        fn class(&self, protocol: PortProtocol, port: u16) -> u16 {
            self.0.class(protocol, port)
        }

        #[inline(always)]
        fn allows_protocol(&self, protocol: u8) -> bool {
            self.0.allows_protocol(protocol)
        }

        #[inline(always)]
        fn sent(&self, protocol: PortProtocol, port: u16) -> Sent {
            self.0.sent(protocol, port)
        }
    }
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
