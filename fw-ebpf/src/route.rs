//! Whether a packet would be routed on: `bpf_fib_lookup`, remembered for about a second.

use core::mem;

use aya_ebpf::{
    EbpfContext,
    bindings::{
        BPF_FIB_LKUP_RET_FRAG_NEEDED, BPF_FIB_LKUP_RET_FWD_DISABLED, BPF_FIB_LKUP_RET_NO_NEIGH,
        BPF_FIB_LKUP_RET_SUCCESS, BPF_FIB_LKUP_RET_UNSUPP_LWT, bpf_fib_lookup as FibLookup,
    },
    helpers::generated::{bpf_fib_lookup, bpf_get_smp_processor_id},
};
use fw_common::{
    abi::{ROUTE_LIFETIME, ROUTES_PER_CPU, Route},
    address::{Address, V4, V6, is_link_local, mapped},
    wire::Addresses,
};

use crate::{clock::ticks, maps::ROUTES};

/// Linux's number for IPv4 in a routing request.
const AF_INET: u8 = 2;
/// Linux's number for IPv6 in a routing request.
const AF_INET6: u8 = 10;
/// The index of the loopback interface, the same in every network namespace.
const LOOPBACK: u32 = 1;

/// Whether the routing table would send an IPv4 packet that came in on `ifindex` on to another machine or container. Multicast and
/// broadcast stay here.
#[inline(always)]
pub(crate) fn leads_elsewhere4<C: EbpfContext>(ctx: &C, ifindex: u32, addresses: &Addresses<V4>) -> bool {
    let Addresses { source, destination } = *addresses;
    !destination.is_multicast()
        && remembered(mapped(destination), [source, 0], |source| {
            let mut params = request(AF_INET, ifindex);
            params.__bindgen_anon_3.ipv4_src = source;
            params.__bindgen_anon_4.ipv4_dst = destination;
            is_way_out(ask(ctx, &mut params))
        })
}

/// The same for IPv6. A link-local sender's packets are never routed on (RFC 4291, 2.5.6), others' are where `all` interfaces forward, whatever
/// this one says, which may be off so that it hears router advertisements. The helper heeds this one alone; loopback says what `all` do.
#[inline(always)]
pub(crate) fn leads_elsewhere6<C: EbpfContext>(ctx: &C, ifindex: u32, addresses: &Addresses<V6>) -> bool {
    let Addresses { source, destination } = *addresses;
    !destination.is_multicast()
        && !is_link_local(source)
        && remembered(destination, [source, [0; 4]], |source| {
            let mut params = request(AF_INET6, ifindex);
            params.__bindgen_anon_3.ipv6_src = source;
            params.__bindgen_anon_4.ipv6_dst = destination;
            let mut answer = ask(ctx, &mut params);
            if answer == BPF_FIB_LKUP_RET_FWD_DISABLED {
                params.ifindex = LOOPBACK;
                answer = ask(ctx, &mut params);
            }
            is_way_out(answer)
        })
}

/// The answer for a destination is believed for [`ROUTE_LIFETIME`], whoever sends. So it is remembered only where it does not depend on the
/// sender, or keeps packets out: that a rule of routing forbids one sender's must not open a container to the others. Nobody in particular,
/// an address of zeros, meets no such rule. Each CPU has slots of its own. An empty one is as old as the kernel's ticks, which begin near 2^32.
#[inline(always)]
fn remembered<A>(destination: V6, [source, nobody]: [A; 2], ask: impl Fn(A) -> bool) -> bool {
    // SAFETY: the helper takes no argument.
    let cpu = unsafe { bpf_get_smp_processor_id() };
    let [.., last] = destination;
    let hash = last ^ (last >> 16);
    let slot = (hash ^ (hash >> 8)) % ROUTES_PER_CPU;
    let Some(route) = ROUTES.get_ptr_mut(cpu * ROUTES_PER_CPU + slot) else { return true };
    // SAFETY: the map's value is alive while the program runs, and the slot is this CPU's: nothing else runs on it meanwhile.
    let route = unsafe { &mut *route };
    let now = ticks();
    if route.destination != destination || now.wrapping_sub(route.asked) >= ROUTE_LIFETIME {
        let forwarded = ask(source);
        if !forwarded && ask(nobody) {
            return false;
        }
        *route = Route { destination, asked: now, forwarded: u64::from(forwarded) };
    }
    route.forwarded != 0
}

#[inline(always)]
fn request(family: u8, ifindex: u32) -> FibLookup {
    // SAFETY: a structure of integers and unions of integers, for which zero is a value.
    let mut params: FibLookup = unsafe { mem::zeroed() };
    params.family = family;
    params.ifindex = ifindex;
    params
}

#[inline(always)]
fn ask<C: EbpfContext>(ctx: &C, params: &mut FibLookup) -> u32 {
    // SAFETY: the context is this program's own, the parameters are writable and as long as said.
    let answer = unsafe { bpf_fib_lookup(ctx.as_ptr(), params, mem::size_of::<FibLookup>() as i32, 0) };
    answer as u32
}

/// Found a way out, even where the neighbour's address or the tunnel's is not known yet, or the packet is too large for it. Not forwarded,
/// forbidden, unreachable, or no forwarding at all: the packet ends here.
#[inline(always)]
fn is_way_out(answer: u32) -> bool {
    matches!(
        answer,
        BPF_FIB_LKUP_RET_SUCCESS
            | BPF_FIB_LKUP_RET_UNSUPP_LWT
            | BPF_FIB_LKUP_RET_NO_NEIGH
            | BPF_FIB_LKUP_RET_FRAG_NEEDED
    )
}
