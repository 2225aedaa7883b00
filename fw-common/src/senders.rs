//! Source networks that no packet comes from. A rule for such a network looks useful but matches no packet.

use core::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Why nobody sends from a network. [`Display`](fmt::Display) also prints what to write instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoSender {
    /// Inside 0.0.0.0/8, "this network" (RFC 1122, 3.2.1.3). DHCP clients send from 0.0.0.0, but only to port 67.
    ThisNetwork,
    /// The unspecified address of IPv6 (RFC 4291, 2.5.2).
    Unspecified,
    /// Loopback addresses (RFC 1122, 3.2.1.3; RFC 4291, 2.5.3).
    Loopback,
    /// Multicast groups (RFC 1112, 4; RFC 4291, 2.7).
    Multicast,
    /// The limited broadcast address (RFC 1122, 3.2.1.3).
    Broadcast,
    /// IPv4-mapped IPv6 addresses (RFC 4291, 2.5.5.2), with the network that is meant.
    Mapped(Ipv4Net),
}

impl fmt::Display for NoSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ThisNetwork => f.write_str(
                "only DHCP clients use 0.0.0.0, to 67/udp; leave the network out for everyone, or write @0.0.0.0/0 for all of IPv4",
            ),
            Self::Unspecified => f.write_str(
                "no host has that address; leave the network out for everyone, or write @[::]/0 for all of IPv6",
            ),
            Self::Loopback => {
                f.write_str("loopback addresses stay on this machine, where nothing is filtered; remove this piece")
            }
            Self::Multicast => f.write_str(
                "multicast addresses are destinations; write the senders' network, for example @192.168.1.0/24",
            ),
            Self::Broadcast => f.write_str(
                "the broadcast address is a destination; write the senders' network, for example @192.168.1.0/24",
            ),
            Self::Mapped(net) if net.prefix_len() == 32 => write!(f, "it means an IPv4 address; write @{}", net.addr()),
            Self::Mapped(net) => write!(f, "it means IPv4 addresses; write @{net}"),
        }
    }
}

/// Why nobody sends from a network, if nobody does: the decision drops each of its addresses as [martian](crate::Reason::Martian), or it is the
/// unspecified address of IPv6.
pub(crate) fn no_sender(network: IpNet) -> Option<NoSender> {
    match network {
        IpNet::V4(net) => no_sender_v4(net),
        IpNet::V6(net) => no_sender_v6(net),
    }
}

fn no_sender_v4(net: Ipv4Net) -> Option<NoSender> {
    let (address, len) = (net.addr(), net.prefix_len());
    match address.octets()[0] {
        0 if len >= 8 => Some(NoSender::ThisNetwork),
        127 if len >= 8 => Some(NoSender::Loopback),
        224..240 if len >= 4 => Some(NoSender::Multicast),
        _ if address == Ipv4Addr::BROADCAST => Some(NoSender::Broadcast),
        _ => None,
    }
}

fn no_sender_v6(net: Ipv6Net) -> Option<NoSender> {
    let (address, len) = (net.addr(), net.prefix_len());
    match (address.to_ipv4_mapped(), address.segments()[0] >> 8) {
        (Some(mapped), _) if len >= 96 => {
            let mapped = Ipv4Net::new(mapped, len - 96).ok()?;
            Some(no_sender_v4(mapped).unwrap_or(NoSender::Mapped(mapped)))
        }
        (_, 0xff) if len >= 8 => Some(NoSender::Multicast),
        _ if address == Ipv6Addr::LOCALHOST => Some(NoSender::Loopback),
        // With or without the loopback address, which is next to it.
        _ if address.is_unspecified() && len >= 127 => Some(NoSender::Unspecified),
        _ => None,
    }
}
