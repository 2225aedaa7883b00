//! IP protocol numbers, and the five of them that carry ports.

use core::fmt;

/// IP protocol and IPv6 Next Header numbers, as assigned by IANA.
pub mod number {
    /// IPv6 hop-by-hop options (RFC 8200, 4.3).
    pub const HOP_BY_HOP: u8 = 0;
    /// ICMP for IPv4 (RFC 792).
    pub const ICMP: u8 = 1;
    /// IGMP (RFC 3376).
    pub const IGMP: u8 = 2;
    /// TCP (RFC 9293).
    pub const TCP: u8 = 6;
    /// UDP (RFC 768).
    pub const UDP: u8 = 17;
    /// DCCP (RFC 4340).
    pub const DCCP: u8 = 33;
    /// IPv6 routing header (RFC 8200, 4.4).
    pub const ROUTING: u8 = 43;
    /// IPv6 fragment header (RFC 8200, 4.5).
    pub const FRAGMENT: u8 = 44;
    /// Authentication header (RFC 4302).
    pub const AH: u8 = 51;
    /// `ICMPv6` (RFC 4443).
    pub const ICMPV6: u8 = 58;
    /// No next header (RFC 8200, 4.7).
    pub const NO_NEXT_HEADER: u8 = 59;
    /// IPv6 destination options (RFC 8200, 4.6).
    pub const DESTINATION_OPTIONS: u8 = 60;
    /// SCTP (RFC 9260).
    pub const SCTP: u8 = 132;
    /// Mobility header (RFC 6275).
    pub const MOBILITY: u8 = 135;
    /// UDP-Lite (RFC 3828).
    pub const UDP_LITE: u8 = 136;
    /// Host Identity Protocol (RFC 7401), an IPv6 extension header that Linux does not know.
    pub const HIP: u8 = 139;
    /// Shim6 (RFC 5533), an IPv6 extension header that Linux does not know.
    pub const SHIM6: u8 = 140;
    /// First of the two numbers for experiments (RFC 3692), IPv6 extension headers by IANA's list.
    pub const EXPERIMENT_1: u8 = 253;
    /// Second of the two numbers for experiments (RFC 3692).
    pub const EXPERIMENT_2: u8 = 254;
}

/// A transport whose first four bytes are the source and the destination port.
///
/// The discriminants index the port maps; the order is part of the ABI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum PortProtocol {
    /// TCP.
    Tcp = 0,
    /// UDP.
    Udp = 1,
    /// SCTP.
    Sctp = 2,
    /// DCCP.
    Dccp = 3,
    /// UDP-Lite.
    UdpLite = 4,
}

impl PortProtocol {
    /// Every protocol with ports, in the order of the discriminants.
    pub const ALL: [Self; 5] = [Self::Tcp, Self::Udp, Self::Sctp, Self::Dccp, Self::UdpLite];

    /// The protocol with this IP protocol number, if it carries ports.
    #[inline(always)]
    #[must_use]
    pub const fn from_number(protocol: u8) -> Option<Self> {
        match protocol {
            number::TCP => Some(Self::Tcp),
            number::UDP => Some(Self::Udp),
            number::SCTP => Some(Self::Sctp),
            number::DCCP => Some(Self::Dccp),
            number::UDP_LITE => Some(Self::UdpLite),
            _ => None,
        }
    }

    /// Whether its packets stand alone, so that one can go to many.
    #[inline(always)]
    #[must_use]
    pub const fn is_datagram(self) -> bool {
        matches!(self, Self::Udp | Self::UdpLite)
    }

    /// The IP protocol number.
    #[inline(always)]
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Tcp => number::TCP,
            Self::Udp => number::UDP,
            Self::Sctp => number::SCTP,
            Self::Dccp => number::DCCP,
            Self::UdpLite => number::UDP_LITE,
        }
    }

    /// The name in the allow grammar, in JSON and in `/etc/protocols`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
            Self::Dccp => "dccp",
            Self::UdpLite => "udplite",
        }
    }
}

impl fmt::Display for PortProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
