//! Direct routing: a neighbour uses this host as its gateway to something that was never published.

use fw_common::{
    PortProtocol::{Dccp, Sctp, Tcp, Udp, UdpLite},
    Reason::{self, Allowed, ClosedPort, Forwarded, Reply, VlanDepth},
};

use super::each::{both, every_transport, rule};
use crate::{
    packet::eth,
    row::{Row, row},
    world::{
        BRIDGE, CONTAINER, Family, HOST, HOST_LINK_LOCAL, IN_VLAN, NOWHERE, OTHER, PEER, QUARANTINED, SERVER, Station,
        VLAN, VLAN_HOST,
    },
};

pub(super) fn rows() -> Vec<Row> {
    [to_containers(), from_containers(), to_others(), to_this_host(), in_vlans(), by_the_sender(), combined()].concat()
}

fn to_containers() -> Vec<Row> {
    let mut rows = every_transport("an allowed port of a container is forwarded", |it, ip, protocol| {
        let frame = ip.between(PEER, CONTAINER).ports(protocol, 40_000, 80);
        it.allow(&rule("80", protocol)).receives(frame, Forwarded).under(protocol, 80)
    });
    rows.extend(every_transport("an allowed port of a container is allowed on a router", |it, ip, protocol| {
        let frame = ip.between(PEER, CONTAINER).ports(protocol, 40_000, 80);
        it.allow(&rule("80", protocol)).forward_pass().receives(frame, Allowed).under(protocol, 80)
    }));
    rows.extend(both("a closed port of a container is closed", |it, ip| {
        it.allow("80").receives(ip.between(PEER, CONTAINER).tcp(40_000, 81).syn(), ClosedPort).under(Tcp, 81)
    }));
    rows.extend(both("a closed port of a container is closed on a router too", |it, ip| {
        let frame = ip.between(PEER, CONTAINER).tcp(40_000, 81).syn();
        it.allow("80").forward_pass().receives(frame, ClosedPort).under(Tcp, 81)
    }));
    rows
}

/// Packets of a container or a VPN's peer with its own address, from a port that is allowed on this host (`WireGuard`, NTP, IKE).
fn from_containers() -> Vec<Row> {
    let mut rows = Vec::new();
    for protocol in [Udp, UdpLite, Sctp, Dccp] {
        let allowed = rule("51820", protocol);
        rows.extend(both(format!("what a container asks by {protocol} from an allowed port is answered"), |it, ip| {
            let answer = ip.between(SERVER, CONTAINER).ports(protocol, 51_820, 51_820);
            it.allow(&allowed)
                .sent(ip.between(CONTAINER, SERVER).ports(protocol, 51_820, 51_820))
                .receives(answer, Reply)
                .remembering(1)
        }));
    }
    rows.extend(both("what a container asked opens its allowed port to nobody else", |it, ip| {
        it.allow("51820/udp")
            .sent(ip.between(CONTAINER, SERVER).udp(51_820, 51_820))
            .receives(ip.between(PEER, CONTAINER).udp(51_820, 51_820), Forwarded)
            .under(Udp, 51_820)
            .remembering(1)
    }));
    rows.extend(both("what a container sends from an allowed port opens nothing on a router", |it, ip| {
        it.allow("51820/udp")
            .forward_pass()
            .sent(ip.between(CONTAINER, SERVER).udp(51_820, 51_820))
            .receives(ip.between(SERVER, CONTAINER).udp(51_820, 51_820), Allowed)
            .under(Udp, 51_820)
            .remembering(0)
    }));
    // A published container's reply, which leaves with this host's address.
    rows.extend(both("what this host sends from an allowed port opens nothing", |it, ip| {
        it.allow("51820/udp")
            .sent(ip.between(HOST, SERVER).udp(51_820, 51_820))
            .receives(ip.between(SERVER, HOST).udp(51_820, 51_820), Allowed)
            .under(Udp, 51_820)
            .remembering(0)
    }));
    rows
}

fn to_others() -> Vec<Row> {
    let mut rows = Vec::new();
    // Nothing is behind this host there. Such an address is a macvlan's or ipvlan's container, or a load balancer's.
    for (name, to) in [("somebody behind the router", SERVER), ("somebody on the same link", OTHER)] {
        rows.extend(both(format!("an allowed port of {name} is judged as this host's"), |it, ip| {
            let frame = ip.between(PEER, Station { mac: HOST.mac, ..to }).tcp(40_000, 80).syn();
            it.allow("80").receives(frame, Allowed).under(Tcp, 80)
        }));
        rows.extend(both(format!("a closed port of {name} is closed"), |it, ip| {
            let frame = ip.between(PEER, Station { mac: HOST.mac, ..to }).tcp(40_000, 81).syn();
            it.allow("80").receives(frame, ClosedPort).under(Tcp, 81)
        }));
    }
    rows.extend(both("where this host forwards nothing, nothing is forwarded", |it, ip| {
        let frame = ip.between(PEER, CONTAINER).tcp(40_000, 80).syn();
        it.allow("80").not_a_router().receives(frame, Allowed).under(Tcp, 80)
    }));
    rows.extend(both("where IPv6 is forwarded for all interfaces a container's port is forwarded", |it, ip| {
        let frame = ip.between(PEER, CONTAINER).tcp(40_000, 80).syn();
        it.allow("80").router_for_all().receives(frame, Forwarded).under(Tcp, 80)
    }));
    rows.extend(both("where IPv6 is forwarded for all interfaces this host is this host", |it, ip| {
        it.allow("80").router_for_all().receives(ip.between(PEER, BRIDGE).tcp(40_000, 80).syn(), Allowed).under(Tcp, 80)
    }));
    rows.extend(both("what cannot be routed is not forwarded", |it, ip| {
        let frame = ip.between(PEER, NOWHERE).tcp(40_000, 80).syn();
        it.allow("80").receives(frame, Allowed).under(Tcp, 80)
    }));
    rows
}

fn to_this_host() -> Vec<Row> {
    let mut rows = both("this host's address on another interface is this host", |it, ip| {
        let frame = ip.between(PEER, BRIDGE).tcp(40_000, 80).syn();
        it.allow("80").receives(frame, Allowed).under(Tcp, 80)
    });
    rows.push(
        row("this host's link-local address is this host")
            .allow("80")
            .receives(eth().ipv6().from("fe80::77").to(HOST_LINK_LOCAL).tcp(40_000, 80).syn(), Allowed)
            .under(Tcp, 80),
    );
    rows.extend(both("a group is not forwarded", |it, ip| {
        let frame = ip.between(PEER, crate::world::ALL_NODES).udp(40_000, 80);
        it.allow("80").receives(frame, Allowed).under(Udp, 80)
    }));
    rows
}

/// A VLAN with an interface of its own: what came in by it and goes back to it stays there.
fn in_vlans() -> Vec<Row> {
    let rows = |name: &str, tags: &[u16], to: Station, reason: Reason| {
        both(name, |it, ip| {
            let link = match tags {
                [] => eth().erased(),
                [tag] => eth().vlan(*tag).erased(),
                [outer, inner, ..] => eth().vlan(*outer).vlan(*inner).erased(),
            };
            it.allow("80").receives(ip.on(link, PEER, to).tcp(40_000, 80).syn(), reason).under(Tcp, 80)
        })
    };
    let mut all = [
        rows(
            "an allowed port of somebody in the VLAN that the frame is tagged for is judged as this host's",
            &[VLAN],
            IN_VLAN,
            Allowed,
        ),
        rows("a priority tag in front of the VLAN's changes nothing", &[0, VLAN], IN_VLAN, Allowed),
        rows("a priority tag behind the VLAN's changes nothing", &[VLAN, 0], IN_VLAN, Allowed),
        rows("without a tag an allowed port of somebody in the VLAN is forwarded", &[], IN_VLAN, Forwarded),
        rows("a priority tag alone is none of the VLAN", &[0], IN_VLAN, Forwarded),
        rows("from another VLAN an allowed port of somebody in the VLAN is forwarded", &[VLAN + 1], IN_VLAN, Forwarded),
        rows("a VLAN inside the VLAN is another one", &[VLAN, VLAN], IN_VLAN, Forwarded),
        rows("from the VLAN an allowed port of a container is forwarded", &[VLAN], CONTAINER, Forwarded),
        rows("this host's address in the VLAN is this host, with a tag", &[VLAN], VLAN_HOST, Allowed),
        rows("this host's address in the VLAN is this host, without a tag", &[], VLAN_HOST, Allowed),
        // One-armed routing: the filter cannot tell it from a guest behind the same bridge.
        rows(
            "an allowed port of somebody on the host's link is judged as this host's also from the VLAN",
            &[VLAN],
            OTHER,
            Allowed,
        ),
    ]
    .concat();
    all.extend(both("with a service tag of the same number it is another VLAN", |it, ip| {
        let frame = ip.on(eth().service_vlan(VLAN), PEER, IN_VLAN).tcp(40_000, 80).syn();
        it.allow("80").receives(frame, Forwarded).under(Tcp, 80)
    }));
    for (first, then, reason) in [(VLAN, VLAN + 1, Forwarded), (VLAN + 1, VLAN, Allowed)] {
        all.extend(both(format!("after a frame of VLAN {first} one of VLAN {then} is judged for itself"), |it, ip| {
            let frame = |tag| ip.on(eth().vlan(tag), PEER, IN_VLAN).tcp(40_000, 80).syn();
            it.allow("80").received_ago(0, frame(first)).receives(frame(then), reason).under(Tcp, 80)
        }));
    }
    let tagged = |ip: Family| ip.on(eth().vlan(VLAN), PEER, IN_VLAN).tcp(40_000, 80).syn();
    let untagged = |ip: Family| ip.on(eth(), PEER, IN_VLAN).tcp(40_000, 80).syn();
    all.extend(both("after a frame of a VLAN one without tags is judged for itself", |it, ip| {
        it.allow("80").received_ago(0, tagged(ip)).receives(untagged(ip), Forwarded).under(Tcp, 80)
    }));
    all.extend(both("after a frame without tags one of a VLAN is judged for itself", |it, ip| {
        it.allow("80").received_ago(0, untagged(ip)).receives(tagged(ip), Allowed).under(Tcp, 80)
    }));
    for (name, to, reason) in [
        ("an allowed port of this host is allowed", HOST, Allowed),
        ("a container's port is forwarded", CONTAINER, Forwarded),
    ] {
        all.extend(both(format!("{name} again"), |it, ip| {
            let frame = || ip.between(PEER, to).tcp(40_000, 80).syn();
            it.allow("80").received_ago(0, frame()).receives(frame(), reason).under(Tcp, 80)
        }));
    }
    all
}

/// The way depends on who sends, too. An answer about one must not be taken for an answer about another.
fn by_the_sender() -> Vec<Row> {
    let link_local = || eth().ipv6().from("fe80::77").to(CONTAINER.v6).tcp(40_000, 80).syn();
    let mut rows = vec![
        row("what a link-local address sends is not forwarded")
            .allow("80")
            .receives(link_local(), Allowed)
            .under(Tcp, 80),
        row("what is sent to another's link-local address is not forwarded")
            .allow("80")
            .receives(eth().ipv6().to("fe80::77").tcp(40_000, 80).syn(), Allowed)
            .under(Tcp, 80),
        row("an allowed port of a container is forwarded also after a link-local address has asked for it")
            .allow("80")
            .received_ago(0, link_local())
            .receives(eth().ipv6().to(CONTAINER.v6).tcp(40_000, 80).syn(), Forwarded)
            .under(Tcp, 80),
    ];
    let forbidden = || Family::V4.between(QUARANTINED, CONTAINER).tcp(40_000, 80).syn();
    rows.extend([
        row("what a rule of routing forbids to send on is not forwarded")
            .allow("80")
            .receives(forbidden(), Allowed)
            .under(Tcp, 80),
        row("an allowed port of a container is forwarded also after somebody asked for whom it is forbidden")
            .allow("80")
            .received_ago(0, forbidden())
            .receives(Family::V4.between(PEER, CONTAINER).tcp(40_000, 80).syn(), Forwarded)
            .under(Tcp, 80),
    ]);
    rows
}

fn combined() -> Vec<Row> {
    let mut rows = both("from inside a rule's network a container's port is forwarded", |it, ip| {
        let frame = ip.between(PEER, CONTAINER).tcp(40_000, 80).syn();
        it.allow(ip.pick("80/tcp@192.0.2.0/24", "80/tcp@[2001:db8::]/64")).receives(frame, Forwarded).under(Tcp, 80)
    });
    rows.extend(both("from outside a rule's network a container's port is closed", |it, ip| {
        let frame = ip.between(SERVER, CONTAINER).tcp(40_000, 80).syn();
        it.allow(ip.pick("80/tcp@192.0.2.0/24", "80/tcp@[2001:db8::]/64")).receives(frame, ClosedPort).under(Tcp, 80)
    }));
    rows.extend(both("behind a tag a container's port is forwarded", |it, ip| {
        let frame = ip.on(eth().vlan(5), PEER, CONTAINER).tcp(40_000, 80).syn();
        it.allow("80").receives(frame, Forwarded).under(Tcp, 80)
    }));
    rows.extend(both("behind three tags a container's port is too deep", |it, ip| {
        let frame = ip.on(eth().vlan(5).vlan(5).vlan(5), PEER, CONTAINER).tcp(40_000, 80).syn();
        it.allow("80").forward_pass().receives(frame, VlanDepth)
    }));
    rows
}
