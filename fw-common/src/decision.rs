//! What becomes of a packet, in one word.

use core::fmt;

use crate::{
    address::Address,
    frame::Frame,
    lookups::Lookups,
    protocol::PortProtocol,
    reason::{Reason, Verdict},
};

/// The verdict on a packet, and its reason. One word, because a BPF function returns one.
///
/// | bits | what |
/// |---|---|
/// | 0-7 | the reason |
/// | 8-23 | the destination port |
/// | 24-31 | 1 more than the number of its protocol; 0 where there is no port |
/// | 32-38 | where the addresses start, if it [may be unsettled](Decision::is_unsettled); else 0 |
/// | 39 | 1 for IPv6 then |
/// | 40-49 | where the transport header starts, if it is closed and [may answer a datagram to many](Decision::may_answer_many) |
/// | 50 | 1 then |
/// | 51 | 1 if the packet has the header of an mDNS message there as well |
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
    /// What becomes of a datagram that [answers one to many](crate::answers_many).
    pub const ANSWER: Self = Self::new(Reason::Reply, None);
    /// What becomes of a packet that would pass, if its sender [is banned](crate::is_banned).
    pub const BANNED: Self = Self::new(Reason::Banned, None);
    /// What is left of one that was settled.
    const SETTLED: u64 = u32::MAX as u64;

    /// For this reason. The port is the one to count the packet under.
    #[inline(always)]
    #[must_use]
    pub const fn new(reason: Reason, port: Option<(PortProtocol, u16)>) -> Self {
        let port = match port {
            Some((protocol, port)) => (protocol as u64 + 1) << Self::PROTOCOL | (port as u64) << Self::PORT,
            None => 0,
        };
        Self(port | reason as u64)
    }

    /// The same, of which the verifier knows nothing any more by [`Frame::forget`].
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

    /// Why.
    #[inline(always)]
    #[must_use]
    pub const fn reason(self) -> Reason {
        match Reason::from_number(self.number()) {
            Some(reason) => reason,
            // Never so; and BPF has no panic.
            None => Reason::Malformed,
        }
    }

    /// The destination port to count the packet under, where the ports were read. Replies are not counted by port: theirs are
    /// this host's ephemeral ones.
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

    /// The port's [number among those of all protocols](crate::abi::port_index); more than any has where there is no port.
    #[inline(always)]
    #[must_use]
    pub const fn port_index(self) -> u64 {
        (self.0 >> Self::PORT).wrapping_sub(1 << (Self::PROTOCOL - Self::PORT))
    }

    /// What tells apart the [kinds](crate::record::Kind) of which drops are recorded; never 0 for a drop.
    #[inline(always)]
    #[must_use]
    pub const fn kind(self) -> u64 {
        (self.number() as u64) << 32 | self.port_index() as u32 as u64
    }

    /// The same with the place of the addresses, where it is a drop that the routing table may have a say in.
    #[inline(always)]
    pub(crate) const fn unsettled_if_dropped<A: Address>(self, addresses: usize) -> Self {
        if self.is_closed() || self.number() == Reason::Forwarded as u8 {
            self.unsettled(addresses, A::IS_IPV6)
        } else {
            self
        }
    }

    /// The same decision with the place of the addresses. A packet that a rule lets in gets its reason in case it is routed on.
    #[inline(always)]
    pub(crate) const fn unsettled(self, addresses: usize, is_ipv6: bool) -> Self {
        Self(self.0 | (addresses as u64) << Self::ADDRESSES | (is_ipv6 as u64) << Self::IPV6)
    }

    /// Whether it is to be [settled](crate::settle): the packet is let in, unless it is forwarded; or it is closed, unless it answers a datagram to many or is
    /// routed on to a network of the policy.
    #[inline(always)]
    #[must_use]
    pub fn is_unsettled<L: Lookups>(self, lookups: &L) -> bool {
        self.0 > Self::SETTLED && (!self.is_closed() || self.may_answer_many() || lookups.names_networks())
    }

    /// The same decision about a datagram that no rule lets in, with the place of its transport header: it passes if it answers a datagram to many.
    #[inline(always)]
    pub(crate) const fn unless_it_answers_many(self, transport: usize, has_message: bool) -> Self {
        let place = (transport as u64 & 0x3ff) << Self::TRANSPORT;
        Self(self.0 | place | 1 << Self::MANY | (has_message as u64) << Self::MESSAGE)
    }

    /// Whether the packet is a datagram to a port from which something was sent to many.
    #[inline(always)]
    #[must_use]
    pub const fn may_answer_many(self) -> bool {
        self.0 >> Self::MANY != 0
    }

    /// Whether the packet has the header of an mDNS message behind UDP's.
    #[inline(always)]
    pub(crate) const fn has_message(self) -> bool {
        self.0 >> Self::MESSAGE != 0
    }

    /// Whether its port is one of UDP.
    #[inline(always)]
    pub(crate) const fn is_udp(self) -> bool {
        (self.0 >> Self::PROTOCOL) as u8 == PortProtocol::Udp as u8 + 1
    }

    /// Where its transport header starts then.
    #[inline(always)]
    pub(crate) const fn transport(self) -> usize {
        (self.0 >> Self::TRANSPORT) as usize & 0x3ff
    }

    /// Whether the addresses are of IPv6.
    #[inline(always)]
    pub(crate) const fn is_ipv6(self) -> bool {
        self.0 >> Self::IPV6 & 1 != 0
    }

    /// The place of the addresses.
    #[inline(always)]
    pub(crate) const fn addresses(self) -> usize {
        (self.0 >> Self::ADDRESSES) as usize & 0x7f
    }

    /// The decision without the place of the addresses.
    #[inline(always)]
    #[must_use]
    pub const fn as_it_is(self) -> Self {
        Self(self.0 & Self::SETTLED)
    }

    /// Whether no rule lets the packet in, so that it passes only where it is routed on to a network of the policy.
    #[inline(always)]
    #[must_use]
    pub const fn is_closed(self) -> bool {
        self.number() == Reason::ClosedPort as u8 || self.number() == Reason::ClosedProtocol as u8
    }

    /// What such a one becomes.
    #[inline(always)]
    #[must_use]
    pub const fn settled(self, onward: Onward) -> Self {
        let word = self.0 & Self::SETTLED;
        match onward {
            Onward::Here if self.is_closed() => Self(word),
            Onward::Here => {
                let has_port = word >> Self::PROTOCOL != 0;
                Self(word & !0xff | if has_port { Reason::Allowed } else { Reason::Protocol } as u64)
            }
            // Neither is counted by port.
            _ if self.number() == Reason::Reply as u8 => Self(Reason::Reply as u64),
            Onward::ToNetwork => Self(Reason::Routed as u64),
            Onward::Elsewhere => Self(word),
        }
    }

    /// Whether bans have a say in it: it is one about an IP packet that passes, and somebody is banned.
    #[inline(always)]
    #[must_use]
    pub fn may_be_banned<L: Lookups>(self, lookups: &L) -> bool {
        matches!(self.verdict(), Verdict::Pass) && self.number() != Reason::NotIp as u8 && lookups.has_bans()
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
    /// Nowhere: it is for this host, for somebody on the link that it came by, or for nobody.
    Here,
    /// On to another machine or container.
    Elsewhere,
    /// On to a network that the policy names.
    ToNetwork,
}
