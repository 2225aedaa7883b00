//! Whether a packet would be routed on to somewhere else: `bpf_fib_lookup`, remembered for about a second.

use core::ffi::c_void;

use aya_ebpf::{
    EbpfContext,
    bindings::{
        BPF_FIB_LKUP_RET_FRAG_NEEDED, BPF_FIB_LKUP_RET_FWD_DISABLED, BPF_FIB_LKUP_RET_NO_NEIGH,
        BPF_FIB_LKUP_RET_SUCCESS, BPF_FIB_LKUP_RET_UNSUPP_LWT, bpf_fib_lookup as FibLookup,
    },
    helpers::generated::bpf_fib_lookup,
};
use fw_common::{
    abi::{ROUTE_LIFETIME, ROUTES_PER_CPU, Route},
    address::{Address, V4, V6, is_link_local, mapped},
    wire::Addresses,
};

use crate::{
    clock::ticks,
    maps::ROUTES,
    slot::{cpu, slot},
    verifier::Room,
};

/// Linux's number for IPv4 in a routing request.
const AF_INET: u8 = 2;
/// Linux's number for IPv6 in a routing request.
const AF_INET6: u8 = 10;
/// The index of the loopback interface, the same in every network namespace.
const LOOPBACK: u32 = 1;

/// Whether the routing table would send an IPv4 packet that came in on `ifindex` out of another interface, to a machine or container there.
/// What would go back to the link that it came from is for somebody on that link: a macvlan's or ipvlan's container, a load balancer's
/// address, which the kernel does not count among this host's own. Multicast and broadcast stay here.
#[inline(always)]
pub(crate) fn leads_elsewhere4<C: EbpfContext>(ctx: &C, ifindex: u32, addresses: &Addresses<V4>) -> bool {
    let Addresses { source, destination } = *addresses;
    if destination.is_multicast() {
        return false;
    }
    let index = index_of(destination);
    remembered(index, mapped(destination))
        .unwrap_or_else(|| ask_anew4(ctx.as_ptr(), packed(ifindex, index), source, destination) != 0)
}

/// The same for IPv6. A link-local sender's packets are never routed on (RFC 4291, 2.5.6), others' are where `all` interfaces forward, whatever
/// this one says, which may be off so that it hears router advertisements. The helper heeds this one alone; loopback says what `all` do.
#[inline(always)]
pub(crate) fn leads_elsewhere6<C: EbpfContext>(ctx: &C, ifindex: u32, addresses: &Addresses<V6>) -> bool {
    if addresses.destination.is_multicast() || is_link_local(addresses.source) {
        return false;
    }
    let index = index_of(addresses.destination[3]);
    remembered(index, addresses.destination)
        .unwrap_or_else(|| ask_anew6(ctx.as_ptr(), packed(ifindex, index), addresses) != 0)
}

/// The slot of a destination with this last word. Each CPU has slots of its own.
#[inline(always)]
fn index_of(last: u32) -> u32 {
    let hash = last ^ (last >> 16);
    cpu() * ROUTES_PER_CPU + (hash ^ (hash >> 8)) % ROUTES_PER_CPU
}

/// The answer for a destination that was asked about in the last [`ROUTE_LIFETIME`] ticks. An empty slot is as old as the kernel's ticks, which
/// begin near 2^32.
#[inline(always)]
fn remembered(index: u32, destination: V6) -> Option<bool> {
    let Some(route) = ROUTES.get(index) else { return Some(true) };
    (route.destination == destination && ticks().wrapping_sub(route.asked) < ROUTE_LIFETIME)
        .then_some(route.forwarded != 0)
}

// Out of line: they are asked about once a second and destination, and one request has room on the stack.
//
// An answer is believed whoever sends. So it is remembered only where it does not depend on the sender, or keeps packets out: that a rule of
// routing forbids one sender's must not open a container to the others. Nobody in particular, an address of zeros, meets no such rule.

/// The interface and the slot in one argument.
#[inline(always)]
fn packed(ifindex: u32, index: u32) -> u64 {
    u64::from(ifindex) << 32 | u64::from(index)
}

#[inline(never)]
fn ask_anew4(ctx: *mut c_void, packed: u64, source: V4, destination: V4) -> u64 {
    let forwarded = ask4(ctx, packed, source, destination);
    if forwarded == 0 && ask4(ctx, packed, 0, destination) != 0 {
        return 0;
    }
    remember(packed as u32, mapped(destination), forwarded);
    forwarded
}

#[inline(never)]
fn ask_anew6(ctx: *mut c_void, packed: u64, addresses: &Addresses<V6>) -> u64 {
    let forwarded = ask6(ctx, packed, &addresses.source, &addresses.destination);
    if forwarded == 0 && ask6(ctx, packed, &NOBODY, &addresses.destination) != 0 {
        return 0;
    }
    remember(packed as u32, addresses.destination, forwarded);
    forwarded
}

static NOBODY: V6 = [0; 4];

#[inline(always)]
fn remember(index: u32, destination: V6, forwarded: u64) {
    if let Some(route) = slot(&ROUTES, index) {
        *route = Route { destination, asked: ticks(), forwarded };
    }
}

#[inline(never)]
fn ask4(ctx: *mut c_void, packed: u64, source: V4, destination: V4) -> u64 {
    let mut room = Room::<FibLookup>::new();
    let request = room.cleared();
    request.family = AF_INET;
    let ifindex = (packed >> 32) as u32;
    request.ifindex = ifindex;
    request.__bindgen_anon_3.ipv4_src = source;
    request.__bindgen_anon_4.ipv4_dst = destination;
    let answer = ask(ctx, request);
    u64::from(leads_out(answer, ifindex, request.ifindex))
}

#[inline(never)]
fn ask6(ctx: *mut c_void, packed: u64, source: &V6, destination: &V6) -> u64 {
    let mut room = Room::<FibLookup>::new();
    let request = room.cleared();
    request.family = AF_INET6;
    let ifindex = (packed >> 32) as u32;
    request.ifindex = ifindex;
    request.__bindgen_anon_3.ipv6_src = *source;
    request.__bindgen_anon_4.ipv6_dst = *destination;
    let mut answer = ask(ctx, request);
    if answer == BPF_FIB_LKUP_RET_FWD_DISABLED {
        request.ifindex = LOOPBACK;
        answer = ask(ctx, request);
    }
    u64::from(leads_out(answer, ifindex, request.ifindex))
}

#[inline(always)]
fn ask(ctx: *mut c_void, request: &mut FibLookup) -> u32 {
    // SAFETY: the context is this program's own, the request is writable and as long as said.
    let answer = unsafe { bpf_fib_lookup(ctx, request, size_of::<FibLookup>() as i32, 0) };
    answer as u32
}

/// Found a way out that is not the way in, even where the neighbour's address is not known yet. Not forwarded, forbidden, unreachable, or no
/// forwarding at all: the packet ends here.
#[inline(always)]
fn leads_out(answer: u32, way_in: u32, way_out: u32) -> bool {
    match answer {
        // Both say by which interface (Linux 5.10, d1c362e1dd68).
        BPF_FIB_LKUP_RET_SUCCESS | BPF_FIB_LKUP_RET_NO_NEIGH => way_out != way_in,
        // A tunnel's, or one that the packet is too large for: neither says by which.
        BPF_FIB_LKUP_RET_UNSUPP_LWT | BPF_FIB_LKUP_RET_FRAG_NEEDED => true,
        _ => false,
    }
}
