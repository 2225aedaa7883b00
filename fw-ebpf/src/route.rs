//! Whether a packet would be routed on to somewhere else, remembered for about a second, and whether its sender is on the link: `bpf_fib_lookup`.

use core::ffi::c_void;

use aya_ebpf::{
    EbpfContext,
    bindings::{
        BPF_FIB_LKUP_RET_FRAG_NEEDED, BPF_FIB_LKUP_RET_FWD_DISABLED, BPF_FIB_LKUP_RET_NO_NEIGH,
        BPF_FIB_LKUP_RET_SUCCESS, BPF_FIB_LKUP_RET_UNSUPP_LWT, BPF_FIB_LOOKUP_OUTPUT, bpf_fib_lookup as FibLookup,
    },
    helpers::generated::bpf_fib_lookup,
};
use fw_common::{
    abi::{ROUTE_LIFETIME, ROUTES_PER_CPU, Route, Uppers},
    address::{Address, V4, V6, is_link_local, mapped},
    wire::{Addresses, ethernet::Tags},
};

use crate::{
    clock::ticks,
    maps::{ROUTES, UPPERS},
    slot::{cpu, slot},
    verifier::{Room, forget},
};

/// Linux's number for IPv4 in a routing request.
const AF_INET: u8 = 2;
/// Linux's number for IPv6 in a routing request.
const AF_INET6: u8 = 10;
/// The index of the loopback interface, the same in every network namespace.
const LOOPBACK: u32 = 1;
/// From here on an answer is an error of the kernel, a negative number: no such interface.
const ERRORS: u32 = i32::MIN.cast_unsigned();
/// No interface: the packet ends here.
const NOT_SENT_ON: u64 = 0;
/// No interface's index, but one of them it is.
const NOBODY_KNOWS: u64 = u32::MAX as u64;

/// Behind a gateway or another interface, or nowhere.
const FAR: u64 = 0;
/// On the link.
const NEAR: u64 = 1;
/// The kernel does not say.
const UNKNOWN: u64 = 2;
/// An address that is never a host's (240.0.0.0/4, RFC 1112, 4).
const NO_HOST4: V4 = V4::from_ne_bytes([240, 0, 0, 1]);
/// An address to which everything is discarded (RFC 6666).
static NO_HOST6: V6 = [0x0100_0000_u32.to_be(), 0, 0, 1_u32.to_be()];

/// How a packet came in: by which interface, by index, and with which tags.
#[derive(Clone, Copy)]
pub(crate) struct Way {
    pub(crate) ifindex: u32,
    pub(crate) tags: Tags,
}

impl Way {
    /// In one argument.
    #[inline(always)]
    fn word(self) -> u64 {
        u64::from(self.ifindex) << 32 | u64::from(self.tags.0)
    }

    #[inline(always)]
    const fn from_word(word: u64) -> Self {
        Self { ifindex: (word >> 32) as u32, tags: Tags(word as u32) }
    }
}

/// Whether the routing table would send an IPv4 packet out of another interface than it came in by, to a machine or container there.
/// What would go back to the link that it came from is for somebody on that link: a macvlan's or ipvlan's container, a virtual machine behind
/// the same bridge, a load balancer's address, which the kernel does not count among this host's own. Multicast and broadcast stay here.
#[inline(always)]
pub(crate) fn leads_elsewhere4<C: EbpfContext>(ctx: &C, way: Way, addresses: &Addresses<V4>) -> bool {
    let Addresses { source, destination } = *addresses;
    if destination.is_multicast() {
        return false;
    }
    remembered(index_of(destination), mapped(destination), way.tags)
        .unwrap_or_else(|| look_up4(ctx.as_ptr(), way.word(), source, destination) != 0)
}

/// The same for IPv6. A link-local sender's packets are never routed on (RFC 4291, 2.5.6), others' are where `all` interfaces forward, whatever
/// this one says, which may be off so that it hears router advertisements. The helper heeds this one alone; loopback says what `all` do.
#[inline(always)]
pub(crate) fn leads_elsewhere6<C: EbpfContext>(ctx: &C, way: Way, addresses: &Addresses<V6>) -> bool {
    if addresses.destination.is_multicast() || is_link_local(addresses.source) {
        return false;
    }
    remembered(index_of(addresses.destination[3]), addresses.destination, way.tags)
        .unwrap_or_else(|| look_up6(ctx.as_ptr(), way.word(), addresses) != 0)
}

/// Whether it is remembered that the packets to a destination end here.
#[inline(always)]
pub(crate) fn is_known_to_stay4(destination: V4, tags: Tags) -> bool {
    remembered(index_of(destination), mapped(destination), tags) == Some(false)
}

/// The same for IPv6.
#[inline(always)]
pub(crate) fn is_known_to_stay6(destination: V6, tags: Tags) -> bool {
    remembered(index_of(destination[3]), destination, tags) == Some(false)
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
fn remembered(index: u32, destination: V6, tags: Tags) -> Option<bool> {
    let Some(route) = ROUTES.get(index) else { return Some(true) };
    // All of it in one word: the verifier would follow each comparison to its end.
    let [d0, d1, d2, d3] = route.destination;
    let [w0, w1, w2, w3] = destination;
    let difference = (d0 ^ w0) | (d1 ^ w1) | (d2 ^ w2) | (d3 ^ w3) | (route.tags ^ tags.0);
    let age = ticks().wrapping_sub(route.asked);
    (u64::from(difference) | age >> ROUTE_LIFETIME.ilog2() == 0).then_some(route.forwarded != 0)
}

// Out of line: they are asked about once a second and destination, and one request has room on the stack.
//
// An answer is believed whoever sends. So it is remembered only where it does not depend on the sender, or keeps packets from the ports of this
// host: that a rule of routing forbids one sender's must not open a container to the others. Nobody in particular, an address of zeros, meets no
// such rule. What is routed on to a network of the policy is no packet to this host whoever sends it, and Linux asks its rules once more.

#[inline(never)]
fn look_up4(ctx: *mut c_void, way: u64, source: V4, destination: V4) -> u64 {
    let known = known(way);
    let questions = network(known) << 32 | way >> 32;
    let forwarded = is_elsewhere(known, ask4(ctx, questions, source, destination));
    if forwarded == 0 && is_elsewhere(known, ask4(ctx, questions, 0, destination)) != 0 {
        return 0;
    }
    remember(index_of(destination), mapped(destination), way as u32, forwarded);
    forwarded
}

#[inline(never)]
fn look_up6(ctx: *mut c_void, way: u64, addresses: &Addresses<V6>) -> u64 {
    // Loopback forwards where `all` interfaces do, and then each does.
    let known = known(way);
    let questions = network(known) << 32 | u64::from(LOOPBACK);
    let forwarded = is_elsewhere(known, ask6(ctx, questions, &addresses.source, &addresses.destination));
    if forwarded == 0 && is_elsewhere(known, ask6(ctx, questions, &NOBODY, &addresses.destination)) != 0 {
        return 0;
    }
    remember(index_of(addresses.destination[3]), addresses.destination, way as u32, forwarded);
    forwarded
}

static NOBODY: V6 = [0; 4];

#[inline(always)]
fn remember(index: u32, destination: V6, tags: u32, forwarded: u64) {
    if let Some(route) = slot(&ROUTES, index) {
        *route = Route { destination, asked: ticks(), tags, forwarded: forwarded as u32 };
    }
}

#[inline(never)]
fn ask4(ctx: *mut c_void, questions: u64, source: V4, destination: V4) -> u64 {
    let mut room = Room::<FibLookup>::new();
    let request = room.cleared();
    request.family = AF_INET;
    request.__bindgen_anon_3.ipv4_src = source;
    request.__bindgen_anon_4.ipv4_dst = destination;
    ask(ctx, questions, request)
}

#[inline(never)]
fn ask6(ctx: *mut c_void, questions: u64, source: &V6, destination: &V6) -> u64 {
    let mut room = Room::<FibLookup>::new();
    let request = room.cleared();
    request.family = AF_INET6;
    request.__bindgen_anon_3.ipv6_src = *source;
    request.__bindgen_anon_4.ipv6_dst = *destination;
    ask(ctx, questions, request)
}

/// The index of the interface that the kernel would send the packet on by; [`NOT_SENT_ON`], or [`NOBODY_KNOWS`] which. It is asked for two
/// interfaces, in the upper and the lower half of a word: the one that the network layer sees, a bridge rather than its port, since that one's
/// forwarding and rules count; and where that one does not forward, for the other, in case frames no longer go the way that was noted.
#[inline(always)]
fn ask(ctx: *mut c_void, questions: u64, request: &mut FibLookup) -> u64 {
    request.ifindex = (questions >> 32) as u32;
    let mut answer = ask_once(ctx, request, 0);
    if answer == BPF_FIB_LKUP_RET_FWD_DISABLED || answer >= ERRORS {
        request.ifindex = questions as u32;
        answer = ask_once(ctx, request, 0);
    }
    let way_out = match answer {
        // All say by which interface (Linux 5.10, d1c362e1dd68): the length of an answer that a packet is too large for is asked for last.
        BPF_FIB_LKUP_RET_SUCCESS | BPF_FIB_LKUP_RET_NO_NEIGH | BPF_FIB_LKUP_RET_FRAG_NEEDED => {
            u64::from(request.ifindex)
        }
        // A tunnel's.
        BPF_FIB_LKUP_RET_UNSUPP_LWT => NOBODY_KNOWS,
        // Not forwarded, forbidden, unreachable, or no forwarding at all: the packet ends here.
        _ => NOT_SENT_ON,
    };
    // All answers meet.
    forget(way_out, questions as usize)
}

#[inline(always)]
fn ask_once(ctx: *mut c_void, request: &mut FibLookup, flags: u32) -> u32 {
    // SAFETY: the context is this program's own, the request is writable and as long as said.
    let answer = unsafe { bpf_fib_lookup(ctx, request, size_of::<FibLookup>() as i32, flags) };
    answer as u32
}

/// Whether a sender may be on the link that its packet came in by. It is not where the routing table leads to it by a gateway or by another
/// interface. The kernel does not answer where the interface does not forward; then everybody may be. A default route without a gateway would put
/// everybody on the link, so it does not count.
#[inline(always)]
pub(crate) fn may_be_on_link4<C: EbpfContext>(ctx: &C, way: Way, sender: V4) -> bool {
    is_near4(ctx.as_ptr(), way.word(), sender) != 0
}

/// The same for IPv6, where link-local senders are on the link (RFC 4291, 2.5.6).
#[inline(always)]
pub(crate) fn may_be_on_link6<C: EbpfContext>(ctx: &C, way: Way, sender: &V6) -> bool {
    is_link_local(*sender) || is_near6(ctx.as_ptr(), way.word(), sender) != 0
}

// Out of line: only answers to what was sent to many are asked about.

#[inline(never)]
fn is_near4(ctx: *mut c_void, way: u64, sender: V4) -> u64 {
    let interface = network(known(way));
    match distance4(ctx, interface, sender) {
        NEAR => u64::from(distance4(ctx, interface, NO_HOST4) != NEAR),
        distance => distance,
    }
}

#[inline(never)]
fn is_near6(ctx: *mut c_void, way: u64, sender: &V6) -> u64 {
    let interface = network(known(way));
    match distance6(ctx, interface, sender) {
        NEAR => u64::from(distance6(ctx, interface, &NO_HOST6) != NEAR),
        distance => distance,
    }
}

#[inline(never)]
fn distance4(ctx: *mut c_void, interface: u64, address: V4) -> u64 {
    let mut room = Room::<FibLookup>::new();
    let request = room.cleared();
    request.family = AF_INET;
    request.ifindex = interface as u32;
    request.__bindgen_anon_4.ipv4_dst = address;
    let answer = ask_once(ctx, request, BPF_FIB_LOOKUP_OUTPUT);
    // SAFETY: the request is one of IPv4.
    let next = unsafe { request.__bindgen_anon_4.ipv4_dst };
    distance(answer, u64::from(request.ifindex) == interface && next == address)
}

#[inline(never)]
fn distance6(ctx: *mut c_void, interface: u64, address: &V6) -> u64 {
    let mut room = Room::<FibLookup>::new();
    let request = room.cleared();
    request.family = AF_INET6;
    request.ifindex = interface as u32;
    request.__bindgen_anon_4.ipv6_dst = *address;
    let answer = ask_once(ctx, request, BPF_FIB_LOOKUP_OUTPUT);
    // SAFETY: the request is one of IPv6.
    let next = unsafe { request.__bindgen_anon_4.ipv6_dst };
    distance(answer, u64::from(request.ifindex) == interface && next == *address)
}

/// How far an address is by an answer, and by whether a packet to it would go to itself, out of the interface asked about.
#[inline(always)]
fn distance(answer: u32, is_direct: bool) -> u64 {
    match answer {
        BPF_FIB_LKUP_RET_SUCCESS | BPF_FIB_LKUP_RET_NO_NEIGH | BPF_FIB_LKUP_RET_FRAG_NEEDED if is_direct => NEAR,
        BPF_FIB_LKUP_RET_FWD_DISABLED => UNKNOWN,
        _ => FAR,
    }
}

/// The way of a packet, without tags that are none of a VLAN of this host.
#[inline(never)]
fn known(way: u64) -> u64 {
    let Way { ifindex, tags } = Way::from_word(way);
    let tags = if uppers(tags).is_some() { tags } else { Tags::NONE };
    forget(Way { ifindex, tags }.word(), ifindex as usize)
}

/// The interface that the network layer sees a packet come in by.
#[inline(never)]
fn network(way: u64) -> u64 {
    let way = Way::from_word(way);
    let network = uppers(way.tags).map_or(way.ifindex, |uppers| uppers.network);
    forget(u64::from(network), way.ifindex as usize)
}

/// Whether an answer is none of the interfaces on whose behalf a packet came in.
#[inline(never)]
fn is_elsewhere(way: u64, answer: u64) -> u64 {
    let way = Way::from_word(way);
    let way_out = answer as u32;
    let stays = || way_out == way.ifindex || uppers(way.tags).is_some_and(|uppers| uppers.has(way_out));
    u64::from(answer != NOT_SENT_ON && !stays())
}

/// On whose behalf frames with these tags come in.
#[inline(always)]
fn uppers(tags: Tags) -> Option<&'static Uppers> {
    // SAFETY: the kernel keeps the element's memory while the program runs. It may be given to other tags meanwhile, which a hash without locks
    // promises no better.
    unsafe { UPPERS.get(tags.0) }
}
