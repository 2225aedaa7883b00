//! The reasons in the words of the manual (`docs/reasons.md`).

use fw_common::Reason;

/// What a packet is or does that passes or drops for the reason: the rest of a sentence that begins with "it".
#[must_use]
pub const fn words(reason: Reason) -> &'static str {
    match reason {
        Reason::NotIp => "is no IP at all: ARP, LLDP, EAPOL, STP",
        Reason::Allowed => "goes to a port in the allow list, from a network that the rule names, if it names any",
        Reason::Reply => {
            "is the exact reverse of something that left this machine or one of its containers, or answers a question that went to many \
             (mDNS, SSDP) within 10 s"
        }
        Reason::Essential => {
            "is a DHCP server's answer (67 to 68; 547 to 546 from a link-local address), which matches no question's addresses"
        }
        Reason::Protocol => "is ICMP, ICMPv6, IGMP, or of a protocol that --allow-proto names",
        Reason::Fragment => {
            "is a later piece of a datagram: without its first piece, which is judged, it never becomes whole"
        }
        Reason::Decrypted => "was decrypted by this machine's own IPsec, whose outer packet was judged (tc mode alone)",
        Reason::Routed => "is routed on to a network that --forward names",
        Reason::ClosedPort => "goes to a port that is not allowed, and is not a reply to outbound traffic",
        Reason::ClosedProtocol => "is of a protocol without ports: a tunnel, or something rarer",
        Reason::Forwarded => {
            "goes to an allowed port, but the routing table would send it out of another interface, to a machine or container there that \
             --forward does not name"
        }
        Reason::Martian => {
            "has an address that belongs on no wire: loopback on either side, a multicast or broadcast source, 0.0.0.0/8 except for DHCP \
             and IGMP, IPv4-mapped IPv6"
        }
        Reason::Malformed => {
            "contradicts itself: versions, lengths, a jumbogram that Linux did not join itself (BIG TCP)"
        }
        Reason::Truncated => "ends before its own headers do",
        Reason::TinyFragment => {
            "is a first piece without its ports, or a TCP piece at offset 8 bytes (RFC 1858, RFC 3128, RFC 7112)"
        }
        Reason::SourceRoute => {
            "says by which way it wants to go (IPv4 options 131 and 137, IPv6 routing type 0 or any with segments left)"
        }
        Reason::HeaderChain => {
            "has more than eight IPv6 extension headers or 512 bytes of them, in a wrong order, or ones that nobody knows"
        }
        Reason::VlanDepth => "carries more than two VLAN tags",
    }
}

/// What to do about a drop that no rule could let in.
#[must_use]
pub const fn advice(reason: Reason) -> Option<&'static str> {
    match reason {
        Reason::Martian => Some("find the machine that sends it"),
        Reason::Malformed | Reason::Truncated => Some("none needed, the kernel would drop it too"),
        Reason::TinyFragment => Some("none: it is an attack or a broken sender"),
        Reason::SourceRoute | Reason::HeaderChain => Some("none: Linux refuses it as well, by default"),
        Reason::VlanDepth => Some("take the inner tags off before this machine"),
        _ => None,
    }
}
