//! Why a packet passed or dropped: numbers and names that are the same in the kernel, in JSON and in the manual.

use core::fmt;

/// Pass or drop. `XDP_ABORTED` is never used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// `XDP_PASS`: the packet goes on into the network stack.
    Pass,
    /// `XDP_DROP`: the packet is gone before netfilter exists for it.
    Drop,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pass => "pass",
            Self::Drop => "drop",
        })
    }
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $text:literal;)*) => {
        /// Why a packet passed or dropped. The numbers never change their meaning: 0 to 15 pass, 16 to 31 drop.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Reason {
            $($(#[$doc])* $name = $number,)*
        }

        impl Reason {
            /// Every reason, in the order of the numbers.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The reason with this number.
            #[inline(always)]
            #[must_use]
            pub const fn from_number(number: u8) -> Option<Self> {
                match number {
                    $($number => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// The name used in JSON, in reports and in the manual.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

reasons! {
    /// The `EtherType` is neither IP nor a VLAN tag: ARP, LLDP, EAPOL, STP.
    NotIp = 0, "not-ip";
    /// The destination port is in the allow list, and the source inside the rule's networks.
    Allowed = 1, "allowed";
    /// The exact reverse of a packet that left this host.
    Reply = 2, "reply";
    /// A `DHCPv4` or `DHCPv6` answer to this host's client.
    Essential = 3, "essential";
    /// ICMP, `ICMPv6`, IGMP, or an IP protocol named by `--allow-proto`.
    Protocol = 4, "protocol";
    /// A later fragment: it is useless without the first fragment, which is judged.
    Fragment = 5, "fragment";
    /// This host's own `IPsec` decrypted it: the outer packet was judged, and a key proves who the peer is.
    Decrypted = 6, "decrypted";
    /// It is routed on to a network that `--forward` names.
    Routed = 7, "routed";
    /// The destination port is not in the allow list, and the packet is not a reply to outbound traffic.
    ClosedPort = 16, "closed-port";
    /// An IP protocol without ports that `--allow-proto` does not name.
    ClosedProtocol = 17, "closed-protocol";
    /// The port is allowed, but the packet would be routed out of another interface, to an address that `--forward` does not name.
    Forwarded = 18, "forwarded";
    /// An address that is never valid on a network: loopback on either side, a multicast source.
    Martian = 19, "martian";
    /// Lengths or versions that contradict each other.
    Malformed = 20, "malformed";
    /// The frame ends inside its headers.
    Truncated = 21, "truncated";
    /// A first fragment without its ports, or a TCP fragment at offset 1 (RFC 1858, RFC 3128, RFC 7112).
    TinyFragment = 22, "tiny-fragment";
    /// IPv4 source route option, or an IPv6 routing header of type 0 (RFC 5095) or with segments left.
    SourceRoute = 23, "source-route";
    /// An IPv6 header chain that is too deep, out of order, or ends in no transport.
    HeaderChain = 24, "header-chain";
    /// More VLAN tags than are parsed.
    VlanDepth = 25, "vlan-depth";
    /// The sender is banned. Only what would pass has this reason.
    Banned = 26, "banned";
    /// The sender opened more connections than a limit allows, or more echo requests came than the limit for all senders.
    Limited = 27, "limited";
}

impl Reason {
    /// The upper bound of all numbers of reasons, exclusive; the size of the counters' table.
    pub const SLOTS: usize = 32;

    /// The lowest number of a reason that drops.
    pub const FIRST_DROP: u8 = 16;

    /// The verdict of the reason.
    #[inline(always)]
    #[must_use]
    pub const fn verdict(self) -> Verdict {
        if (self as u8) < Self::FIRST_DROP { Verdict::Pass } else { Verdict::Drop }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
