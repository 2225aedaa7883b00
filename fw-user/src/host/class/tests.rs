//! The table of classes: a row for each kind of interface, with the reason.

use super::*;

/// An interface of the table: its kind, and its other relevant properties.
fn one(name: &str, index: u32, kind: &str) -> Interface {
    let kind = Some(kind).filter(|kind| !kind.is_empty()).map(ToOwned::to_owned);
    let layer = match kind.as_deref() {
        Some("wireguard" | "xfrm") => LinkLayerType::None,
        Some("ppp") => LinkLayerType::Ppp,
        Some("ipip") => LinkLayerType::Tunnel,
        Some("sit") => LinkLayerType::Sit,
        _ => LinkLayerType::Ether,
    };
    Interface { name: name.to_owned(), index, kind, layer, ..Interface::default() }
}

const NIC: u32 = 2;
const BRIDGE: u32 = 3;
const TESTED: u32 = 9;

/// A NIC, an empty bridge and the tested interface, in the initial network namespace or in another.
fn network(is_initial: bool, tested: Vec<Interface>) -> Network {
    let mut interfaces = vec![one("enp1s0", NIC, ""), one("br0", BRIDGE, "bridge")];
    interfaces.extend(tested);
    Network { interfaces, is_initial_namespace: is_initial, ..Network::default() }
}

fn class_of(network: &Network, index: u32) -> Class {
    let interface = network.interfaces.iter().find(|one| one.index == index).expect("it is in the network");
    Classes::of(network).class(interface)
}

fn check(what: &str, network: &Network, index: u32, side: Side, why: &str) {
    let class = class_of(network, index);
    assert!(class.side == side && class.why.contains(why), "{what}: {class}, not {side:?} with {why:?}");
}

const OUT: Side = Side::Outside;
const IN: Side = Side::Inside;
const COVERED: Side = Side::Covered;

/// By kind alone: the class in the initial network namespace and in another one, and the reason in the first.
#[test]
fn the_kind_decides_where_nothing_else_does() {
    for (kind, initial, other, why) in [
        ("", OUT, OUT, "hardware"),
        ("veth", IN, OUT, "a container is at its other end"),
        ("netkit", IN, OUT, "a container is at its other end"),
        ("tun", IN, IN, "for a virtual machine"),
        ("bridge", IN, IN, "only ports are those of containers"),
        ("bond", OUT, OUT, "still to come"),
        ("team", OUT, OUT, "still to come"),
        ("vlan", OUT, OUT, "another network namespace"),
        ("macvlan", OUT, OUT, "another network namespace"),
        ("ipvlan", OUT, OUT, "another network namespace"),
        ("wireguard", OUT, OUT, "peers are other machines"),
        ("ppp", OUT, OUT, "provider"),
        ("vxlan", IN, IN, "network of containers"),
        ("geneve", IN, IN, "network of containers"),
        ("ipip", IN, IN, "network of containers"),
        ("sit", IN, IN, "neither peer nor address"),
        ("gre", IN, IN, "neither peer nor address"),
        ("xfrm", OUT, OUT, "IPsec"),
        ("macsec", OUT, OUT, "encrypted"),
        ("vrf", IN, IN, "members"),
        ("dummy", IN, IN, "nothing is at its other end"),
        ("ifb", IN, IN, "come from another interface"),
        ("openvswitch", IN, IN, "ports"),
        ("something-new", OUT, OUT, "may lead to other machines"),
    ] {
        for (is_initial, side) in [(true, initial), (false, other)] {
            // A name says nothing.
            for name in ["eth0", "veth1a2b", "cali12", "docker0"] {
                let network = network(is_initial, vec![one(name, TESTED, kind)]);
                let why = if is_initial || initial == other { why } else { "the machine's network" };
                check(&format!("{kind:?} {name}, initial: {is_initial}"), &network, TESTED, side, why);
            }
        }
    }
}

#[test]
fn a_tun_of_a_vpn_is_outside_and_a_tap_of_a_virtual_machine_inside() {
    let tun = Interface { layer: LinkLayerType::None, ..one("tun0", TESTED, "tun") };
    check("tun", &network(true, vec![tun]), TESTED, OUT, "VPN");
    let mut with_address = network(true, vec![one("zt0", TESTED, "tun")]);
    with_address.addresses.push((TESTED, "10.9.0.1/24".parse().expect("a network")));
    check("tap with an address", &with_address, TESTED, OUT, "VPN");
    let guests = Interface { is_guests: true, ..one("vnet0", TESTED, "tun") };
    with_address.interfaces.pop();
    with_address.interfaces.push(guests);
    check("tap of a guest, with an address", &with_address, TESTED, IN, "virtual machine");
}

#[test]
fn a_bridge_and_a_bond_are_outside_when_a_port_is_and_cover_it() {
    for (kind, words) in [("bridge", "its port enp1s0"), ("bond", "its member enp1s0"), ("team", "its member enp1s0")] {
        let mut network = network(true, vec![one("any", TESTED, kind), one("veth1", 10, "veth")]);
        network.interfaces[0].master = Some(TESTED);
        network.interfaces[3].master = Some(TESTED);
        check(kind, &network, TESTED, OUT, words);
        check(kind, &network, NIC, COVERED, "the filter belongs there");
        check(kind, &network, 10, IN, "a container");
        network.interfaces[0].master = None;
        check(kind, &network, TESTED, IN, if kind == "bridge" { "containers and guests" } else { "inside" });
    }
}

/// With `bridge-nf-call-iptables` Docker redirects packets before a program on the bridge runs.
#[test]
fn the_ports_are_outside_where_netfilter_comes_before_the_bridge() {
    let mut network = network(true, vec![]);
    network.interfaces[0].master = Some(BRIDGE);
    network.interfaces[1].calls_netfilter = true;
    network.bridge_netfilter = crate::host::bridge_ports::BridgeNetfilter::Own;
    check("port", &network, NIC, OUT, "hardware");
    check("bridge", &network, BRIDGE, COVERED, "belongs on enp1s0");
}

#[test]
fn what_stands_on_an_interface_is_judged_there() {
    for kind in ["vlan", "macvlan", "macvtap", "ipvlan"] {
        let above = Interface { below: Some(NIC), ..one("any", TESTED, kind) };
        check(kind, &network(true, vec![above.clone()]), TESTED, COVERED, "on top of enp1s0");
        let mut on_dummy = network(true, vec![above]);
        on_dummy.interfaces[0].kind = Some("dummy".to_owned());
        check(kind, &on_dummy, TESTED, IN, "on enp1s0, which is inside");
    }
    // The bridge does not get the frames of a VLAN on its port, so the filter of the bridge does not see them.
    let vlan = Interface { below: Some(NIC), ..one("any", TESTED, "vlan") };
    let mut network = network(true, vec![vlan]);
    network.interfaces[0].master = Some(BRIDGE);
    check("VLAN on a port", &network, TESTED, OUT, "on enp1s0");
}

#[test]
fn a_tunnel_with_a_peer_leads_to_another_machine() {
    for kind in ["vxlan", "geneve", "ipip", "sit", "gre", "ip6tnl", "vti"] {
        let tunnel = Interface { has_remote: true, ..one("any", TESTED, kind) };
        check(kind, &network(true, vec![tunnel]), TESTED, OUT, "to another machine");
    }
    // 6to4 accepts packets of any peer.
    let mut six_to_four = network(true, vec![one("any", TESTED, "sit")]);
    six_to_four.addresses.push((TESTED, "2002:c000:201::1/16".parse().expect("a network")));
    check("6to4", &six_to_four, TESTED, OUT, "open to any peer");
}

/// `flannel.1`, `vxlan.calico` and `tunl0` have addresses and no peer; their veths are in the initial network namespace.
#[test]
fn the_networks_of_containers_are_inside() {
    for (name, kind) in [("flannel.1", "vxlan"), ("vxlan.calico", "vxlan"), ("tunl0", "ipip"), ("cali1", "veth")] {
        let mut network = network(true, vec![one(name, TESTED, kind)]);
        network.addresses.push((TESTED, "10.244.0.0/32".parse().expect("a network")));
        check(name, &network, TESTED, IN, "container");
    }
}

#[test]
fn a_default_route_turns_an_interface_outside() {
    for kind in ["veth", "netkit", "tun", "bridge", "vxlan"] {
        let mut network = network(true, vec![one("any", TESTED, kind)]);
        network.default_routes.insert(TESTED);
        check(kind, &network, TESTED, OUT, "default route");
    }
}

/// Both ends of a pair here: what the one end gets was sent by this machine, unless the other end is a port of a bridge.
#[test]
fn a_pair_within_one_namespace_is_what_its_other_end_is() {
    for is_initial in [true, false] {
        let here = Interface { peer: Some(10), ..one("veth0", TESTED, "veth") };
        let there = Interface { peer: Some(TESTED), ..one("veth1", 10, "veth") };
        let mut network = network(is_initial, vec![here, there]);
        check("pair", &network, TESTED, IN, "both ends");
        network.interfaces[0].master = Some(BRIDGE);
        network.interfaces[3].master = Some(BRIDGE);
        check("pair into a bridge", &network, TESTED, OUT, "is a port of br0");
    }
}

#[test]
fn what_carries_no_ip_is_inside() {
    for layer in [LinkLayerType::Can, LinkLayerType::Ieee80211Radiotap, LinkLayerType::Netlink] {
        let bus = Interface { layer, ..one("any", TESTED, "") };
        check("bus", &network(true, vec![bus]), TESTED, IN, "no IP");
    }
    let lo = Interface { layer: LinkLayerType::Loopback, ..one("lo", 1, "") };
    check("lo", &network(true, vec![lo]), 1, IN, "loopback");
}
