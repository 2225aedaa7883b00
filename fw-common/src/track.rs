//! Outbound packets, and the flows by which their answers pass.

use crate::{
    address::{V4, V6},
    decide::{lets_in, tags},
    discovery::{Asker, is_mdns_answer},
    flow::{Direction, FlowClass, FlowKind, Tracked},
    frame::Frame,
    lookups::{AddressLookups, Lookups},
    protocol::{PortProtocol, number},
    reason::Reason,
    wire::{
        Addresses, Packet, Piece,
        ethernet::{self, Tags},
        ipv4, ipv6,
        located::{Located, LocatedNetwork},
        transport,
    },
};

/// Note an outbound frame, after masquerading, so that its answers pass [`decide`](crate::decide()).
///
/// Only a SYN opens a TCP flow, and any packet keeps it alive. With the other transports any packet opens a flow, unless the policy allows
/// the answers anyway: then this host is the server. The policy does not allow answers to machines and containers that this host routes for.
/// Flows to a multicast or broadcast address have no remote side. Flows of protocols without ports have addresses alone.
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

/// Note a frame without tags, options, fragments or extension headers; `None` for any other, and if its headers cannot be read.
#[inline(always)]
pub fn track_plain<F: Frame + ?Sized, L: Lookups>(frame: &F, lookups: &L) -> Option<()> {
    let link = ethernet::parse_plain(frame)?;
    match link.ether_type {
        ethernet::ETHER_TYPE_IPV4 => note_plain(frame, &ipv4::find_plain(frame, &link)?, lookups),
        ethernet::ETHER_TYPE_IPV6 => note_plain(frame, &ipv6::find_plain(frame, &link)?, lookups),
        _ => Some(()),
    }
}

/// Note an outbound packet of an interface without Ethernet headers, in the form that [`decide_packet`](crate::decide_packet()) takes.
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
        number::TCP => note_unicast(frame, packet, PortProtocol::Tcp, lookups),
        number::UDP => note_unicast(frame, packet, PortProtocol::Udp, lookups),
        protocol => A::is_control(protocol).then_some(()),
    }
}

/// `None` for a multicast or broadcast datagram, which is rare.
#[inline(always)]
fn note_unicast<F, L, A>(frame: &F, packet: &Packet<A>, protocol: PortProtocol, lookups: &L) -> Option<()>
where
    F: Frame + ?Sized,
    L: Lookups + AddressLookups<A>,
    A: Tracked,
{
    if let Some(seen) = Seen::read(frame, packet, protocol, lookups).ok()? {
        if seen.to_many {
            return None;
        }
        if !seen.passes_anyway(lookups) || lookups.is_forwarded(Tags::NONE, &seen.answer) {
            seen.note(FlowKind::Unicast, lookups);
        }
    }
    Some(())
}

/// Note a frame whose packet was [found](Located::find).
///
/// # Errors
/// As [`track`].
#[inline(always)]
pub fn track_located<F: Frame + ?Sized, L: Lookups>(frame: &F, located: Located, lookups: &L) -> Result<(), Reason> {
    match note_located(frame, located, false, lookups)? {
        Noted::Unsettled if is_answer_forwarded(frame, located, lookups) => {
            note_located(frame, located, true, lookups).map(|_| ())
        }
        Noted::Done | Noted::Unsettled => Ok(()),
    }
}

/// Whether a packet was noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noted {
    /// It was, or it needs no flow.
    Done,
    /// Not yet: its answers pass [unless they are forwarded](is_answer_forwarded). Then it must be noted again.
    Unsettled,
}

/// Note it. If the policy allows its answers, a flow is needed only if `is_forwarded`: the routing table sends them on to another machine or container.
///
/// # Errors
/// As [`track`].
#[inline(always)]
pub fn note_located<F: Frame + ?Sized, L: Lookups>(
    frame: &F,
    located: Located,
    is_forwarded: bool,
    lookups: &L,
) -> Result<Noted, Reason> {
    if located.is_ipv6() {
        note::<F, L, V6>(frame, located, is_forwarded, lookups)
    } else {
        note::<F, L, V4>(frame, located, is_forwarded, lookups)
    }
}

/// Whether the answers to a packet would be forwarded, and the policy forbids that.
#[inline(always)]
pub fn is_answer_forwarded<F: Frame + ?Sized, L: Lookups>(frame: &F, located: Located, lookups: &L) -> bool {
    #[inline(always)]
    fn ask<F: Frame + ?Sized, L: AddressLookups<A>, A: Tracked>(frame: &F, at: usize, lookups: &L) -> bool {
        let answer = A::read(frame, at).map(Addresses::swapped);
        answer.is_some_and(|answer| lookups.is_forwarded(tags::<F, A>(frame, at), &answer))
    }
    let at = located.addresses();
    if located.is_ipv6() { ask::<F, L, V6>(frame, at, lookups) } else { ask::<F, L, V4>(frame, at, lookups) }
}

/// Note a packet without ports, if it goes to one address: packets to a group, such as VRRP's, ask for no answer.
#[inline(always)]
fn note_portless<F, L, A>(frame: &F, packet: &Packet<A>, lookups: &L) -> Result<(), Reason>
where
    F: Frame + ?Sized,
    L: Lookups + AddressLookups<A>,
    A: Tracked,
{
    let answer = A::read(frame, packet.addresses).ok_or(Reason::Truncated)?.swapped();
    if answer.source.is_multicast() || packet.link_multicast {
        return Ok(());
    }
    let key = A::reply_key(&answer, packet.protocol, &transport::Ports::new(0, 0), FlowKind::Unicast);
    if !AddressLookups::<A>::find_flow(lookups, &key, FlowClass::Portless, Direction::Egress) {
        AddressLookups::<A>::insert_flow(lookups, &key, FlowClass::Portless);
        lookups.mark_sent_portless(packet.protocol);
    }
    Ok(())
}

#[inline(always)]
fn note<F, L, A>(frame: &F, located: Located, is_forwarded: bool, lookups: &L) -> Result<Noted, Reason>
where
    F: Frame + ?Sized,
    L: Lookups + AddressLookups<A>,
    A: Tracked,
{
    let packet = located.packet::<A>()?;
    if matches!(packet.piece, Piece::Later) {
        return Ok(Noted::Done);
    }
    let Some(protocol) = PortProtocol::from_number(packet.protocol) else {
        let is_noted = !A::is_control(packet.protocol);
        return if is_noted { note_portless(frame, &packet, lookups).map(|()| Noted::Done) } else { Ok(Noted::Done) };
    };
    let Some(seen) = Seen::read(frame, &packet, protocol, lookups)? else { return Ok(Noted::Done) };
    if !is_forwarded && seen.passes_anyway(lookups) {
        return Ok(Noted::Unsettled);
    }
    if !seen.to_many {
        seen.note(FlowKind::Unicast, lookups);
        return Ok(Noted::Done);
    }
    match Asker::of(&seen.ports) {
        Asker::Client => seen.note(FlowKind::Multicast, lookups),
        Asker::Mdns if matches!(protocol, PortProtocol::Udp) => {
            if !is_mdns_answer(frame, packet.transport).ok_or(Reason::Truncated)? {
                seen.note(FlowKind::Mdns, lookups);
            }
        }
        Asker::Service | Asker::Mdns => {}
    }
    Ok(Noted::Done)
}

/// A packet that may make a flow, or keep one alive.
struct Seen<A> {
    protocol: PortProtocol,
    ports: transport::Ports,
    /// The addresses of its answers.
    answer: Addresses<A>,
    /// Whether it is a multicast or broadcast datagram, by its IP address or by its link address, the only sign of a subnet's broadcast address.
    /// A connection has one peer, even if the frames to it go to a group (clusters).
    to_many: bool,
}

impl<A: Tracked> Seen<A> {
    /// `None` if it does neither.
    #[inline(always)]
    fn read<F: Frame + ?Sized, L: Lookups>(
        frame: &F,
        packet: &Packet<A>,
        protocol: PortProtocol,
        lookups: &L,
    ) -> Result<Option<Self>, Reason> {
        let ports = transport::ports(frame, packet, protocol)?;
        let is_tcp = matches!(protocol, PortProtocol::Tcp);
        // A server's data: a port that never opened a connection has no flow.
        if is_tcp && !ports.opens_connection() && lookups.sent(protocol, ports.source()).unicast == 0 {
            return Ok(None);
        }
        let answer = A::read(frame, packet.addresses).ok_or(Reason::Truncated)?.swapped();
        let is_group = answer.source.is_multicast();
        let to_many = protocol.is_datagram() && (is_group || packet.link_multicast);
        // A connection to a group is impossible.
        let is_lost = is_group && !to_many;
        Ok((!is_lost).then_some(Self { protocol, ports, answer, to_many }))
    }

    /// Whether the policy allows its answers anyway, unless they are forwarded.
    #[inline(always)]
    fn passes_anyway<L: Lookups + AddressLookups<A>>(&self, lookups: &L) -> bool {
        !matches!(self.protocol, PortProtocol::Tcp)
            && lets_in(lookups, lookups.class(self.protocol, self.ports.source()), self.answer.source)
    }

    /// Keep the flow of this kind alive, or open it.
    #[inline(always)]
    fn note<L: Lookups + AddressLookups<A>>(&self, kind: FlowKind, lookups: &L) {
        let Self { protocol, ref ports, ref answer, .. } = *self;
        let key = match kind {
            FlowKind::Mdns => A::mdns_key(lookups.interface()),
            FlowKind::Unicast | FlowKind::Multicast => A::reply_key(answer, protocol.number(), &ports.reversed(), kind),
        };
        let class = FlowClass::new(protocol, kind);
        let is_known = AddressLookups::<A>::find_flow(lookups, &key, class, Direction::Egress);
        if !is_known && (!matches!(protocol, PortProtocol::Tcp) || ports.opens_connection()) {
            AddressLookups::<A>::insert_flow(lookups, &key, class);
            lookups.mark_sent(protocol, ports.source(), kind);
        }
    }
}
