//! What the decision needs to know, apart from the packet.

use crate::{
    abi::Sent,
    address::{V4, V6},
    flow::{Direction, FlowClass, FlowKind, Tracked},
    protocol::PortProtocol,
    wire::{Addresses, ethernet::Tags},
};

/// The policy in force, the flows, the routes and the clock, as the decision needs them. In the kernel these are maps and
/// helpers, in tests on the host plain collections.
pub trait Lookups: AddressLookups<V4> + AddressLookups<V6> {
    /// The class of a port in the policy in force: [`CLASS_CLOSED`](crate::abi::CLASS_CLOSED), [`CLASS_OPEN`](crate::abi::CLASS_OPEN), or the number
    /// of a list of source networks.
    fn class(&self, protocol: PortProtocol, port: u16) -> u16;

    /// Whether `--allow-proto` names the IP protocol number.
    fn allows_protocol(&self, protocol: u8) -> bool;

    /// What was ever sent from a local port.
    fn sent(&self, protocol: PortProtocol, port: u16) -> Sent;

    /// Note that a local port sent a packet.
    fn mark_sent(&self, protocol: PortProtocol, port: u16, kind: FlowKind);

    /// Whether there are bans.
    fn has_bans(&self) -> bool;

    /// The index of the interface that the packet came in by, or leaves by.
    fn interface(&self) -> u32;

    /// Whether the policy has limits.
    fn has_limits(&self) -> bool;

    /// Whether there are bans or limits.
    #[inline(always)]
    fn has_bans_or_limits(&self) -> bool {
        self.has_bans() || self.has_limits()
    }

    /// Count an echo request; returns whether it exceeds the limit for all senders.
    fn exceeds_ping_limit(&self) -> bool;

    /// Whether the policy names networks that packets may be routed on to.
    fn names_networks(&self) -> bool;

    /// Whether a packet of an IP protocol without ports was ever sent.
    fn sent_portless(&self, protocol: u8) -> bool;

    /// Note that a packet of an IP protocol without ports was sent.
    fn mark_sent_portless(&self, protocol: u8);
}

/// The look-ups with separate tables for each address family.
pub trait AddressLookups<A: Tracked> {
    /// Whether a class that is neither open nor closed [lets an address in](crate::admission::Admission::lets_in).
    fn is_in_class(&self, class: u16, address: A) -> bool;

    /// Count a connection of a sender to the port of this [number](crate::abi::port_index) and class; returns whether it exceeds the sender's limit,
    /// if there is one.
    fn exceeds_limit(&self, class: u16, port: u32, sender: A) -> bool;

    /// Whether the policy forbids routing on to at least some machines, and the routing table would send a packet in a frame with these tags
    /// on to another machine or container.
    fn is_forwarded(&self, tags: Tags, addresses: &Addresses<A>) -> bool;

    /// Whether it is remembered that a packet to this destination, in a frame without tags, is not [forwarded](Self::is_forwarded). Where nothing is
    /// remembered it is asked.
    #[inline(always)]
    fn is_known_to_stay(&self, _destination: A) -> bool {
        false
    }

    /// Whether a sender is in a banned network.
    fn is_banned(&self, sender: A) -> bool;

    /// Whether a sender may be on the link that its packet came in by, in a frame with these tags. False only if the routing table shows that it is not.
    fn may_be_on_link(&self, tags: Tags, sender: A) -> bool;

    /// Whether the flow is in the table of its class and alive by the rule of [`flow::judge`](crate::flow::judge). The entry is updated by
    /// the same rule.
    fn find_flow(&self, key: &A::Key, class: FlowClass, direction: Direction) -> bool;

    /// Put a flow into the table of its class, used now.
    fn insert_flow(&self, key: &A::Key, class: FlowClass);
}
