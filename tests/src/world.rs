//! The little network in which every case plays: who is where, and what this host's routing table says.
//!
//! Addresses are those for documentation (RFC 5737, RFC 3849). The host model answers from [`leads_elsewhere`]; the loaded program
//! asks a real routing table, made of [`IP_COMMANDS`].

use std::{
    collections::BTreeSet,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use fw_common::wire::ethernet::{ETHER_TYPE_8021Q, Tags};
use ipnet::IpNet;

/// The networks on the host's link.
#[must_use]
pub fn on_link() -> BTreeSet<IpNet> {
    ["192.0.2.0/24", "2001:db8::/64", "fe80::/10"].iter().filter_map(|network| network.parse().ok()).collect()
}

/// Somebody who sends or receives.
#[derive(Clone, Copy, Debug)]
pub struct Station {
    /// IPv4 address.
    pub v4: &'static str,
    /// IPv6 address.
    pub v6: &'static str,
    /// The MAC address for frames to it on the host's link.
    pub mac: [u8; 6],
}

/// This host, on its link.
pub const HOST: Station = Station { v4: "192.0.2.2", v6: "2001:db8::2", mac: [2, 0, 0, 0, 0, 2] };
/// A neighbour.
pub const PEER: Station = Station { v4: "192.0.2.77", v6: "2001:db8::77", mac: [2, 0, 0, 0, 0, 0x77] };
/// Another neighbour.
pub const OTHER: Station = Station { v4: "192.0.2.88", v6: "2001:db8::88", mac: [2, 0, 0, 0, 0, 0x88] };
/// A neighbour whose packets, over IPv4, a rule of routing forbids to send on.
pub const QUARANTINED: Station = Station { v4: "192.0.2.66", v6: "2001:db8::66", mac: [2, 0, 0, 0, 0, 0x66] };
/// A server behind the router.
pub const SERVER: Station = Station { v4: "203.0.113.9", v6: "2001:db8:f::9", mac: [2, 0, 0, 0, 0, 1] };
/// A container behind this host's bridge; a neighbour that has a route to it sends it frames by way of the host.
pub const CONTAINER: Station = Station { v4: "198.51.100.9", v6: "2001:db8:c::9", mac: HOST.mac };
/// This host's own address on that bridge.
pub const BRIDGE: Station = Station { v4: "198.51.100.1", v6: "2001:db8:c::1", mac: HOST.mac };
/// Somebody in the VLAN of the tag [`VLAN`].
pub const IN_VLAN: Station = Station { v4: "203.0.113.200", v6: "2001:db8:d::9", mac: HOST.mac };
/// This host's own address in that VLAN.
pub const VLAN_HOST: Station = Station { v4: "203.0.113.129", v6: "2001:db8:d::1", mac: HOST.mac };
/// An address that the routing table calls unreachable.
pub const NOWHERE: Station = Station { v4: "198.51.100.250", v6: "2001:db8:c::250", mac: HOST.mac };
/// The group of mDNS (RFC 6762), the port of which is 5353.
pub const MDNS: Station = Station { v4: "224.0.0.251", v6: "ff02::fb", mac: [0x01, 0x00, 0x5e, 0x00, 0x00, 0xfb] };
/// All nodes on the link (RFC 1112, RFC 4291).
pub const ALL_NODES: Station = Station { v4: "224.0.0.1", v6: "ff02::1", mac: [0x33, 0x33, 0, 0, 0, 1] };
/// This host's link-local IPv6 address.
pub const HOST_LINK_LOCAL: &str = "fe80::2";
/// The broadcast address of the host's link.
pub const SUBNET_BROADCAST: &str = "192.0.2.255";
/// The Ethernet broadcast address.
pub const BROADCAST_MAC: [u8; 6] = [0xff; 6];
/// The name of the interface on the host's link.
pub const INTERFACE: &str = "lan";
/// The index of that interface.
pub const INTERFACE_INDEX: u32 = 1002;
/// The VLAN that has an interface of its own on the host.
pub const VLAN: u16 = 7;
/// The name of that interface. It is a cable of its own, because not every kernel that tests run on has VLANs: what matters is that the filter
/// was told of it.
pub const VLAN_INTERFACE: &str = "lan7";

/// The input of `ip -batch -` that creates this world in a fresh network namespace. [`Routing::sysctls`] turns forwarding on or off. The lowest
/// address of a network is a broadcast address until Linux 5.14, and here on every kernel.
pub const IP_COMMANDS: &str = "\
link set lo up
link add lan index 1002 type veth peer name lan-peer
link add ctr type veth peer name ctr-peer
link add lan7 type veth peer name lan7-peer
link set lan up
link set lan-peer up
link set lan7 up
link set lan7-peer up
link set ctr up
link set ctr-peer up
address add 192.0.2.2/24 broadcast 192.0.2.255 dev lan
address add 2001:db8::2/64 dev lan nodad
address add fe80::2/64 dev lan nodad
address add 198.51.100.1/24 broadcast 198.51.100.255 dev ctr
address add 2001:db8:c::1/64 dev ctr nodad
address add 203.0.113.129/25 broadcast 203.0.113.255 dev lan7
address add 2001:db8:d::1/64 dev lan7 nodad
route add default via 192.0.2.1
route add default via 2001:db8::1
route replace broadcast 192.0.2.0 dev lan table local
route replace broadcast 198.51.100.0 dev ctr table local
route replace broadcast 203.0.113.128 dev lan7 table local
route add unreachable 198.51.100.250
route add unreachable 2001:db8:c::250
rule add from 192.0.2.66 unreachable
";

/// Whether the host routes packets on, as Docker makes every host do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Routing {
    /// It does not.
    Off,
    /// It does.
    On,
    /// It does, and IPv6 by what `all` interfaces do, while the link itself is to hear router advertisements.
    OnForAll,
}

impl Routing {
    /// Kernel parameters in the order in which they are written: IPv4 on the host's link and in the VLAN, IPv6 for all, which sets the link's as
    /// well, and the link's.
    #[must_use]
    pub fn sysctls(self) -> [(&'static str, &'static str); 4] {
        let (all, link) = match self {
            Self::Off => ("0", "0"),
            Self::On => ("1", "1"),
            Self::OnForAll => ("1", "0"),
        };
        [
            ("/proc/sys/net/ipv4/conf/lan/forwarding", all),
            ("/proc/sys/net/ipv4/conf/lan7/forwarding", all),
            ("/proc/sys/net/ipv6/conf/all/forwarding", all),
            ("/proc/sys/net/ipv6/conf/lan/forwarding", link),
        ]
    }
}

/// Whether the routing table sends a packet from the host's link on to somewhere else, when this host forwards at all. What goes back to the
/// link stays there, and what came in by the VLAN may stay in the VLAN.
///
/// # Panics
/// Never: the addresses are constants.
#[must_use]
pub fn leads_elsewhere(tags: Tags, source: IpAddr, destination: IpAddr) -> bool {
    // Link-local addresses are never forwarded (RFC 4291, 2.5.6), whichever side has one.
    let is_link_local = |address| matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
    let is_quarantined = source == IpAddr::V4(QUARANTINED.v4());
    if is_quarantined || is_link_local(source) || is_link_local(destination) {
        return false;
    }
    let is_behind_bridge = match destination {
        IpAddr::V4(v4) => v4.octets()[..3] == BRIDGE.v4().octets()[..3],
        IpAddr::V6(v6) => v6.octets()[..8] == BRIDGE.v6().octets()[..8],
    };
    let is_in_vlan = match destination {
        IpAddr::V4(v4) => v4.octets()[..3] == VLAN_HOST.v4().octets()[..3] && v4.octets()[3] >= 128,
        IpAddr::V6(v6) => v6.octets()[..8] == VLAN_HOST.v6().octets()[..8],
    };
    let here = [BRIDGE, NOWHERE, VLAN_HOST].map(|station| [IpAddr::V4(station.v4()), IpAddr::V6(station.v6())]);
    // Everybody on the bridge, and its router, which this host is itself (RFC 4291, 2.6.1).
    let everybody =
        ["198.51.100.0", "198.51.100.255", "2001:db8:c::", "203.0.113.128", "203.0.113.255", "2001:db8:d::"];
    let everybody = everybody.map(|text| text.parse().expect("an address"));
    (is_behind_bridge || is_in_vlan && tags != vlan_tags())
        && !here.as_flattened().contains(&destination)
        && !everybody.contains(&destination)
}

/// Whether a sender may be on the link that its packet came in by, as the routing table says where it can be asked: about the host's link, or the VLAN.
///
/// # Panics
/// Never: the addresses are constants.
#[must_use]
pub fn may_be_on_link(routing: Routing, tags: Tags, sender: IpAddr) -> bool {
    let host = if tags == vlan_tags() { VLAN_HOST } else { HOST };
    match sender {
        IpAddr::V4(sender) => {
            let last = |address: Ipv4Addr| address.octets()[3];
            // The VLAN has the upper half of its network; the first and the last address of each are nobody's.
            let first = if tags == vlan_tags() { 128 } else { 0 };
            let is_in_network =
                sender.octets()[..3] == host.v4().octets()[..3] && last(sender) > first && last(sender) < 255;
            routing == Routing::Off || is_in_network && sender != host.v4()
        }
        IpAddr::V6(sender) => {
            let [.., last] = sender.segments();
            let is_router = sender.segments()[4..7] == [0; 3] && last == 0;
            let is_in_network = sender.octets()[..8] == host.v6().octets()[..8];
            // In the VLAN all that forwards is what `all` interfaces do.
            let is_known = if tags == vlan_tags() { routing != Routing::Off } else { routing == Routing::On };
            sender.is_unicast_link_local() || !is_known || is_in_network && !is_router && sender != host.v6()
        }
    }
}

/// The tags of a frame from the VLAN.
#[must_use]
pub const fn vlan_tags() -> Tags {
    Tags::NONE.with(ETHER_TYPE_8021Q, VLAN)
}

impl Station {
    /// The IPv4 address.
    ///
    /// # Panics
    /// Never: the stations are constants.
    #[must_use]
    pub fn v4(&self) -> Ipv4Addr {
        self.v4.parse().expect("an IPv4 address")
    }

    /// The IPv6 address.
    ///
    /// # Panics
    /// Never: the stations are constants.
    #[must_use]
    pub fn v6(&self) -> Ipv6Addr {
        self.v6.parse().expect("an IPv6 address")
    }
}

/// IPv4 or IPv6, for cases that are the same in both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];

    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::V4 => Self::V6,
            Self::V6 => Self::V4,
        }
    }

    /// One of two values.
    #[must_use]
    pub fn pick<T>(self, v4: T, v6: T) -> T {
        match self {
            Self::V4 => v4,
            Self::V6 => v6,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.pick("IPv4", "IPv6"))
    }
}
