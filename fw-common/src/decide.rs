//! The verdict on an incoming packet. A packet passes if its protocol and ports were read and are allowed, or if it is on the
//! short list of what always passes. Every other packet is dropped, with a reason.

use crate::{
    abi::{CLASS_CLOSED, CLASS_FORWARD, CLASS_OPEN, Sent, port_index},
    address::{Address, V4, V6},
    decision::{Decision, Onward},
    discovery::{Asker, MDNS_LEAST, is_mdns_answer, is_mdns_from_link},
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

/// The verdict on an incoming frame.
#[inline(always)]
pub fn decide<F: Frame + ?Sized, L: Lookups>(frame: &F, lookups: &L) -> Decision {
    let decision = decide_plain(frame, lookups).map_or_else(
        || {
            let network = LocatedNetwork::locate(frame);
            decide_located(frame, Located::locate(frame, network), lookups)
        },
        |decision| settled(frame, decision, lookups),
    );
    concluded(frame, decision, LocatedNetwork::locate(frame), lookups)
}

/// The decision about a packet behind this link layer, after bans and limits.
#[inline(always)]
pub fn concluded<F: Frame + ?Sized, L: Lookups>(
    frame: &F,
    decision: Decision,
    network: LocatedNetwork,
    lookups: &L,
) -> Decision {
    if decision.may_be_withheld(lookups) { withhold(frame, network, decision, lookups) } else { decision.passed() }
}

/// The final decision about a packet that would pass: it is dropped all the same if its sender [is banned](Reason::Banned) or it exceeds
/// [a limit](Reason::Limited). What is dropped for another reason is not counted by a limit.
#[inline(always)]
pub fn withhold<F: Frame + ?Sized, L: Lookups>(
    frame: &F,
    network: LocatedNetwork,
    decision: Decision,
    lookups: &L,
) -> Decision {
    #[inline(always)]
    fn ask<F, L, A>(frame: &F, network: LocatedNetwork, decision: Decision, lookups: &L) -> Decision
    where
        F: Frame + ?Sized,
        L: Lookups + AddressLookups<A>,
        A: Tracked,
    {
        let passed = decision.passed();
        let Some(Addresses { source: sender, .. }) = A::read(frame, network.network() + A::OFFSET) else {
            return passed;
        };
        if lookups.has_bans() && lookups.is_banned(sender) {
            return Decision::BANNED;
        }
        if !lookups.has_limits() || decision.transport() == 0 {
            return passed;
        }
        let transport = decision.transport();
        let exceeds = if decision.is_tcp() {
            let port = decision.port_number();
            transport::opens_connection_at(frame, transport)
                && lookups.exceeds_limit(
                    lookups.class(PortProtocol::Tcp, port),
                    port_index(PortProtocol::Tcp, port),
                    sender,
                )
        } else {
            // IGMP has no message of this type (RFC 3376, 4). Other decisions about ICMP are not under a port.
            decision.number() == Reason::Protocol as u8
                && frame.pair(transport).is_some_and(|[kind, _]| kind == A::ECHO_REQUEST)
                && lookups.exceeds_ping_limit()
        };
        if exceeds { passed.limited() } else { passed }
    }
    match network.ether_type() {
        ethernet::ETHER_TYPE_IPV4 => ask::<F, L, V4>(frame, network, decision, lookups),
        ethernet::ETHER_TYPE_IPV6 => ask::<F, L, V6>(frame, network, decision, lookups),
        _ => decision.passed(),
    }
}

#[inline(always)]
fn settled<F: Frame + ?Sized, L: Lookups>(frame: &F, decision: Decision, lookups: &L) -> Decision {
    if !decision.is_unsettled(lookups) {
        decision.as_it_is()
    } else if decision.may_answer_many() && answers_many(frame, decision, lookups) {
        Decision::ANSWER
    } else {
        settle(frame, decision, lookups)
    }
}

/// The verdict on a frame with TCP, UDP or ICMP and without tags, options, fragments or extension headers, as nearly all are; `None` for
/// any other. All offsets are known at compile time. The decision [may be unsettled](Decision::is_unsettled).
#[inline(always)]
pub fn decide_plain<F: Frame + ?Sized, L: Lookups>(frame: &F, lookups: &L) -> Option<Decision> {
    let link = ethernet::parse_plain(frame)?;
    match link.ether_type {
        ethernet::ETHER_TYPE_IPV4 => judge_plain(frame, ipv4::parse_plain(frame, &link)?, lookups),
        ethernet::ETHER_TYPE_IPV6 => judge_plain(frame, ipv6::parse_plain(frame, &link)?, lookups),
        _ => Some(Decision::new(Reason::NotIp, None)),
    }
}

/// The verdict on an incoming packet of an interface without Ethernet headers. The packet starts with its network header; the kernel says
/// its protocol, an `EtherType` in host byte order.
#[inline(always)]
pub fn decide_packet<F: Frame + ?Sized, L: Lookups>(packet: &F, ether_type: u16, lookups: &L) -> Decision {
    let network = LocatedNetwork::bare(packet, ether_type);
    let decision = decide_located(packet, Located::locate(packet, network), lookups);
    concluded(packet, decision, network, lookups)
}

#[inline(always)]
fn judge_plain<F, L, A>(frame: &F, packet: Result<Packet<A>, Reason>, lookups: &L) -> Option<Decision>
where
    F: Frame + ?Sized,
    L: Lookups + AddressLookups<A>,
    A: Tracked,
{
    let judged = packet.and_then(|packet| match packet.protocol {
        // One call for each protocol, so that the compiler specializes each.
        number::TCP => judge_ports(frame, &packet, PortProtocol::Tcp, lookups).map(Some),
        number::UDP => judge_ports(frame, &packet, PortProtocol::Udp, lookups).map(Some),
        protocol if A::is_control(protocol) => Ok(Some(without_ports(frame, &packet, lookups))),
        _ => Ok(None),
    });
    let decision = judged.unwrap_or_else(|reason| Some(Decision::new(reason, None)))?;
    let addresses = ethernet::HEADER + A::OFFSET;
    Some(settled_from_memory::<F, L, A>(frame, addresses, decision, lookups).unsettled_if_dropped::<A>(addresses))
}

/// Settle a decision about an untagged packet where it is remembered that the packet ends here. All others are settled [later](settle), where paths
/// have joined.
#[inline(always)]
fn settled_from_memory<F, L, A>(frame: &F, addresses: usize, decision: Decision, lookups: &L) -> Decision
where
    F: Frame + ?Sized,
    L: AddressLookups<A>,
    A: Tracked,
{
    let stays = || A::read(frame, addresses).is_some_and(|to| lookups.is_known_to_stay(to.destination));
    if decision.is_let_in() && stays() { decision.settled(Onward::Here) } else { decision }
}

/// The verdict on a frame whose packet was [located](Located::locate).
///
/// In the kernel its steps are separate functions. Otherwise the verifier would follow each path to a packet through the routing-table look-up,
/// and each result of that through the flow look-ups.
#[inline(always)]
pub fn decide_located<F: Frame + ?Sized, L: Lookups>(frame: &F, located: Located, lookups: &L) -> Decision {
    settled(frame, judge_located(frame, located, lookups), lookups)
}

/// The same without the routing table: the decision [may be unsettled](Decision::is_unsettled).
#[inline(always)]
pub fn judge_located<F: Frame + ?Sized, L: Lookups>(frame: &F, located: Located, lookups: &L) -> Decision {
    let judged = if located.is_ipv6() {
        located.packet::<V6>().and_then(|packet| judge(frame, &packet, lookups))
    } else {
        located.packet::<V4>().and_then(|packet| judge(frame, &packet, lookups))
    };
    judged.unwrap_or_else(|reason| Decision::new(reason, None)).forgotten(frame)
}

/// Settle a decision with the routing table. The packet does not [answer a multicast query](answers_many).
#[inline(always)]
pub fn settle<F: Frame + ?Sized, L: Lookups>(frame: &F, decision: Decision, lookups: &L) -> Decision {
    #[inline(always)]
    fn ask<F, L, A>(frame: &F, at: usize, lookups: &L) -> Onward
    where
        F: Frame + ?Sized,
        L: Lookups + AddressLookups<A>,
        A: Tracked,
    {
        let Some(addresses) = A::read(frame, at) else { return Onward::Elsewhere };
        // Forgotten, so that the verifier follows the rest once for all results.
        if frame.forget(u64::from(lookups.is_forwarded(tags::<F, A>(frame, at), &addresses))) == 0 {
            Onward::Here
        } else if lookups.names_networks() && lookups.is_in_class(CLASS_FORWARD, addresses.destination) {
            Onward::ToNetwork
        } else {
            Onward::Elsewhere
        }
    }
    if decision.is_closed() && !lookups.names_networks() {
        return decision.as_it_is();
    }
    let at = decision.addresses();
    let onward =
        if decision.is_ipv6() { ask::<F, L, V6>(frame, at, lookups) } else { ask::<F, L, V4>(frame, at, lookups) };
    decision.settled(onward).forgotten(frame)
}

/// Whether a datagram answers a multicast or broadcast query, where it [may](Decision::may_answer_many), and comes from the link.
#[inline(always)]
pub fn answers_many<F: Frame + ?Sized, L: Lookups>(frame: &F, decision: Decision, lookups: &L) -> bool {
    #[inline(always)]
    fn ask<F, L, A>(frame: &F, decision: Decision, lookups: &L) -> bool
    where
        F: Frame + ?Sized,
        L: Lookups + AddressLookups<A>,
        A: Tracked,
    {
        let (at, transport) = (decision.addresses(), decision.transport());
        let (Some(addresses), Some([ports])) = (A::read(frame, at), frame.words(transport)) else { return false };
        let ports = transport::Ports::from_word(ports);
        if decision.is_udp() && matches!(Asker::of(&ports), Asker::Mdns) {
            let key = A::mdns_key(lookups.interface());
            return decision.has_message()
                && is_mdns_answer(frame, transport) == Some(true)
                && is_mdns_from_link(frame, at, addresses.destination)
                && AddressLookups::<A>::find_flow(lookups, &key, FlowClass::Mdns, Direction::Ingress);
        }
        let protocol = if decision.is_udp() { number::UDP } else { number::UDP_LITE };
        let key = A::reply_key(&addresses, protocol, &ports, FlowKind::Multicast);
        AddressLookups::<A>::find_flow(lookups, &key, FlowClass::Group, Direction::Ingress)
            && lookups.may_be_on_link(tags::<F, A>(frame, at), addresses.source)
    }
    if decision.is_ipv6() {
        ask::<F, L, V6>(frame, decision, lookups)
    } else {
        ask::<F, L, V4>(frame, decision, lookups)
    }
}

/// `Err` is a verdict as well: one that is known early.
#[inline(always)]
fn judge<F, L, A>(frame: &F, packet: &Packet<A>, lookups: &L) -> Result<Decision, Reason>
where
    F: Frame + ?Sized,
    L: Lookups + AddressLookups<A>,
    A: Tracked,
{
    match PortProtocol::from_number(packet.protocol) {
        None => Ok(without_ports(frame, packet, lookups).unsettled_if_dropped::<A>(packet.addresses)),
        Some(_) if matches!(packet.piece, Piece::Later) => {
            Err(if packet.from_this_network { Reason::Martian } else { Reason::Fragment })
        }
        Some(protocol) => judge_ports(frame, packet, protocol, lookups)
            .map(|decision| decision.unsettled_if_dropped::<A>(packet.addresses)),
    }
}

/// The verdict that a packet's ports lead to.
enum Judged {
    /// A final one.
    Settled(Reason),
    /// A rule allows the packet; the reason is for a packet that is routed on.
    LetIn(Reason),
    /// The port is closed, unless the packet answers a multicast or broadcast query.
    MayAnswerMany,
}

#[inline(always)]
fn judge_ports<F, L, A>(frame: &F, packet: &Packet<A>, protocol: PortProtocol, lookups: &L) -> Result<Decision, Reason>
where
    F: Frame + ?Sized,
    L: Lookups + AddressLookups<A>,
    A: Tracked,
{
    let ports = transport::ports(frame, packet, protocol)?;
    let port = Some((protocol, ports.destination()));
    Ok(match with_ports(frame, packet, protocol, &ports, lookups) {
        Judged::Settled(Reason::Reply) => Decision::new(Reason::Reply, None),
        Judged::Settled(reason) => Decision::new(reason, port),
        Judged::LetIn(reason) => {
            Decision::new(reason, port).unsettled(packet.addresses, A::IS_IPV6).with_transport(packet.transport)
        }
        Judged::MayAnswerMany => Decision::new(Reason::ClosedPort, port)
            .unless_it_answers_many(packet.transport, packet.transport + MDNS_LEAST <= packet.end),
    })
}

/// Whether this host sent packets of the same protocol to the packet's sender.
#[inline(always)]
fn answers_portless<F, L, A>(frame: &F, packet: &Packet<A>, lookups: &L) -> bool
where
    F: Frame + ?Sized,
    L: Lookups + AddressLookups<A>,
    A: Tracked,
{
    A::read(frame, packet.addresses).is_some_and(|addresses| {
        let key = A::reply_key(&addresses, packet.protocol, &transport::Ports::new(0, 0), FlowKind::Unicast);
        AddressLookups::<A>::find_flow(lookups, &key, FlowClass::Portless, Direction::Ingress)
    })
}

/// Protocols without ports: ICMP and IGMP pass, tunnels if the policy names them or this host began them. [`Reason::Forwarded`] is not settled yet.
#[inline(always)]
fn without_ports<F, L, A>(frame: &F, packet: &Packet<A>, lookups: &L) -> Decision
where
    F: Frame + ?Sized,
    L: Lookups + AddressLookups<A>,
    A: Tracked,
{
    let decision = Decision::new(why_without_ports(frame, packet, lookups), None);
    if A::is_control(packet.protocol) { decision.with_transport(packet.transport) } else { decision }
}

#[inline(always)]
fn why_without_ports<F, L, A>(frame: &F, packet: &Packet<A>, lookups: &L) -> Reason
where
    F: Frame + ?Sized,
    L: Lookups + AddressLookups<A>,
    A: Tracked,
{
    let is_later = matches!(packet.piece, Piece::Later);
    // A switch with IGMP snooping may query from 0.0.0.0 (RFC 4541, 2.1.1). Hosts that miss the query lose their multicast.
    if packet.from_this_network && packet.protocol != number::IGMP {
        Reason::Martian
    } else if is_later && A::LATER_FRAGMENT_IS_ANONYMOUS {
        Reason::Fragment
    } else if A::is_control(packet.protocol) {
        if is_later { Reason::Fragment } else { Reason::Protocol }
    } else if lookups.sent_portless(packet.protocol) && answers_portless(frame, packet, lookups) {
        if is_later { Reason::Fragment } else { Reason::Reply }
    } else if !lookups.allows_protocol(packet.protocol) {
        Reason::ClosedProtocol
    } else if is_later {
        Reason::Fragment
    } else {
        Reason::Forwarded
    }
}

#[inline(always)]
fn with_ports<F, L, A>(
    frame: &F,
    packet: &Packet<A>,
    protocol: PortProtocol,
    ports: &transport::Ports,
    lookups: &L,
) -> Judged
where
    F: Frame + ?Sized,
    L: Lookups + AddressLookups<A>,
    A: Tracked,
{
    if ports.destination() == 0 {
        return Judged::Settled(if packet.from_this_network { Reason::Martian } else { Reason::ClosedPort });
    }
    let opens_connection = matches!(protocol, PortProtocol::Tcp) && ports.opens_connection();
    let class = lookups.class(protocol, ports.destination());
    // Most packets of a flood end here: nothing below lets a SYN to a closed port pass.
    if class == CLASS_CLOSED && opens_connection && !packet.from_this_network {
        return Judged::Settled(Reason::ClosedPort);
    }
    // A SYN is not a reply, and a port that never sent anything gets no replies: neither needs a flow look-up.
    let sent =
        if opens_connection { Sent { unicast: 0, multicast: 0 } } else { lookups.sent(protocol, ports.destination()) };
    let is_udp = matches!(protocol, PortProtocol::Udp);
    let may_be_dhcp = is_udp && ports.destination() == A::DHCP_CLIENT;
    // Other packets of a flood end here, before their addresses are read.
    if class == CLASS_CLOSED && sent.unicast == 0 && sent.multicast == 0 && !may_be_dhcp && !packet.from_this_network {
        return Judged::Settled(Reason::ClosedPort);
    }
    let Some(addresses) = A::read(frame, packet.addresses) else { return Judged::Settled(Reason::Truncated) };
    if packet.from_this_network && !(is_udp && addresses.source.is_dhcp_request(ports)) {
        return Judged::Settled(Reason::Martian);
    }
    let is_let_in = lets_in(lookups, class, addresses.source);
    let reason = if sent.unicast != 0 && answers(lookups, packet, &addresses, protocol, ports) {
        Reason::Reply
    } else if is_udp && addresses.source.is_dhcp_answer(ports) {
        Reason::Essential
    } else if is_let_in {
        Reason::Forwarded
    } else if protocol.is_datagram() && sent.multicast != 0 {
        return Judged::MayAnswerMany;
    } else {
        Reason::ClosedPort
    };
    if is_let_in { Judged::LetIn(reason) } else { Judged::Settled(reason) }
}

/// The VLAN tags of the packet whose addresses start at this offset.
#[inline(always)]
pub(crate) fn tags<F: Frame + ?Sized, A: Address>(frame: &F, addresses: usize) -> Tags {
    // A separate offset: what the verifier learns about it must not split the paths that follow.
    let network = frame.forget((addresses - A::OFFSET) as u64) as usize;
    Tags(frame.forget(u64::from(Tags::of(frame, network).0)) as u32)
}

/// Whether a port of this class is open to a sender.
#[inline(always)]
pub(crate) fn lets_in<L: AddressLookups<A>, A: Tracked>(lookups: &L, class: u16, sender: A) -> bool {
    match class {
        CLASS_CLOSED => false,
        CLASS_OPEN => true,
        class => lookups.is_in_class(class, sender),
    }
}

/// Whether the packet is a reply to a unicast packet.
#[inline(always)]
fn answers<L, A>(
    lookups: &L,
    packet: &Packet<A>,
    addresses: &Addresses<A>,
    protocol: PortProtocol,
    ports: &transport::Ports,
) -> bool
where
    L: AddressLookups<A>,
    A: Tracked,
{
    let key = A::reply_key(addresses, packet.protocol, ports, FlowKind::Unicast);
    let class = FlowClass::new(protocol, FlowKind::Unicast);
    AddressLookups::<A>::find_flow(lookups, &key, class, Direction::Ingress)
}
