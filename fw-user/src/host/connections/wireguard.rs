//! The peers of `WireGuard`. Its sockets belong to the kernel and have no peer, so only `WireGuard` itself knows their peers.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
};

use fw_common::PortProtocol;
use netlink_packet_generic::{
    GenlFamily, GenlMessage,
    ctrl::{GenlCtrl, GenlCtrlCmd, nlas::GenlCtrlAttrs},
};
use netlink_packet_wireguard::{
    WireguardAttribute, WireguardCmd, WireguardMessage, WireguardPeer, WireguardPeerAttribute,
};
use netlink_sys::protocols::{NETLINK_GENERIC, NETLINK_ROUTE};
use nix::sys::socket::{setsockopt, sockopt::Mark};
use rtnetlink::packet_route::{
    RouteNetlinkMessage,
    link::{InfoKind, LinkAttribute, LinkInfo, LinkMessage},
};

use crate::host::{connections::connection::Connection, netlink};

/// An interface of `WireGuard`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Device {
    /// The port that it listens on and sends from.
    pub(crate) port: u16,
    /// The mark of its outbound packets, which routes may depend on; 0 for none.
    mark: u32,
    /// Its peers with known addresses.
    endpoints: Vec<SocketAddr>,
}

/// The peers in this network namespace; none if the kernel has no `WireGuard`, or does not list them.
pub(crate) fn devices() -> Vec<Device> {
    let names = names().unwrap_or_default();
    // Asked only if there is one: a question for the family by its name would load the module.
    let family = if names.is_empty() { None } else { family().ok().flatten() };
    let ask = |name: String| netlink::dump(NETLINK_GENERIC, question(family?, name)).ok();
    names.into_iter().filter_map(ask).map(|answers| device(&answers)).collect()
}

impl Device {
    /// The packets that its peers send, as far as there is a route to them.
    pub(crate) fn conversations(&self) -> impl Iterator<Item = Connection> {
        self.endpoints.iter().filter_map(|&remote| {
            let local = SocketAddr::new(source(remote, self.mark).ok()?, self.port);
            Some(Connection { protocol: PortProtocol::Udp, remote, local })
        })
    }
}

/// The address from which this host sends to another one.
fn source(remote: SocketAddr, mark: u32) -> io::Result<IpAddr> {
    let any: IpAddr = if remote.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    if mark != 0 {
        setsockopt(&socket, Mark, &mark)?;
    }
    // Nothing is sent.
    socket.connect(remote)?;
    Ok(socket.local_addr()?.ip())
}

/// The names of its interfaces.
fn names() -> io::Result<Vec<String>> {
    let links = netlink::dump(NETLINK_ROUTE, RouteNetlinkMessage::GetLink(LinkMessage::default()))?;
    let is_ours = |attribute: &LinkAttribute| matches!(attribute, LinkAttribute::LinkInfo(infos) if infos.contains(&LinkInfo::Kind(InfoKind::Wireguard)));
    let name = |link: LinkMessage| {
        link.attributes.iter().find_map(|attribute| match attribute {
            LinkAttribute::IfName(name) => Some(name.clone()),
            _ => None,
        })
    };
    let links = links.into_iter().filter_map(|message| match message {
        RouteNetlinkMessage::NewLink(link) => Some(link),
        _ => None,
    });
    Ok(links.filter(|link| link.attributes.iter().any(is_ours)).filter_map(name).collect())
}

/// The number that generic netlink gave it.
fn family() -> io::Result<Option<u16>> {
    Ok(number(&netlink::dump(NETLINK_GENERIC, families())?))
}

fn families() -> GenlMessage<GenlCtrl> {
    GenlMessage::from_payload(GenlCtrl { cmd: GenlCtrlCmd::GetFamily, nlas: Vec::new() })
}

fn number(families: &[GenlMessage<GenlCtrl>]) -> Option<u16> {
    let name = GenlCtrlAttrs::FamilyName(WireguardMessage::family_name().to_owned());
    let family = families.iter().find(|family| family.payload.nlas.contains(&name))?;
    family.payload.nlas.iter().find_map(|attribute| match attribute {
        GenlCtrlAttrs::FamilyId(number) => Some(*number),
        _ => None,
    })
}

fn question(family: u16, name: String) -> GenlMessage<WireguardMessage> {
    let attributes = vec![WireguardAttribute::IfName(name)];
    let mut question = GenlMessage::from_payload(WireguardMessage { cmd: WireguardCmd::GetDevice, attributes });
    question.set_resolved_family_id(family);
    question
}

/// A device with many peers is told in several messages.
fn device(answers: &[GenlMessage<WireguardMessage>]) -> Device {
    let mut device = Device::default();
    let endpoint = |peer: &WireguardPeer| {
        peer.iter().find_map(|attribute| match attribute {
            WireguardPeerAttribute::Endpoint(endpoint) => Some(*endpoint),
            _ => None,
        })
    };
    for attribute in answers.iter().flat_map(|answer| &answer.payload.attributes) {
        match attribute {
            WireguardAttribute::ListenPort(port) => device.port = *port,
            WireguardAttribute::Fwmark(mark) => device.mark = *mark,
            WireguardAttribute::Peers(peers) => device.endpoints.extend(peers.iter().filter_map(endpoint)),
            _ => {}
        }
    }
    device
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `struct nlattr` with its value, padded to four bytes.
    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let len = u16::try_from(4 + value.len()).expect("a short value");
        let mut bytes = [&len.to_ne_bytes(), &kind.to_ne_bytes(), value].concat();
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    /// `struct nlmsghdr` and `struct genlmsghdr` before the attributes of an answer.
    fn answer(family: u16, command: u8, attributes: &[Vec<u8>]) -> Vec<u8> {
        /// `NLM_F_MULTI`.
        const MULTI: u16 = 2;
        let attributes = attributes.concat();
        let len = u32::try_from(20 + attributes.len()).expect("a short message");
        let header =
            [&len.to_ne_bytes()[..], &family.to_ne_bytes(), &MULTI.to_ne_bytes(), &[0; 8], &[command, 1, 0, 0]];
        [header.concat(), attributes].concat()
    }

    /// `NLMSG_DONE` with its result.
    const DONE: [u8; 20] = [20, 0, 0, 0, 3, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

    #[test]
    fn questions_are_the_bytes_that_the_kernel_knows() {
        assert_eq!(
            netlink::request(families()),
            [
                20, 0, 0, 0, 0x10, 0, 0x01, 0x03, 0, 0, 0, 0, 0, 0, 0,
                0, // GENL_ID_CTRL, NLM_F_REQUEST | NLM_F_DUMP
                3, 2, 0, 0, // CTRL_CMD_GETFAMILY
            ]
        );
        assert_eq!(
            netlink::request(question(0x2a, "wg0".to_owned())),
            [
                28, 0, 0, 0, 0x2a, 0, 0x01, 0x03, 0, 0, 0, 0, 0, 0, 0,
                0, // the family, NLM_F_REQUEST | NLM_F_DUMP
                0, 1, 0, 0, // WG_CMD_GET_DEVICE
                8, 0, 2, 0, b'w', b'g', b'0', 0, // WGDEVICE_A_IFNAME
            ]
        );
    }

    #[test]
    fn the_family_is_found_by_its_name() {
        let family = |number: u16, name: &str| {
            let name = [name.as_bytes(), &[0]].concat();
            let (version, hdrsize) = (attribute(3, &1_u32.to_ne_bytes()), attribute(4, &[0; 4]));
            answer(0x10, 1, &[attribute(2, &name), attribute(1, &number.to_ne_bytes()), version, hdrsize])
        };
        let find = |bytes: &[u8]| {
            let mut found = Vec::new();
            let is_all = netlink::read(bytes, &mut found).expect("an answer");
            (number(&found), is_all)
        };
        let others = [family(0x10, "nlctrl"), family(0x15, "ethtool")].concat();
        assert_eq!(find(&[&others[..], &family(0x2a, "wireguard"), &DONE].concat()), (Some(0x2a), true));
        assert_eq!(find(&[&others[..], &DONE].concat()), (None, true), "a kernel without WireGuard");
    }

    #[test]
    fn a_device_tells_its_port_its_mark_and_where_its_peers_are() {
        const NESTED: u16 = 1 << 15;
        // In network byte order: 51820, then 192.0.2.10 and 2001:db8::10 of `sockaddr_in` and `sockaddr_in6`.
        let v4 = [&[2, 0, 0xca, 0x6c, 192, 0, 2, 10][..], &[0; 8]].concat();
        let v6 = [&[10, 0, 0x04, 0xd2, 0, 0, 0, 0, 0x20, 0x01, 0x0d, 0xb8][..], &[0; 11], &[0x10], &[0; 4]].concat();
        let peer = |endpoint: Option<&[u8]>| {
            let key = attribute(1, &[7; 32]);
            let endpoint = endpoint.map(|endpoint| attribute(4, endpoint)).unwrap_or_default();
            attribute(NESTED, &[key, attribute(2, &[0; 32]), endpoint, attribute(5, &25_u16.to_ne_bytes())].concat())
        };
        let head = |peers: &[Vec<u8>]| {
            let (port, mark) = (attribute(6, &51_820_u16.to_ne_bytes()), attribute(7, &0xca6c_u32.to_ne_bytes()));
            let (name, key) = (attribute(2, b"wg0\0"), attribute(3, &[9; 32]));
            answer(
                0x2a,
                0,
                &[port, mark, attribute(1, &5_u32.to_ne_bytes()), name, key, attribute(8 | NESTED, &peers.concat())],
            )
        };
        let more = answer(0x2a, 0, &[attribute(2, b"wg0\0"), attribute(8 | NESTED, &peer(Some(&v6)))]);
        let mut found = Vec::new();
        let bytes = [head(&[peer(Some(&v4)), peer(None)]), more, DONE.to_vec()].concat();
        assert!(netlink::read(&bytes, &mut found).expect("an answer"));
        let endpoints = ["192.0.2.10:51820", "[2001:db8::10]:1234"].map(|text| text.parse().expect("an end"));
        assert_eq!(device(&found), Device { port: 51_820, mark: 0xca6c, endpoints: endpoints.into() });
    }

    #[test]
    fn a_conversation_is_from_the_address_that_leads_to_the_peer() {
        let endpoints = ["127.0.0.1:51820", "[::1]:1234"].map(|text| text.parse().expect("an end"));
        let device = Device { port: 51_821, mark: 0, endpoints: endpoints.into() };
        let expected = endpoints.map(|remote: SocketAddr| Connection {
            protocol: PortProtocol::Udp,
            remote,
            local: SocketAddr::new(remote.ip(), 51_821),
        });
        assert_eq!(device.conversations().collect::<Vec<_>>(), expected);
    }

    /// This works on any kernel, with or without `WireGuard`.
    #[test]
    fn the_kernel_tells_its_families_and_interfaces() {
        assert!(
            netlink::dump(NETLINK_GENERIC, families())
                .expect("generic netlink")
                .iter()
                .any(|family| { family.payload.nlas.contains(&GenlCtrlAttrs::FamilyName("nlctrl".to_owned())) })
        );
        names().expect("the interfaces");
    }
}
