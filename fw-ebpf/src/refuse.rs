//! Answers to packets at closed ports, for senders on the link: a connection fails at once instead of after a timeout.

use core::ffi::c_void;

use fw_common::{
    AddressLookups, Frame as _,
    abi::CLASS_LAN,
    active::Active,
    address::{V4, V6},
    answer::{self, Answer, Header, IPV4, IPV6, PIECE, SHORTEST_FRAME},
    flow::Tracked,
    protocol::number,
    wire::{ethernet, located::LocatedNetwork},
};

use crate::{
    clock::now,
    hook::{Hook, anew, network},
    lookups::Maps,
    maps::{RECORDERS, SETTINGS},
    slot::{cpu, slot},
};

/// Whether the policy answers anybody.
#[inline(always)]
pub(crate) fn is_on(active: Active) -> bool {
    SETTINGS.get(active.buffer()).is_some_and(|settings| settings.refuse != 0)
}

/// Answer a packet at a closed port, if it is plain and comes from the link, and this CPU has not sent too many answers. The answer takes its place.
/// Returns the program's return value.
#[inline(never)]
pub(crate) fn refuse<H: Hook>(ctx: *mut c_void, active: Active) -> u32 {
    let now = now();
    let Some(recorder) = slot(&RECORDERS, cpu()) else { return H::DROP };
    if !recorder.may_answer(now) {
        return H::DROP;
    }
    let network = network::<H>(ctx);
    let answer = &mut recorder.answer;
    let pieces = match network.ether_type() {
        ethernet::ETHER_TYPE_IPV4 => match refused4::<H::Answers>(ctx, network, active) as u8 {
            number::TCP => reset4::<H::Answers>(ctx, network, answer),
            number::UDP => unreachable4::<H::Answers>(ctx, network, answer),
            _ => 0,
        },
        ethernet::ETHER_TYPE_IPV6 => match refused6::<H::Answers>(ctx, network, active) as u8 {
            number::TCP => reset6::<H::Answers>(ctx, network, answer),
            number::UDP => unreachable6::<H::Answers>(ctx, network, answer),
            _ => 0,
        },
        _ => 0,
    };
    let len = H::packet(&anew::<H>(ctx)).len();
    if pieces == 0 || write::<H::Answers>(ctx, network, len, answer, pieces) == 0 {
        return H::DROP;
    }
    recorder.count_answer(now);
    H::send_back(&anew::<H>(ctx))
}

// Out of line, because the functions of a call chain share the stack.

#[inline(never)]
fn refused4<H: Hook>(ctx: *mut c_void, network: LocatedNetwork, active: Active) -> u64 {
    refused::<H, V4, [u32; IPV4], IPV4>(ctx, network, active).into()
}

#[inline(never)]
fn refused6<H: Hook>(ctx: *mut c_void, network: LocatedNetwork, active: Active) -> u64 {
    refused::<H, V6, [u32; IPV6], IPV6>(ctx, network, active).into()
}

#[inline(never)]
fn reset4<H: Hook>(ctx: *mut c_void, network: LocatedNetwork, answer: &mut Answer) -> u64 {
    reset::<H, [u32; IPV4], IPV4>(ctx, network, answer)
}

#[inline(never)]
fn reset6<H: Hook>(ctx: *mut c_void, network: LocatedNetwork, answer: &mut Answer) -> u64 {
    reset::<H, [u32; IPV6], IPV6>(ctx, network, answer)
}

#[inline(never)]
fn unreachable4<H: Hook>(ctx: *mut c_void, network: LocatedNetwork, answer: &mut Answer) -> u64 {
    unreachable::<H, [u32; IPV4], IPV4>(ctx, network, answer)
}

#[inline(never)]
fn unreachable6<H: Hook>(ctx: *mut c_void, network: LocatedNetwork, answer: &mut Answer) -> u64 {
    unreachable::<H, [u32; IPV6], IPV6>(ctx, network, answer)
}

/// The protocol of a packet that gets an answer; another one where it gets none.
#[inline(always)]
fn refused<H: Hook, A, P, const N: usize>(ctx: *mut c_void, network: LocatedNetwork, active: Active) -> u8
where
    A: Tracked,
    P: Header<N, Address = A> + From<[u32; N]>,
    for<'a> Maps<'a, H>: AddressLookups<A>,
{
    let ctx = anew::<H>(ctx);
    let packet = H::packet(&ctx);
    let (Some(link), Some(header)) = (packet.words::<3>(0), packet.words::<N>(network.network())) else { return 0 };
    let header = P::from(header);
    let Some((source, destination)) = header.addresses() else { return 0 };
    let is_refused = is_own(link, active)
        && !destination.is_multicast()
        && Maps::<H>::of(&ctx, active).is_in_class(CLASS_LAN, source);
    if is_refused { header.protocol() } else { 0 }
}

#[inline(always)]
fn reset<H: Hook, P, const N: usize>(ctx: *mut c_void, network: LocatedNetwork, answer: &mut Answer) -> u64
where
    P: Header<N> + From<[u32; N]>,
{
    let (ctx, at) = (anew::<H>(ctx), network.network());
    let packet = H::packet(&ctx);
    let (Some(ip), Some(segment)) = (packet.words::<N>(at), packet.words(at + 4 * N)) else { return 0 };
    packet.forget(answer::reset(P::from(ip), segment, answer) as u64)
}

#[inline(always)]
fn unreachable<H: Hook, P, const N: usize>(ctx: *mut c_void, network: LocatedNetwork, answer: &mut Answer) -> u64
where
    P: Header<N> + From<[u32; N]>,
{
    let (ctx, at) = (anew::<H>(ctx), network.network());
    let packet = H::packet(&ctx);
    let (Some(ip), Some(datagram)) = (packet.words::<N>(at), packet.words(at + 4 * N)) else { return 0 };
    packet.forget(answer::unreachable(P::from(ip), datagram, answer) as u64)
}

/// Whether a frame whose first words are these is for this machine: a card in promiscuous mode, as a bridge's, hands over other machines' too, which
/// answer themselves.
#[inline(always)]
fn is_own([first, second, _]: [u32; 3], active: Active) -> bool {
    let ([a, b, c, d], [e, f, ..]) = (first.to_ne_bytes(), second.to_ne_bytes());
    let to = u64::from_ne_bytes([a, b, c, d, e, f, 0, 0]);
    SETTINGS.get(active.buffer()).is_some_and(|settings| settings.has_mac(to))
}

/// Replace a packet of `old` bytes by an answer of so many pieces: turn its link-layer addresses round, and write the answer behind its tags. Returns 0
/// if the packet cannot get that length.
#[inline(never)]
fn write<H: Hook>(ctx: *mut c_void, network: LocatedNetwork, old: usize, answer: &Answer, pieces: u64) -> u64 {
    // As many words as the longest link layer touches. What they hold of the IP header is overwritten.
    const LINK: usize = (ethernet::HEADER + ethernet::MAX_TAGS * ethernet::TAG).div_ceil(4);
    const BYTES: usize = 4 * PIECE;
    let (ctx, at) = (anew::<H>(ctx), network.network());
    let Some(mut link) = H::packet(&ctx).words::<LINK>(0) else { return 0 };
    let [to, between, from, ..] = link.map(u32::to_ne_bytes);
    let ([a, b, c, d], [e, f, g, h], [i, j, k, l]) = (to, between, from);
    [link[0], link[1], link[2]] = [[g, h, i, j], [k, l, a, b], [c, d, e, f]].map(u32::from_ne_bytes);
    let len = at + BYTES * pieces as usize;
    if !H::resize(&ctx, old, len.max(SHORTEST_FRAME)) || !H::write(&ctx, 0, &link) {
        return 0;
    }
    let rest = answer.iter().enumerate().take_while(|(piece, _)| (*piece as u64) < pieces);
    u64::from(rest.fold(true, |is_written, (piece, words)| is_written && H::write(&ctx, at + BYTES * piece, words)))
}
