//! Classes of flows, and their lifetimes.

use bytemuck::{Pod, Zeroable};

use crate::protocol::PortProtocol;

/// Nanoseconds in a second.
pub const SECOND: u64 = 1_000_000_000;

/// The kind of address that opened a flow: it decides who may answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum FlowKind {
    /// To one address: only a packet with the exact reverse tuple is a reply.
    Unicast = 0,
    /// To a multicast or broadcast address: anyone on the link may answer, from any port. The key's remote address and port are 0.
    Multicast = 1,
    /// An mDNS question from mDNS's own port: answers by mDNS come to the group or to this host. The key has the interface in place of
    /// addresses.
    Mdns = 2,
}

/// The kind of conversation of a flow. It decides the flow's table and its timeout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FlowClass {
    /// TCP, SCTP and DCCP, to one address.
    Connection = 0,
    /// UDP and UDP-Lite, to one address.
    Datagram = 1,
    /// Any of them to a multicast or broadcast address.
    Group = 2,
    /// Protocols without ports, such as ESP, GRE and 6in4, to one address: each packet of the same protocol from there is a reply.
    Portless = 3,
    /// An mDNS question from mDNS's own port, which only mDNS answers from the link reply to.
    Mdns = 4,
}

impl FlowClass {
    /// The class of a flow of this protocol and kind.
    #[inline(always)]
    #[must_use]
    pub const fn new(protocol: PortProtocol, kind: FlowKind) -> Self {
        match (kind, protocol) {
            (FlowKind::Multicast, _) => Self::Group,
            (FlowKind::Mdns, _) => Self::Mdns,
            (_, PortProtocol::Udp | PortProtocol::UdpLite) => Self::Datagram,
            (_, PortProtocol::Tcp | PortProtocol::Sctp | PortProtocol::Dccp) => Self::Connection,
        }
    }

    /// Whether the flow is in the table of connections, where datagrams never evict it.
    #[inline(always)]
    #[must_use]
    pub const fn is_among_connections(self) -> bool {
        matches!(self, Self::Connection | Self::Portless)
    }

    /// The class of a flow, from the number in its key.
    #[must_use]
    pub const fn of_key(class: u32) -> Self {
        let [protocol, kind, ..] = class.to_ne_bytes();
        let kind = match kind {
            1 => FlowKind::Multicast,
            2 => FlowKind::Mdns,
            _ => FlowKind::Unicast,
        };
        match PortProtocol::from_number(protocol) {
            Some(protocol) => Self::new(protocol, kind),
            None => Self::Portless,
        }
    }
}

/// How long flows live without a packet, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Timeouts {
    /// [Connections](FlowClass::Connection).
    pub tcp: u32,
    /// [Datagrams](FlowClass::Datagram) that nobody has answered.
    pub udp: u32,
    /// Datagrams once they were answered.
    pub udp_stream: u32,
    /// Always 0.
    pub padding: u32,
}

impl Timeouts {
    /// TCP: 2 hours 4 minutes (RFC 5382, REQ-5: not less). UDP: three minutes (RFC 4787, REQ-5: not less than two; Linux keeps streams for
    /// three).
    pub const DEFAULT: Self = Self { tcp: (2 * 60 + 4) * 60, udp: 180, udp_stream: 180, padding: 0 };
    /// Answers to a multicast or broadcast request come soon or never: SSDP allows at most 5 s (`UPnP` 1.1, 1.3.2).
    pub const GROUP: u32 = 10;
    /// A host that keeps asking does so at least once an hour (RFC 6762, 5.2); in between it hears of devices that come and go.
    pub const MDNS: u32 = 65 * 60;
    /// The packets inside a tunnel keep its flow alive; conntrack too forgets unknown protocols after ten minutes
    /// (`nf_conntrack_generic_timeout`).
    pub const PORTLESS: u32 = 600;

    /// How long a flow lives, in nanoseconds.
    #[inline(always)]
    #[must_use]
    pub const fn of(&self, class: FlowClass, is_answered: bool) -> u64 {
        let seconds = match class {
            FlowClass::Connection => self.tcp,
            FlowClass::Datagram if is_answered => self.udp_stream,
            FlowClass::Datagram => self.udp,
            FlowClass::Group => Self::GROUP,
            FlowClass::Portless => Self::PORTLESS,
            FlowClass::Mdns => Self::MDNS,
        };
        seconds as u64 * SECOND
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self::DEFAULT
    }
}
