//! What leaves, and what it makes this host expect.

use crate::{
    decide::{AddressLookups, Lookups, lets_in},
    flow::{FlowKind, Tracked, timeout},
    frame::Frame,
    protocol::PortProtocol,
    reason::Reason,
    wire::{Addresses, Packet, Piece, ethernet, ipv4, ipv6, transport},
};

/// Note a frame that is about to leave, after masquerading, so that its answers pass [`decide`](crate::decide()).
///
/// A TCP flow is opened by a SYN alone and kept alive by any packet; the other transports open theirs by any packet, unless the
/// policy lets the answers in anyway (then this host is the server). To a multicast or broadcast address the remote side is left open.
///
/// # Errors
/// The reason why the frame could not be read. [`Reason::Truncated`] is worth another try when more of the frame can be made readable.
#[inline(always)]
pub fn track<F: Frame + ?Sized, L: Lookups>(frame: &F, lookups: &L) -> Result<(), Reason> {
    let link = ethernet::parse(frame)?;
    match link.ether_type {
        ethernet::ETHER_TYPE_IPV4 => note(frame, &ipv4::parse(frame, &link)?, lookups),
        ethernet::ETHER_TYPE_IPV6 => note(frame, &ipv6::parse(frame, &link)?, lookups),
        _ => Ok(()),
    }
}

#[inline(always)]
fn note<F, L, A>(frame: &F, packet: &Packet<A>, lookups: &L) -> Result<(), Reason>
where
    F: Frame + ?Sized,
    L: Lookups + AddressLookups<A>,
    A: Tracked,
{
    let Some(protocol) = PortProtocol::from_number(packet.protocol) else { return Ok(()) };
    if matches!(packet.piece, Piece::Later) {
        return Ok(());
    }
    let ports = transport::ports(frame, packet, protocol)?;
    // By the address on the link as well as in the packet: a subnet's broadcast address is known by nothing else.
    let Addresses { source, destination } = A::read(frame, packet.addresses).ok_or(Reason::Truncated)?;
    let to_many = destination.is_multicast() || packet.link_multicast;
    let kind = if to_many { FlowKind::Multicast } else { FlowKind::Unicast };
    let is_tcp = matches!(protocol, PortProtocol::Tcp);
    if is_tcp && to_many {
        return Ok(());
    }
    if !is_tcp && lets_in(lookups, lookups.class(protocol, ports.source()), destination) {
        return Ok(());
    }
    let swapped = Addresses { source: destination, destination: source };
    let answer = ports.reversed();
    let key = A::reply_key(&swapped, packet.protocol, &answer, kind);
    let is_known = AddressLookups::<A>::find_flow(lookups, &key, timeout(protocol, kind), true);
    if !is_known && (!is_tcp || ports.opens_connection()) {
        AddressLookups::<A>::insert_flow(lookups, &key);
        lookups.mark_sent(protocol, ports.source(), kind);
    }
    Ok(())
}
