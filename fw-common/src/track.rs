//! What leaves, and what it makes this host expect.

use crate::{
    address::{V4, V6},
    decide::{AddressLookups, Lookups, lets_in},
    flow::{Direction, FlowClass, FlowKind, Tracked},
    frame::Frame,
    protocol::{PortProtocol, number},
    reason::Reason,
    wire::{
        Addresses, Packet, Piece, ethernet, ipv4, ipv6,
        located::{Located, LocatedNetwork},
        transport,
    },
};

/// Note a frame that is about to leave, after masquerading, so that its answers pass [`decide`](crate::decide()).
///
/// A TCP flow is opened by a SYN alone and kept alive by any packet; the other transports open theirs by any packet, unless the
/// policy lets the answers in anyway: then this host is the server. It does not let in what is for a machine or container that this host routes
/// for. To a multicast or broadcast address the remote side is left open. Protocols without ports open flows of addresses alone.
///
/// # Errors
/// The reason why the frame could not be read.
#[inline(always)]
pub fn track<F: Frame + ?Sized, L: Lookups>(frame: &F, lookups: &L) -> Result<(), Reason> {
    match track_plain(frame, lookups) {
        Some(()) => Ok(()),
        None => track_located(frame, Located::find(frame, LocatedNetwork::locate(frame)), lookups),
    }
}

/// Note a frame without tags, options, fragments and extension headers; `None` for any other, and where the headers cannot be read.
#[inline(always)]
pub fn track_plain<F: Frame + ?Sized, L: Lookups>(frame: &F, lookups: &L) -> Option<()> {
    let link = ethernet::parse_plain(frame)?;
    match link.ether_type {
        ethernet::ETHER_TYPE_IPV4 => note_plain(frame, &ipv4::find_plain(frame, &link)?, lookups),
        ethernet::ETHER_TYPE_IPV6 => note_plain(frame, &ipv6::find_plain(frame, &link)?, lookups),
        _ => Some(()),
    }
}

/// Note a packet that is about to leave by an interface without Ethernet headers, as [`decide_packet`](crate::decide_packet()) judges one.
///
/// # Errors
/// As [`track`].
#[inline(always)]
pub fn track_packet<F: Frame + ?Sized, L: Lookups>(packet: &F, ether_type: u16, lookups: &L) -> Result<(), Reason> {
    let network = LocatedNetwork::bare(packet, ether_type);
    track_located(packet, Located::find(packet, network), lookups)
}

#[inline(always)]
fn note_plain<F, L, A>(frame: &F, packet: &Packet<A>, lookups: &L) -> Option<()>
where
    F: Frame + ?Sized,
    L: Lookups + AddressLookups<A>,
    A: Tracked,
{
    match packet.protocol {
        number::TCP => note_ports(frame, packet, PortProtocol::Tcp, lookups).ok(),
        number::UDP => note_ports(frame, packet, PortProtocol::Udp, lookups).ok(),
        protocol => A::is_control(protocol).then_some(()),
    }
}

/// Note a frame in which a packet was [found](Located::find).
///
/// # Errors
/// As [`track`].
#[inline(always)]
pub fn track_located<F: Frame + ?Sized, L: Lookups>(frame: &F, located: Located, lookups: &L) -> Result<(), Reason> {
    if located.is_ipv6() {
        note(frame, &located.packet::<V6>()?, lookups)
    } else {
        note(frame, &located.packet::<V4>()?, lookups)
    }
}

#[inline(always)]
fn note<F, L, A>(frame: &F, packet: &Packet<A>, lookups: &L) -> Result<(), Reason>
where
    F: Frame + ?Sized,
    L: Lookups + AddressLookups<A>,
    A: Tracked,
{
    match PortProtocol::from_number(packet.protocol) {
        _ if matches!(packet.piece, Piece::Later) => Ok(()),
        Some(protocol) => note_ports(frame, packet, protocol, lookups),
        None if A::is_control(packet.protocol) => Ok(()),
        None => note_portless(frame, packet, lookups),
    }
}

/// To one address only: who listens to a group, as VRRP's backups do, asks nobody.
#[inline(always)]
fn note_portless<F, L, A>(frame: &F, packet: &Packet<A>, lookups: &L) -> Result<(), Reason>
where
    F: Frame + ?Sized,
    L: Lookups + AddressLookups<A>,
    A: Tracked,
{
    let Addresses { source, destination } = A::read(frame, packet.addresses).ok_or(Reason::Truncated)?;
    if destination.is_multicast() || packet.link_multicast {
        return Ok(());
    }
    let swapped = Addresses { source: destination, destination: source };
    let key = A::reply_key(&swapped, packet.protocol, &transport::Ports::new(0, 0), FlowKind::Unicast);
    if !AddressLookups::<A>::find_flow(lookups, &key, FlowClass::Portless, Direction::Egress) {
        AddressLookups::<A>::insert_flow(lookups, &key, FlowClass::Portless);
        lookups.mark_sent_portless(packet.protocol);
    }
    Ok(())
}

#[inline(always)]
fn note_ports<F, L, A>(frame: &F, packet: &Packet<A>, protocol: PortProtocol, lookups: &L) -> Result<(), Reason>
where
    F: Frame + ?Sized,
    L: Lookups + AddressLookups<A>,
    A: Tracked,
{
    let ports = transport::ports(frame, packet, protocol)?;
    let is_tcp = matches!(protocol, PortProtocol::Tcp);
    // A server's data: of a port that never opened a connection no flow is known.
    if is_tcp && !ports.opens_connection() && lookups.sent(protocol, ports.source()).unicast == 0 {
        return Ok(());
    }
    let Addresses { source, destination } = A::read(frame, packet.addresses).ok_or(Reason::Truncated)?;
    let swapped = Addresses { source: destination, destination: source };
    if is_tcp && destination.is_multicast() {
        return Ok(());
    }
    let passes_anyway = !is_tcp && lets_in(lookups, lookups.class(protocol, ports.source()), destination);
    if passes_anyway && !lookups.is_forwarded(&swapped) {
        return Ok(());
    }
    // By the address on the link as well as in the packet: a subnet's broadcast address is known by nothing else. TCP has one peer, also
    // where frames for it go to a group (clusters).
    let to_many = !is_tcp && (destination.is_multicast() || packet.link_multicast);
    let kind = if to_many { FlowKind::Multicast } else { FlowKind::Unicast };
    let answer = ports.reversed();
    let key = A::reply_key(&swapped, packet.protocol, &answer, kind);
    let class = FlowClass::new(protocol, kind);
    let is_known = AddressLookups::<A>::find_flow(lookups, &key, class, Direction::Egress);
    if !is_known && (!is_tcp || ports.opens_connection()) {
        AddressLookups::<A>::insert_flow(lookups, &key, class);
        lookups.mark_sent(protocol, ports.source(), kind);
    }
    Ok(())
}
