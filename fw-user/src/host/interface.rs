//! Network interfaces, from rtnetlink, because `/sys/class/net` may show those of another namespace.

use std::net::IpAddr;

use ipnet::IpNet;
use netlink_packet_core::Nla;
use netlink_sys::protocols::NETLINK_ROUTE;
use rtnetlink::packet_route::{
    RouteNetlinkMessage,
    address::{AddressAttribute, AddressMessage},
    link::{
        InfoBridge, InfoData, InfoGeneve, InfoGre, InfoGre6, InfoIpTunnel, InfoKind, InfoVlan, InfoVti, InfoVxlan,
        LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage, LinkXdp, Prop, VlanProtocol, XdpAttached,
    },
};

use crate::error::{Error, HostError, KernelError, Result};
use crate::host::netlink;

/// The properties of an interface that matter here.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Clone, Debug)]
pub struct Interface {
    /// The name.
    pub name: String,
    /// Other names that Linux knows it by (`altname`), of up to 127 bytes.
    pub other_names: Vec<String>,
    /// The index, unique in the network namespace.
    pub index: u32,
    /// Its MAC address, if it is Ethernet.
    pub mac: Option<[u8; 6]>,
    /// Its link layer.
    pub layer: LinkLayerType,
    /// The kind of virtual interface: `veth`, `bridge`, `vlan`; `None` for hardware.
    pub kind: Option<String>,
    /// The bridge, bond or VRF that it is a port of, by index.
    pub master: Option<u32>,
    /// The interface below it, as for a VLAN or macvlan, by index in the same network namespace.
    pub below: Option<u32>,
    /// The other end of a veth or netkit pair, by index, if it is in the same network namespace.
    pub peer: Option<u32>,
    /// Whether its packets go to the next machine without a question for its address: a tunnel or another line to a single machine (`IFF_POINTOPOINT`,
    /// `IFF_NOARP`).
    pub is_line: bool,
    /// Whether it is a tunnel to a single machine, or to a multicast group.
    pub has_remote: bool,
    /// Whether it is a tap with virtio headers, as for virtual machines.
    pub is_guests: bool,
    /// A VLAN's tag: its `EtherType` and ID.
    pub vlan: Option<(u16, u16)>,
    /// Whether it is a bridge whose own option passes its packets to netfilter. Without `br_netfilter` the option has no effect.
    pub calls_netfilter: bool,
    /// The largest packet, in bytes.
    pub mtu: u32,
    /// The attached XDP program's ID, whoever attached it.
    pub xdp_program: Option<u32>,
    /// Where the attached XDP program runs.
    pub xdp_attached: XdpAttached,
}

impl Interface {
    /// Whether it is `lo`.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.layer == LinkLayerType::Loopback
    }

    /// Refuse an interface whose packets start with neither an Ethernet nor an IP header.
    pub fn check_can_be_filtered(&self) -> Result<()> {
        if self.is_ethernet() || self.is_bare() {
            return Ok(());
        }
        if self.is_of_ipsec() {
            return Err(Error::Kernel(KernelError::OfIpsec { name: self.name.clone() }));
        }
        let kind = self.kind.clone().unwrap_or_else(|| format!("{:?}", self.layer).to_lowercase());
        Err(Error::Kernel(KernelError::NotFilterable { name: self.name.clone(), kind }))
    }

    /// Whether its inbound packets were decrypted by this machine's `IPsec`. TC gets such a packet with the Ethernet header of the encrypted one in
    /// front, if that had one (`skb_mac_header_rebuild`, `net/xfrm/xfrm_input.c`), but cannot tell whether it is there.
    #[must_use]
    pub fn is_of_ipsec(&self) -> bool {
        matches!(self.kind.as_deref(), Some("xfrm" | "vti" | "vti6"))
    }

    /// Whether its packets have Ethernet headers.
    #[must_use]
    pub fn is_ethernet(&self) -> bool {
        self.layer == LinkLayerType::Ether
    }

    /// Whether its packets start with their IP header: tun, `WireGuard`, PPP, raw-IP modems, IPIP, SIT (`ARPHRD_*`, `include/uapi/linux/if_arp.h`).
    #[must_use]
    pub fn is_bare(&self) -> bool {
        use LinkLayerType::{None, Ppp, Rawip, Sit, Tunnel, Tunnel6};
        matches!(self.layer, None | Ppp | Rawip | Sit | Tunnel | Tunnel6) && !self.is_of_ipsec()
    }
}

impl Interface {
    /// The attributes of its kind.
    fn take(&mut self, data: &InfoData) {
        /// `IFLA_TUN_VNET_HDR` of `include/uapi/linux/if_link.h`.
        const VIRTIO_HEADERS: u16 = 5;
        let is_set = |address: IpAddr| !address.is_unspecified();
        match data {
            InfoData::Bridge(options) => {
                self.calls_netfilter = options.iter().any(|option| {
                    matches!(option, InfoBridge::NfCallIpTables(true) | InfoBridge::NfCallIp6Tables(true))
                });
            }
            InfoData::Vlan(options) => self.vlan = Some(tag(options)),
            InfoData::Tun(options) => {
                let is_on = |value: &[u8]| value.first().is_some_and(|value| *value != 0);
                self.is_guests = options.iter().any(|option| {
                    let mut value = vec![0; option.value_len()];
                    option.emit_value(&mut value);
                    option.kind() == VIRTIO_HEADERS && is_on(&value)
                }) && self.layer == LinkLayerType::Ether;
            }
            InfoData::Vxlan(options) => {
                self.has_remote =
                    options.iter().any(|option| matches!(option, InfoVxlan::Group(_) | InfoVxlan::Group6(_)));
            }
            InfoData::Geneve(options) => {
                self.has_remote = options.iter().any(|option| match option {
                    InfoGeneve::Remote(address) => is_set((*address).into()),
                    InfoGeneve::Remote6(address) => is_set((*address).into()),
                    _ => false,
                });
            }
            InfoData::IpTunnel(options) => {
                self.has_remote =
                    options.iter().any(|option| matches!(option, InfoIpTunnel::Remote(address) if is_set(*address)));
            }
            InfoData::Vti(options) => {
                self.has_remote =
                    options.iter().any(|option| matches!(option, InfoVti::Remote(address) if is_set(*address)));
            }
            InfoData::GreTun(options) | InfoData::GreTap(options) | InfoData::ErSpan(options) => {
                self.has_remote = options
                    .iter()
                    .any(|option| matches!(option, InfoGre::Remote(address) if is_set((*address).into())));
            }
            InfoData::GreTun6(options) | InfoData::GreTap6(options) | InfoData::Ip6ErSpan(options) => {
                self.has_remote = options
                    .iter()
                    .any(|option| matches!(option, InfoGre6::Remote(address) if is_set((*address).into())));
            }
            _ => {}
        }
    }
}

impl Default for Interface {
    fn default() -> Self {
        Self {
            name: String::new(),
            other_names: Vec::new(),
            index: 0,
            mac: None,
            layer: LinkLayerType::Ether,
            kind: None,
            master: None,
            below: None,
            peer: None,
            is_line: false,
            has_remote: false,
            is_guests: false,
            vlan: None,
            calls_netfilter: false,
            mtu: 1500,
            xdp_program: None,
            xdp_attached: XdpAttached::None,
        }
    }
}

impl From<LinkMessage> for Interface {
    fn from(message: LinkMessage) -> Self {
        let (index, layer) = (message.header.index, message.header.link_layer_type);
        let is_line = message.header.flags.intersects(LinkFlags::Pointopoint | LinkFlags::Noarp);
        let mut interface = Self { index, layer, is_line, mtu: 0, ..Self::default() };
        // The interface at the other end or below, and whether its index belongs to another network namespace.
        let (mut linked, mut is_elsewhere) = (None, false);
        for attribute in message.attributes {
            match attribute {
                LinkAttribute::IfName(name) => interface.name = name,
                LinkAttribute::PropList(properties) => {
                    interface.other_names.extend(properties.into_iter().filter_map(|property| match property {
                        Prop::AltIfName(name) => Some(name),
                        _ => None,
                    }));
                }
                LinkAttribute::Address(address) if layer == LinkLayerType::Ether => {
                    interface.mac = address.try_into().ok();
                }
                LinkAttribute::Mtu(mtu) => interface.mtu = mtu,
                LinkAttribute::LinkInfo(infos) => {
                    for info in infos {
                        match info {
                            LinkInfo::Kind(InfoKind::Other(kind)) => interface.kind = Some(kind),
                            LinkInfo::Kind(kind) => interface.kind = Some(kind.to_string()),
                            LinkInfo::Data(data) => interface.take(&data),
                            _ => {}
                        }
                    }
                }
                LinkAttribute::Controller(index) => interface.master = Some(index),
                LinkAttribute::Link(index) => linked = Some(index),
                LinkAttribute::LinkNetNsId(_) => is_elsewhere = true,
                LinkAttribute::Xdp(facts) => {
                    for fact in facts {
                        match fact {
                            LinkXdp::Attached(attached) => interface.xdp_attached = attached,
                            LinkXdp::ProgId(id) => interface.xdp_program = Some(id),
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        match interface.kind.as_deref() {
            _ if is_elsewhere => {}
            Some("vlan" | "macvlan" | "macvtap" | "ipvlan" | "ipvtap") => interface.below = linked,
            Some("veth" | "netkit") => interface.peer = linked,
            _ => {}
        }
        interface
    }
}

/// The tag of a VLAN's frames.
fn tag(options: &[InfoVlan]) -> (u16, u16) {
    let (mut ether_type, mut id) = (VlanProtocol::Ieee8021Q, 0);
    for option in options {
        match option {
            InfoVlan::Id(found) => id = *found,
            InfoVlan::Protocol(found) => ether_type = *found,
            _ => {}
        }
    }
    (ether_type.into(), id)
}

/// Every interface of this network namespace.
pub fn all() -> Result<Vec<Interface>> {
    let answers = netlink::dump(NETLINK_ROUTE, RouteNetlinkMessage::GetLink(LinkMessage::default()))
        .map_err(|error| Error::refused("asking for the interfaces", error))?;
    let link = |answer| match answer {
        RouteNetlinkMessage::NewLink(link) => Some(Interface::from(link)),
        _ => None,
    };
    Ok(answers.into_iter().filter_map(link).collect())
}

/// The interfaces with these names, in that order.
pub fn named(names: &[String]) -> Result<Vec<Interface>> {
    let all = all()?;
    let find = |name: &String| {
        all.iter().find(|interface| interface.name == *name).cloned().ok_or_else(|| {
            Error::Host(HostError::UnknownInterface {
                name: name.clone(),
                there: all.iter().map(|interface| interface.name.as_str()).collect::<Vec<_>>().join(", "),
            })
        })
    };
    once_each(names).map(find).collect()
}

/// The name of the interface that somebody means: what they typed, or the name of the interface that has it as another name.
pub(crate) fn meant(typed: &str) -> String {
    let all = all().unwrap_or_default();
    let has_other = |interface: &&Interface| interface.other_names.iter().any(|name| name == typed);
    let is_named = all.iter().any(|interface| interface.name == typed);
    all.iter().find(|interface| !is_named && has_other(interface)).map_or(typed, |interface| &interface.name).to_owned()
}

/// Names as typed, without repetitions, so that an interface is handled once.
pub(crate) fn once_each(names: &[String]) -> impl Iterator<Item = &String> {
    names.iter().enumerate().filter(|(at, name)| !names[..*at].contains(name)).map(|(_, name)| name)
}

/// The interface of this name, if it (still) exists.
pub fn present(name: &str) -> Result<Option<Interface>> {
    Ok(all()?.into_iter().find(|interface| interface.name == name))
}

/// Every address of this network namespace, with the index of its interface and the prefix length of its link.
pub fn addresses() -> Result<Vec<(u32, IpNet)>> {
    let answers = netlink::dump(NETLINK_ROUTE, RouteNetlinkMessage::GetAddress(AddressMessage::default()))
        .map_err(|error| Error::refused("asking for the addresses", error))?;
    let mut addresses = Vec::new();
    for answer in answers {
        let RouteNetlinkMessage::NewAddress(message) = answer else { continue };
        let (mut address, mut local) = (None, None);
        for attribute in message.attributes {
            match attribute {
                AddressAttribute::Address(found) => address = Some(found),
                // On a point-to-point link the other one is the peer's.
                AddressAttribute::Local(found) => local = Some(found),
                _ => {}
            }
        }
        let net = local.or(address).and_then(|address| IpNet::new(address, message.header.prefix_len).ok());
        addresses.extend(net.map(|net| (message.header.index, net)));
    }
    Ok(addresses)
}
