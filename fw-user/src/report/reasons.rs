//! The reasons in the words of the manual (`docs/reasons.md`).

use fw_common::Reason;

/// A description of a packet that passes or drops for the reason, as the rest of a sentence that begins with "it".
#[must_use]
pub const fn words(reason: Reason) -> &'static str {
    match reason {
        Reason::NotIp => "is not IP: ARP, LLDP, EAPOL, STP",
        Reason::Allowed => "goes to a port in the allow list, from a network that the rule names, if it names any",
        Reason::Reply => {
            "is the exact reverse of a packet that left this machine or one of its containers, or answers a query to a multicast or \
             broadcast address (mDNS, SSDP)"
        }
        Reason::Essential => {
            "is a DHCP server's answer (67 to 68; 547 to 546 from a link-local address); it is not the exact reverse of the query"
        }
        Reason::Protocol => "is ICMP, ICMPv6, IGMP, or of a protocol that --allow-proto names",
        Reason::Fragment => {
            "is a later fragment of a datagram; it is useless without the first fragment, which is judged"
        }
        Reason::Decrypted => {
            "was decrypted by this machine's own IPsec after its outer packet was judged (only in tc mode)"
        }
        Reason::Routed => "is routed on to a network that --forward names",
        Reason::ClosedPort => "goes to a port that is not allowed, and is not a reply to outbound traffic",
        Reason::ClosedProtocol => "is of a protocol without ports, such as a tunnel",
        Reason::Forwarded => {
            "goes to an allowed port, but the routing table would send it out of another interface, to a machine or container there that \
             --forward does not name"
        }
        Reason::Martian => {
            "has an address that is never valid on a network: loopback on either side, a multicast or broadcast source, 0.0.0.0/8 except for DHCP \
             and IGMP, IPv4-mapped IPv6"
        }
        Reason::Malformed => {
            "has versions or lengths that contradict each other, or is a jumbogram that Linux did not assemble itself (BIG TCP)"
        }
        Reason::Truncated => "ends inside its headers",
        Reason::TinyFragment => {
            "is a first fragment without its ports, or a TCP fragment at offset 8 bytes (RFC 1858, RFC 3128, RFC 7112)"
        }
        Reason::SourceRoute => {
            "asks for a route of its own (IPv4 options 131 and 137, IPv6 routing type 0 or any with segments left)"
        }
        Reason::HeaderChain => {
            "has more than eight IPv6 extension headers, more than 512 bytes of them, a wrong order, or an unknown header"
        }
        Reason::VlanDepth => "carries more than two VLAN tags",
        Reason::Banned => "comes from a banned network, and would pass otherwise",
        Reason::Limited => "opens more connections than the port's limit lets its sender, or is a ping above the limit",
    }
}

/// The advice for a drop that no rule can let in.
#[must_use]
pub const fn advice(reason: Reason) -> Option<&'static str> {
    match reason {
        Reason::Martian => Some("find the machine that sends it"),
        Reason::Malformed | Reason::Truncated => Some("none needed, the kernel would drop it too"),
        Reason::TinyFragment => Some("none: it is an attack or a broken sender"),
        Reason::SourceRoute | Reason::HeaderChain => Some("none: by default Linux refuses it too"),
        Reason::VlanDepth => Some("remove the inner tags before they reach this machine"),
        _ => None,
    }
}
