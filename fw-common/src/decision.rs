//! The decision about a packet: verdict and reason in one word.

use core::fmt;

use crate::{
    address::Address,
    frame::Frame,
    lookups::Lookups,
    protocol::PortProtocol,
    reason::{Reason, Verdict},
};

/// The verdict on a packet, with its reason. One word, because that is what a BPF function returns.
///
/// | bits | meaning |
/// |---|---|
/// | 0-7 | the reason |
/// | 8-23 | the destination port |
/// | 24-31 | the number of the port's protocol plus 1; 0 without a port |
/// | 32-38 | offset of the addresses if the decision [may be unsettled](Decision::is_unsettled), else 0 |
/// | 39 | 1 if these are IPv6 addresses |
/// | 40-49 | offset of the transport header if a [limit](crate::withhold) may apply, or the packet [may answer a multicast query](Decision::may_answer_many) |
/// | 50 | 1 if the packet may answer a multicast query |
/// | 51 | 1 if the packet is long enough for the header of an mDNS message there |
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct Decision(u64);

impl Decision {
    const PORT: u32 = 8;
    const PROTOCOL: u32 = 24;
    const ADDRESSES: u32 = 32;
    const IPV6: u32 = 39;
    const TRANSPORT: u32 = 40;
    const MANY: u32 = 50;
    const MESSAGE: u32 = 51;
    /// The decision about a datagram that [answers a multicast query](crate::answers_many).
    pub const ANSWER: Self = Self::new(Reason::Reply, None);
    /// The decision about a packet that would pass, but whose sender [is banned](crate::withhold).
    pub const BANNED: Self = Self::new(Reason::Banned, None);
    /// The bits of a final decision.
    const FINAL: u64 = u32::MAX as u64;
    /// The bits of a settled decision to which a limit may apply.
    const SETTLED: u64 = Self::FINAL | 0x3ff << Self::TRANSPORT;

    /// A decision for this reason. `port` is the port to count the packet under.
    #[inline(always)]
    #[must_use]
    pub const fn new(reason: Reason, port: Option<(PortProtocol, u16)>) -> Self {
        let port = match port {
            Some((protocol, port)) => (protocol as u64 + 1) << Self::PROTOCOL | (port as u64) << Self::PORT,
            None => 0,
        };
        Self(port | reason as u64)
    }

    /// The same decision; the verifier [forgets](Frame::forget) what it knows about it.
    #[inline(always)]
    #[must_use]
    pub fn forgotten<F: Frame + ?Sized>(self, frame: &F) -> Self {
        Self(frame.forget(self.0))
    }

    /// The [number of the reason](Reason::from_number), from which the verdict follows.
    #[inline(always)]
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0 as u8
    }

    /// The reason.
    #[inline(always)]
    #[must_use]
    pub const fn reason(self) -> Reason {
        match Reason::from_number(self.number()) {
            Some(reason) => reason,
            // Unreachable, and BPF cannot panic.
            None => Reason::Malformed,
        }
    }

    /// The destination port to count the packet under, if the ports were read. Replies are not counted by port, because their
    /// destination ports are ephemeral.
    #[inline(always)]
    #[must_use]
    pub const fn port(self) -> Option<(PortProtocol, u16)> {
        let port = (self.0 >> Self::PORT) as u16;
        match (self.0 >> Self::PROTOCOL) as u8 {
            0 => None,
            1 => Some((PortProtocol::Tcp, port)),
            2 => Some((PortProtocol::Udp, port)),
            3 => Some((PortProtocol::Sctp, port)),
            4 => Some((PortProtocol::Dccp, port)),
            _ => Some((PortProtocol::UdpLite, port)),
        }
    }

    /// The [index of the port](crate::abi::port_index) among those of all protocols; greater than every index if there is no port.
    #[inline(always)]
    #[must_use]
    pub const fn port_index(self) -> u64 {
        (self.0 >> Self::PORT).wrapping_sub(1 << (Self::PROTOCOL - Self::PORT))
    }

    /// The [kind](crate::record::Kind) under which a drop is recorded; never 0 for a drop.
    #[inline(always)]
    #[must_use]
    pub const fn kind(self) -> u64 {
        (self.number() as u64) << 32 | self.port_index() as u32 as u64
    }

    /// The same decision, with the offset of the addresses if it is a drop that the routing table can change.
    #[inline(always)]
    pub(crate) const fn unsettled_if_dropped<A: Address>(self, addresses: usize) -> Self {
        if self.is_closed() || self.number() == Reason::Forwarded as u8 {
            self.unsettled(addresses, A::IS_IPV6)
        } else {
            self
        }
    }

    /// The same decision with the offset of the addresses. The reason of an allowed packet is the one for a packet that is routed on.
    #[inline(always)]
    pub(crate) const fn unsettled(self, addresses: usize, is_ipv6: bool) -> Self {
        Self(self.0 | (addresses as u64) << Self::ADDRESSES | (is_ipv6 as u64) << Self::IPV6)
    }

    /// Whether it must still be [settled](crate::settle): the packet is allowed unless it is forwarded, or its port is closed unless it answers a multicast query
    /// or is routed on to a network of the policy.
    #[inline(always)]
    #[must_use]
    pub fn is_unsettled<L: Lookups>(self, lookups: &L) -> bool {
        self.0 & !Self::SETTLED != 0 && (!self.is_closed() || self.may_answer_many() || lookups.names_networks())
    }

    /// The same decision about a datagram that no rule allows, with the offset of its transport header: it passes if it answers a multicast query.
    #[inline(always)]
    pub(crate) const fn unless_it_answers_many(self, transport: usize, has_message: bool) -> Self {
        Self(self.with_transport(transport).0 | 1 << Self::MANY | (has_message as u64) << Self::MESSAGE)
    }

    /// Whether a rule allows the packet, unless it is [forwarded](crate::settle).
    #[inline(always)]
    pub(crate) const fn is_let_in(self) -> bool {
        self.0 & !Self::SETTLED != 0 && !self.is_closed()
    }

    /// Whether the packet is a datagram to a port that sent multicast or broadcast datagrams.
    #[inline(always)]
    #[must_use]
    pub const fn may_answer_many(self) -> bool {
        self.0 >> Self::MANY != 0
    }

    /// Whether the packet is long enough for the header of an mDNS message after UDP's.
    #[inline(always)]
    pub(crate) const fn has_message(self) -> bool {
        self.0 >> Self::MESSAGE != 0
    }

    /// Whether its port is a UDP port.
    #[inline(always)]
    pub(crate) const fn is_udp(self) -> bool {
        (self.0 >> Self::PROTOCOL) as u8 == PortProtocol::Udp as u8 + 1
    }

    /// The same decision with the offset of the transport header.
    #[inline(always)]
    pub(crate) const fn with_transport(self, transport: usize) -> Self {
        Self(self.0 | (transport as u64 & 0x3ff) << Self::TRANSPORT)
    }

    /// The offset of the transport header; 0 where it is not needed.
    #[inline(always)]
    pub(crate) const fn transport(self) -> usize {
        (self.0 >> Self::TRANSPORT) as usize & 0x3ff
    }

    /// Whether the addresses are IPv6 addresses.
    #[inline(always)]
    pub(crate) const fn is_ipv6(self) -> bool {
        self.0 >> Self::IPV6 & 1 != 0
    }

    /// The offset of the addresses.
    #[inline(always)]
    pub(crate) const fn addresses(self) -> usize {
        (self.0 >> Self::ADDRESSES) as usize & 0x7f
    }

    /// The settled decision: without the offset of the addresses.
    #[inline(always)]
    #[must_use]
    pub const fn as_it_is(self) -> Self {
        Self(self.0 & Self::SETTLED)
    }

    /// Whether no rule allows the packet. It passes only if it is routed on to a network of the policy.
    #[inline(always)]
    #[must_use]
    pub const fn is_closed(self) -> bool {
        self.number() == Reason::ClosedPort as u8 || self.number() == Reason::ClosedProtocol as u8
    }

    /// The settled decision.
    #[inline(always)]
    #[must_use]
    pub const fn settled(self, onward: Onward) -> Self {
        let word = self.0 & Self::SETTLED;
        match onward {
            Onward::Here if self.is_closed() => Self(word),
            Onward::Here => {
                let has_port = (word >> Self::PROTOCOL) as u8 != 0;
                Self(word & !0xff | if has_port { Reason::Allowed } else { Reason::Protocol } as u64)
            }
            // Replies are not counted by port, whether they are routed on or not.
            _ if self.number() == Reason::Reply as u8 => Self(Reason::Reply as u64),
            Onward::ToNetwork => Self(Reason::Routed as u64),
            Onward::Elsewhere => Self(word),
        }
    }

    /// Whether a ban or a limit can [change](crate::withhold) it: an IP packet passes, and there are bans, or limits that may apply.
    #[inline(always)]
    #[must_use]
    pub fn may_be_withheld<L: Lookups>(self, lookups: &L) -> bool {
        matches!(self.verdict(), Verdict::Pass) && self.number() != Reason::NotIp as u8 && lookups.has_bans_or_limits()
    }

    /// The final decision where neither a ban nor a limit applies.
    #[inline(always)]
    #[must_use]
    pub const fn passed(self) -> Self {
        Self(self.0 & Self::FINAL)
    }

    /// The final decision where a limit is exceeded: counted under the port whose limit it is.
    #[inline(always)]
    pub(crate) const fn limited(self) -> Self {
        Self(self.0 & Self::FINAL & !0xff | Reason::Limited as u64)
    }

    /// Whether its port is a TCP port.
    #[inline(always)]
    pub(crate) const fn is_tcp(self) -> bool {
        (self.0 >> Self::PROTOCOL) as u8 == PortProtocol::Tcp as u8 + 1
    }

    /// The number of its port.
    #[inline(always)]
    pub(crate) const fn port_number(self) -> u16 {
        (self.0 >> Self::PORT) as u16
    }

    /// Pass or drop.
    #[inline(always)]
    #[must_use]
    pub const fn verdict(self) -> Verdict {
        if self.number() < Reason::FIRST_DROP { Verdict::Pass } else { Verdict::Drop }
    }
}

impl fmt::Debug for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decision").field("reason", &self.reason()).field("port", &self.port()).finish()
    }
}

/// Where the routing table sends a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Onward {
    /// Nowhere: it is for this host, for another host on the link that it came by, or for nobody.
    Here,
    /// On to another machine or container.
    Elsewhere,
    /// On to a network that the policy names.
    ToNetwork,
}
