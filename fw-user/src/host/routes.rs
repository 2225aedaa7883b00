//! The routes: the interfaces that they lead to, their gateways, and the networks that they lead to without one.

use std::net::IpAddr;

use ipnet::IpNet;
use netlink_sys::protocols::NETLINK_ROUTE;
use rtnetlink::packet_route::{
    AddressFamily, RouteNetlinkMessage,
    route::{RouteAddress, RouteAttribute, RouteMessage, RouteType, RouteVia},
};

use crate::{
    error::{Error, Result},
    host::netlink,
};

/// The shortest prefix of a network on a link. Shorter ones are default routes in two halves, or the whole Internet (`2000::/3`).
const SHORTEST_PREFIX: u8 = 7;

/// All routes, of whatever table.
pub(super) fn all() -> Result<Vec<RouteMessage>> {
    let mut found = Vec::new();
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        let mut question = RouteMessage::default();
        question.header.address_family = family;
        match netlink::dump(NETLINK_ROUTE, RouteNetlinkMessage::GetRoute(question)) {
            Ok(answers) => found.extend(answers.into_iter().filter_map(|answer| match answer {
                RouteNetlinkMessage::NewRoute(route) => Some(route),
                _ => None,
            })),
            // A kernel without IPv6 has no IPv6 routes.
            Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => {}
            Err(error) => return Err(Error::refused("asking for the routes", error)),
        }
    }
    Ok(found)
}

/// The interfaces of a route, if it is a default route.
pub(super) fn ways_of_default(route: &RouteMessage) -> Vec<u32> {
    let is_default = route.header.destination_prefix_length == 0 && route.header.kind == RouteType::Unicast;
    if is_default { ways(route) } else { Vec::new() }
}

/// The interfaces of a route.
fn ways(route: &RouteMessage) -> Vec<u32> {
    let ways = route.attributes.iter().flat_map(|attribute| match attribute {
        RouteAttribute::Oif(index) => vec![*index],
        RouteAttribute::MultiPath(hops) => hops.iter().map(|hop| hop.interface_index).collect(),
        _ => Vec::new(),
    });
    ways.collect()
}

/// The network of a route without a gateway, with each interface where it is.
pub(crate) fn on_link(route: &RouteMessage) -> Vec<(u32, IpNet)> {
    let is_tunnel = |attribute: &RouteAttribute| matches!(attribute, RouteAttribute::EncapType(_));
    let is_direct = route.header.kind == RouteType::Unicast
        && gateways(&route.attributes).next().is_none()
        && !route.attributes.iter().any(is_tunnel);
    let is_of_neighbours = |network: &IpNet| {
        let is_multicast = match network.addr() {
            IpAddr::V4(address) => address.is_multicast(),
            IpAddr::V6(address) => address.is_multicast(),
        };
        network.prefix_len() >= SHORTEST_PREFIX && !is_multicast
    };
    let network = destination(route).filter(|network| is_direct && is_of_neighbours(network));
    network.into_iter().flat_map(|network| ways(route).into_iter().map(move |index| (index, network))).collect()
}

/// The gateways among the attributes of a route, and of its ways where it has several.
pub(super) fn gateways(attributes: &[RouteAttribute]) -> impl Iterator<Item = IpAddr> {
    let ways = attributes.iter().filter_map(|attribute| match attribute {
        RouteAttribute::MultiPath(hops) => Some(hops.iter().flat_map(|hop| &hop.attributes)),
        _ => None,
    });
    attributes.iter().chain(ways.flatten()).filter_map(|attribute| match attribute {
        RouteAttribute::Gateway(RouteAddress::Inet(address)) | RouteAttribute::Via(RouteVia::Inet(address)) => {
            Some(IpAddr::V4(*address))
        }
        RouteAttribute::Gateway(RouteAddress::Inet6(address)) | RouteAttribute::Via(RouteVia::Inet6(address)) => {
            Some(IpAddr::V6(*address))
        }
        _ => None,
    })
}

/// The network that a route leads to; nothing for a default route.
pub(super) fn destination(route: &RouteMessage) -> Option<IpNet> {
    route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Destination(RouteAddress::Inet(address)) => {
            IpNet::new(IpAddr::V4(*address), route.header.destination_prefix_length).ok()
        }
        RouteAttribute::Destination(RouteAddress::Inet6(address)) => {
            IpNet::new(IpAddr::V6(*address), route.header.destination_prefix_length).ok()
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use rtnetlink::{RouteMessageBuilder, packet_route::route::RouteLwEnCapType};

    use super::*;

    fn net(text: &str) -> IpNet {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn route(network: &str, index: u32) -> RouteMessage {
        let network = net(network);
        let builder = RouteMessageBuilder::<IpAddr>::new().destination_prefix(network.addr(), network.prefix_len());
        builder.expect("both of one family").output_interface(index).build()
    }

    fn with(mut route: RouteMessage, attribute: RouteAttribute) -> RouteMessage {
        route.attributes.push(attribute);
        route
    }

    fn of_kind(mut route: RouteMessage, kind: RouteType) -> RouteMessage {
        route.header.kind = kind;
        route
    }

    #[test]
    fn a_network_is_on_the_link_where_a_route_needs_no_gateway() {
        for network in ["192.0.2.0/24", "10.0.0.0/8", "198.51.100.7/32", "2001:db8::/64", "fc00::/7", "fe80::/64"] {
            assert_eq!(on_link(&route(network, 2)), [(2, net(network))], "{network}");
        }
        let gateway = |text: &str| RouteAttribute::Gateway(text.parse::<IpAddr>().expect("an address").into());
        for (elsewhere, why) in [
            (with(route("198.51.100.0/24", 2), gateway("192.0.2.1")), "by a gateway"),
            (with(route("2001:db8:5::/64", 2), gateway("fe80::1")), "by a gateway"),
            (with(route("10.9.0.0/16", 2), RouteAttribute::EncapType(RouteLwEnCapType::Mpls)), "in a tunnel"),
            (of_kind(route("192.0.2.7/32", 2), RouteType::Local), "this machine"),
            (of_kind(route("192.0.2.255/32", 2), RouteType::Broadcast), "everybody"),
            (route("239.1.0.0/16", 2), "a group"),
            (route("ff00::/8", 2), "a group"),
            (route("0.0.0.0/0", 2), "a default route"),
            (route("::/0", 2), "a default route"),
            (route("0.0.0.0/1", 2), "half a default route"),
            (route("2000::/3", 2), "the Internet"),
        ] {
            assert_eq!(on_link(&elsewhere), [], "{why}");
        }
    }
}
