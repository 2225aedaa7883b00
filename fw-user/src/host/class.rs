//! The classes of interfaces: through which ones other machines reach this one, and on which of those a filter belongs.
//!
//! Only the kernel's data decides (rtnetlink: kind, link layer, controller, peer, routes). Names never do: a container may call its interface `eth0`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use rtnetlink::packet_route::link::LinkLayerType;
use serde::Serialize;

use crate::{
    error::Result,
    host::{
        interface::Interface,
        network::{Network, is_link_local},
    },
};

/// The side of an interface: where it leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Side {
    /// Other machines reach this one through it, and a filter belongs on it.
    Outside,
    /// Other machines reach this one through it, but the filter belongs on another interface of the same path.
    Covered,
    /// Only containers and guests of this machine are behind it, or nothing.
    Inside,
}

impl Side {
    /// The word for it.
    #[must_use]
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Outside => "outside",
            Self::Covered => "covered",
            Self::Inside => "inside",
        }
    }
}

/// How an interface is classed, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Class {
    /// Where it stands.
    pub(crate) side: Side,
    /// Why, in words.
    pub(crate) why: String,
}

impl Class {
    fn new(side: Side, why: impl Into<String>) -> Self {
        Self { side, why: why.into() }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.side.name(), self.why)
    }
}

/// The classes of a network namespace's interfaces.
pub(crate) struct Classes<'a> {
    network: &'a Network,
    /// The interfaces through which other machines reach this one, by index.
    reached: BTreeSet<u32>,
}

impl<'a> Classes<'a> {
    /// Class every interface.
    #[must_use]
    pub(crate) fn of(network: &'a Network) -> Self {
        let mut classes = Self { network, reached: BTreeSet::new() };
        loop {
            // A bridge is outside if a port is, and bridges may be stacked: repeat until nothing changes.
            let found = network.interfaces.iter().filter(|one| classes.reason(one).is_ok()).map(|one| one.index);
            let found: BTreeSet<u32> = found.collect();
            if found == classes.reached {
                return classes;
            }
            classes.reached = found;
        }
    }

    /// The class of one.
    #[must_use]
    pub(crate) fn class(&self, interface: &Interface) -> Class {
        match self.reason(interface) {
            Err(why) => Class::new(Side::Inside, why),
            Ok(why) => match self.covered(interface) {
                Some(covered) => Class::new(Side::Covered, covered),
                None => Class::new(Side::Outside, why),
            },
        }
    }

    /// The interfaces that a filter belongs on.
    pub(crate) fn outside(&self) -> impl Iterator<Item = &'a Interface> {
        self.network.interfaces.iter().filter(|one| self.class(one).side == Side::Outside)
    }

    /// Why other machines reach this one through it, or why not.
    fn reason(&self, interface: &Interface) -> Result<String, String> {
        let inside = |why: &str| Err(why.to_owned());
        let outside = |why: &str| Ok(why.to_owned());
        if interface.is_loopback() {
            return inside("loopback, reached by this machine alone");
        }
        if carries_no_ip(interface.layer) {
            return inside("it carries no IP packets");
        }
        match interface.kind.as_deref() {
            Some("dummy") => return inside("dummy: nothing is at its other end"),
            Some("ifb") => return inside("ifb: its packets come from another interface, which is filtered"),
            Some("nlmon") => return inside("nlmon: it carries no IP packets"),
            Some("vrf") => return inside("VRF: packets come in by its members, which are classed by themselves"),
            Some("openvswitch") => return inside("Open vSwitch: packets come in by the switch's ports"),
            _ => {}
        }
        if self.network.default_routes.contains(&interface.index) {
            return outside("the default route leaves by it");
        }
        match interface.kind.as_deref() {
            None if interface.layer == LinkLayerType::Ppp => {
                outside("PPP: a provider or another machine is at its end")
            }
            None => outside("hardware (Wi-Fi access points included): other machines are on its network"),
            Some(kind @ ("veth" | "netkit")) => self.of_pair(interface, kind),
            Some("tun") if interface.layer == LinkLayerType::Ether => self.of_tap(interface),
            Some("tun") => outside("tun: a VPN program brings in packets of other machines"),
            Some("bridge") => match self.ports(interface).find(|port| self.reached.contains(&port.index)) {
                Some(port) => Ok(format!("its port {} is outside", port.name)),
                None => inside("bridge whose only ports are those of containers and guests"),
            },
            Some(kind @ ("bond" | "team")) => {
                let mut members = self.ports(interface).peekable();
                match (members.peek().is_none(), members.find(|port| self.reached.contains(&port.index))) {
                    (true, _) => Ok(format!("{kind}: its members are still to come")),
                    (_, Some(member)) => Ok(format!("its member {} is outside", member.name)),
                    (_, None) => Err(format!("{kind} of inside interfaces alone")),
                }
            }
            Some(kind @ ("vlan" | "macvlan" | "macvtap" | "ipvlan" | "ipvtap")) => match self.parent(interface) {
                Some(parent) if self.reached.contains(&parent.index) => {
                    Ok(format!("{kind} on {}, which is outside", parent.name))
                }
                Some(parent) => Err(format!("{kind} on {}, which is inside", parent.name)),
                None => Ok(format!("{kind} on an interface of another network namespace")),
            },
            Some(kind @ ("vxlan" | "geneve" | "ipip")) => {
                if interface.has_remote {
                    Ok(format!("{kind} tunnel to another machine"))
                } else {
                    Err(format!("{kind} without a fixed peer: a network of containers (Flannel, Calico)"))
                }
            }
            Some(
                kind @ ("sit" | "gre" | "gretap" | "erspan" | "ip6tnl" | "ip6gre" | "ip6gretap" | "ip6erspan" | "vti"
                | "vti6"),
            ) => {
                if interface.has_remote {
                    Ok(format!("{kind} tunnel to another machine"))
                } else if self.has_address(interface) {
                    Ok(format!("{kind} tunnel, open to any peer"))
                } else {
                    Err(format!("{kind} tunnel with neither peer nor address"))
                }
            }
            Some("wireguard") => outside("WireGuard: its peers are other machines"),
            Some("ppp") => outside("PPP: a provider or another machine is at its end"),
            Some("xfrm") => outside("IPsec: what it decrypts is from other machines"),
            Some("macsec") => outside("MACsec: a filter below it sees only encrypted frames"),
            Some(kind) => Ok(format!("{kind}: a kind that may lead to other machines")),
        }
    }

    fn of_pair(&self, interface: &Interface, kind: &str) -> Result<String, String> {
        if let Some(peer) = self.find(interface.peer) {
            return match self.find(peer.master) {
                Some(bridge) if bridge.kind.as_deref() == Some("bridge") && self.reached.contains(&bridge.index) => {
                    Ok(format!("{kind} whose other end is a port of {}, which is outside", bridge.name))
                }
                _ => Err(format!("{kind} with both ends in this network namespace")),
            };
        }
        let is_bridged = self.find(interface.master).is_some_and(|one| one.kind.as_deref() == Some("bridge"));
        if self.network.is_initial_namespace {
            Err(format!("{kind} in the initial network namespace: a container is at its other end"))
        } else if is_bridged {
            Err(format!("{kind} on a bridge: a container is at its other end"))
        } else {
            Ok(format!("{kind} in a network namespace of its own: the machine's network is at its other end"))
        }
    }

    fn of_tap(&self, interface: &Interface) -> Result<String, String> {
        if interface.is_guests {
            Err("tap of a virtual machine (it takes virtio headers)".to_owned())
        } else if self.has_address(interface) {
            Ok("tap with an address: a VPN program brings in packets of other machines".to_owned())
        } else {
            Err("tap without an address: it is for a virtual machine".to_owned())
        }
    }

    /// The other interface that the filter belongs on, in words.
    fn covered(&self, interface: &Interface) -> Option<String> {
        if let Some(controller) = self.find(interface.master) {
            match controller.kind.as_deref() {
                Some("bridge") if self.network.bridge_netfilter.comes_before(controller) => return None,
                Some("bridge") => return Some(format!("port of {}; the filter belongs there", controller.name)),
                Some("bond" | "team") => {
                    return Some(format!("member of {}; the filter belongs there", controller.name));
                }
                _ => {}
            }
        }
        if interface.kind.as_deref() == Some("bridge") && self.network.bridge_netfilter.comes_before(interface) {
            let ports = self.ports(interface).filter(|port| self.reached.contains(&port.index));
            let ports: Vec<&str> = ports.map(|port| port.name.as_str()).collect();
            return (!ports.is_empty()).then(|| {
                format!("bridge-nf-call-iptables comes before it; the filter belongs on {}", ports.join(", "))
            });
        }
        let parent = self.parent(interface).filter(|parent| self.reached.contains(&parent.index))?;
        // Linux takes a VLAN's frames before a bridge gets them, so the filter of the bridge does not see them.
        let is_seen_below = self.find(parent.master).is_none_or(|above| above.kind.as_deref() != Some("bridge"))
            || self.class(parent).side == Side::Outside;
        is_seen_below.then(|| format!("on top of {}; the filter there judges its packets", parent.name))
    }

    fn has_address(&self, interface: &Interface) -> bool {
        self.network.addresses_of(interface.index).any(|address| !is_link_local(address))
    }

    fn find(&self, index: Option<u32>) -> Option<&'a Interface> {
        self.network.interfaces.iter().find(|one| Some(one.index) == index)
    }

    fn parent(&self, interface: &Interface) -> Option<&'a Interface> {
        self.find(interface.below)
    }

    fn ports(&self, controller: &Interface) -> impl Iterator<Item = &'a Interface> {
        let index = controller.index;
        self.network.interfaces.iter().filter(move |one| one.master == Some(index))
    }
}

/// How the interfaces of this network namespace are classed, by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sides(BTreeMap<String, Class>);

impl Sides {
    /// Those of a network.
    #[must_use]
    pub(crate) fn of(network: &Network) -> Self {
        let classes = Classes::of(network);
        Self(network.interfaces.iter().map(|one| (one.name.clone(), classes.class(one))).collect())
    }

    /// Those of this network namespace.
    pub(crate) fn here() -> Result<Self> {
        Network::ask().map(|network| Self::of(&network))
    }

    /// Whether the interface is present.
    #[must_use]
    pub(crate) fn has(&self, interface: &str) -> bool {
        self.0.contains_key(interface)
    }

    /// Whether other machines reach this one through an interface, wherever the filter of that path belongs. For a missing interface this is true,
    /// because it is unknown.
    #[must_use]
    pub(crate) fn leads_outside(&self, interface: &str) -> bool {
        self.0.get(interface).is_none_or(|class| class.side != Side::Inside)
    }
}

/// Link layers from which the IP stack gets no packets: buses, monitors, radios without a network device of their own.
fn carries_no_ip(layer: LinkLayerType) -> bool {
    matches!(
        layer,
        LinkLayerType::Can
            | LinkLayerType::Netlink
            | LinkLayerType::Vsockmon
            | LinkLayerType::Ieee80211
            | LinkLayerType::Ieee80211Prism
            | LinkLayerType::Ieee80211Radiotap
            | LinkLayerType::Ieee802154
            | LinkLayerType::Ieee802154Monitor
            | LinkLayerType::Mctp
            | LinkLayerType::Phonet
            | LinkLayerType::PhonetPipe
    )
}

#[cfg(test)]
mod tests;
