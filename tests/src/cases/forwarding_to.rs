//! Networks behind this host that its owner names: packets that are routed on to them pass, whatever their port.

use fw_common::{
    PortProtocol::{Tcp, Udp},
    Reason::{
        Allowed, ClosedPort, ClosedProtocol, Essential, Forwarded, Fragment, Martian, Reply, Routed, SourceRoute,
        TinyFragment, VlanDepth,
    },
};

use super::each::{both, every_transport, rule};
use crate::{
    packet::eth,
    row::{Row, row},
    world::{
        ALL_NODES, BRIDGE, CONTAINER, Family, HOST, IN_VLAN, NOWHERE, OTHER, PEER, QUARANTINED, SERVER, Station, VLAN,
    },
};

/// The network behind the bridge.
const NAMED: &str = "198.51.100.0/24,2001:db8:c::/64";
/// The network of the VLAN.
const VLAN_NAMED: &str = "203.0.113.128/25,2001:db8:d::/64";
/// The network of the host's own link.
const LINK_NAMED: &str = "192.0.2.0/24,2001:db8::/64";
const EVERYTHING: &str = "0.0.0.0/0,::/0";

pub(super) fn rows() -> Vec<Row> {
    [to_the_network(), to_others(), to_this_host(), of_all_kinds(), from_the_network()].concat()
}

fn to_the_network() -> Vec<Row> {
    let mut rows = every_transport("a closed port in a named network is routed on", |it, ip, protocol| {
        it.forward_to(NAMED).receives(ip.between(PEER, CONTAINER).ports(protocol, 40_000, 80), Routed)
    });
    rows.extend(every_transport("an allowed port in a named network is routed on", |it, ip, protocol| {
        let frame = ip.between(PEER, CONTAINER).ports(protocol, 40_000, 80);
        it.allow(&rule("80", protocol)).forward_to(NAMED).receives(frame, Routed)
    }));
    rows.extend(both("a SYN to a named network is routed on", |it, ip| {
        it.forward_to(NAMED).receives(ip.between(PEER, CONTAINER).tcp(40_000, 80).syn(), Routed)
    }));
    rows.extend(both("port 0 in a named network is routed on", |it, ip| {
        it.forward_to(NAMED).receives(ip.between(PEER, CONTAINER).udp(40_000, 0), Routed)
    }));
    rows.extend(both("a named network may be everything there is", |it, ip| {
        it.forward_to(EVERYTHING).receives(ip.between(PEER, CONTAINER).tcp(40_000, 80).syn(), Routed)
    }));
    rows.extend(both("a named network may be one address", |it, ip| {
        let one = ip.pick("198.51.100.9/32", "2001:db8:c::9/128");
        it.forward_to(one).receives(ip.between(PEER, CONTAINER).tcp(40_000, 80).syn(), Routed)
    }));
    rows.extend(both("the neighbour of a named address is another's", |it, ip| {
        let one = ip.pick("198.51.100.8/32", "2001:db8:c::8/128");
        let frame = ip.between(PEER, CONTAINER).tcp(40_000, 80).syn();
        it.allow("80").forward_to(one).receives(frame, Forwarded).under(Tcp, 80)
    }));
    rows.extend(both("what is routed on from outside a rule's network passes to a named one", |it, ip| {
        let frame = ip.between(SERVER, CONTAINER).tcp(40_000, 80).syn();
        it.allow(ip.pick("80/tcp@192.0.2.0/24", "80/tcp@[2001:db8::]/64")).forward_to(NAMED).receives(frame, Routed)
    }));
    rows
}

fn to_others() -> Vec<Row> {
    let mut rows = both("an allowed port of a container that no network names is forwarded", |it, ip| {
        let frame = ip.between(PEER, CONTAINER).tcp(40_000, 80).syn();
        it.allow("80").forward_to(VLAN_NAMED).receives(frame, Forwarded).under(Tcp, 80)
    });
    rows.extend(both("a closed port of a container that no network names is closed", |it, ip| {
        let frame = ip.between(PEER, CONTAINER).udp(40_000, 80);
        it.forward_to(VLAN_NAMED).receives(frame, ClosedPort).under(Udp, 80)
    }));
    rows.extend(both("a named network of the other family names nothing here", |it, ip| {
        let other = ip.pick("::/0", "0.0.0.0/0");
        let frame = ip.between(PEER, CONTAINER).tcp(40_000, 80).syn();
        it.allow("80").forward_to(other).receives(frame, Forwarded).under(Tcp, 80)
    }));
    for (name, to, network) in [
        ("somebody behind the router", SERVER, EVERYTHING),
        ("somebody on the same link", OTHER, LINK_NAMED),
        ("nobody that can be reached", NOWHERE, NAMED),
    ] {
        rows.extend(both(format!("a closed port of {name} is closed also in a named network"), |it, ip| {
            let frame = ip.between(PEER, Station { mac: HOST.mac, ..to }).tcp(40_000, 81).syn();
            it.forward_to(network).receives(frame, ClosedPort).under(Tcp, 81)
        }));
        rows.extend(both(
            format!("an allowed port of {name} is judged as this host's also in a named network"),
            |it, ip| {
                let frame = ip.between(PEER, Station { mac: HOST.mac, ..to }).tcp(40_000, 80).syn();
                it.allow("80").forward_to(network).receives(frame, Allowed).under(Tcp, 80)
            },
        ));
    }
    rows.extend(both("where this host forwards nothing, nothing is routed on to a named network", |it, ip| {
        let frame = ip.between(PEER, CONTAINER).tcp(40_000, 80).syn();
        it.forward_to(NAMED).not_a_router().receives(frame, ClosedPort).under(Tcp, 80)
    }));
    rows.push(
        row("what a link-local address sends is not routed on to a named network")
            .forward_to(NAMED)
            .receives(eth().ipv6().from("fe80::77").to(CONTAINER.v6).tcp(40_000, 80).syn(), ClosedPort)
            .under(Tcp, 80),
    );
    rows.push(
        row("what a rule of routing forbids to send on is not routed on to a named network")
            .forward_to(NAMED)
            .receives(Family::V4.between(QUARANTINED, CONTAINER).tcp(40_000, 80).syn(), ClosedPort)
            .under(Tcp, 80),
    );
    rows
}

fn to_this_host() -> Vec<Row> {
    let mut rows = Vec::new();
    for (name, network) in [("its network", NAMED), ("everything", EVERYTHING)] {
        rows.extend(both(format!("a closed port of this host is closed where {name} is named"), |it, ip| {
            it.forward_to(network).receives(ip.between(PEER, BRIDGE).tcp(40_000, 81).syn(), ClosedPort).under(Tcp, 81)
        }));
        rows.extend(both(format!("an allowed port of this host is allowed where {name} is named"), |it, ip| {
            let frame = ip.between(PEER, BRIDGE).tcp(40_000, 80).syn();
            it.allow("80").forward_to(network).receives(frame, Allowed).under(Tcp, 80)
        }));
    }
    rows.extend(every_transport("this host's closed ports stay closed beside a named network", |it, ip, protocol| {
        let frame = ip.between(PEER, HOST).ports(protocol, 40_000, 81);
        it.forward_to(NAMED).receives(frame, ClosedPort).under(protocol, 81)
    }));
    rows.extend(both("a group is not routed on to a named network", |it, ip| {
        it.forward_to(EVERYTHING).receives(ip.between(PEER, ALL_NODES).udp(40_000, 80), ClosedPort).under(Udp, 80)
    }));
    rows.push(
        row("a DHCP answer is essential beside a named network")
            .forward_to(NAMED)
            .receives(eth().ipv4().from(PEER.v4).to("255.255.255.255").udp(67, 68), Essential)
            .under(Udp, 68),
    );
    rows.extend(both("what this host asked is answered where everything is named", |it, ip| {
        it.forward_to(EVERYTHING)
            .sent(ip.between(HOST, SERVER).udp(40_000, 53))
            .receives(ip.between(SERVER, HOST).udp(53, 40_000), Reply)
            .remembering(1)
    }));
    rows.extend(both("a connection that this host opened is answered where everything is named", |it, ip| {
        it.forward_to(EVERYTHING)
            .sent(ip.between(HOST, SERVER).tcp(40_000, 443).syn())
            .receives(ip.between(SERVER, HOST).tcp(443, 40_000).syn().ack(), Reply)
            .remembering(1)
    }));
    rows
}

fn of_all_kinds() -> Vec<Row> {
    let mut rows = both("a protocol without ports is routed on to a named network", |it, ip| {
        it.forward_to(NAMED).receives(ip.between(PEER, CONTAINER).gre().ipv4(), Routed)
    });
    rows.extend(both("an allowed protocol is routed on to a named network", |it, ip| {
        it.allow_proto(47).forward_to(NAMED).receives(ip.between(PEER, CONTAINER).gre().ipv4(), Routed)
    }));
    rows.extend(both("a protocol without ports is closed at this host beside a named network", |it, ip| {
        it.forward_to(NAMED).receives(ip.between(PEER, HOST).gre().ipv4(), ClosedProtocol)
    }));
    rows.extend(both("behind a tag a packet is routed on to a named network", |it, ip| {
        it.forward_to(NAMED).receives(ip.on(eth().vlan(5), PEER, CONTAINER).tcp(40_000, 80).syn(), Routed)
    }));
    rows.extend(both("behind three tags nothing is routed on to a named network", |it, ip| {
        let frame = ip.on(eth().vlan(5).vlan(5).vlan(5), PEER, CONTAINER).tcp(40_000, 80).syn();
        it.forward_to(NAMED).receives(frame, VlanDepth)
    }));
    for (tags, reason, what) in [(None, Routed, "routed on"), (Some(VLAN), ClosedPort, "closed")] {
        let from = if tags.is_some() { "from the VLAN itself" } else { "without a tag" };
        rows.extend(both(format!("{from} a packet to the VLAN's network, which is named, is {what}"), |it, ip| {
            let link = tags.map_or(eth().erased(), |tag| eth().vlan(tag).erased());
            let row = it.forward_to(VLAN_NAMED).receives(ip.on(link, PEER, IN_VLAN).udp(40_000, 81), reason);
            if reason == ClosedPort { row.under(Udp, 81) } else { row }
        }));
    }
    let ipv4 = || eth().ipv4().from(PEER.v4).to(CONTAINER.v4);
    rows.extend([
        row("a first fragment is routed on to a named network")
            .forward_to(NAMED)
            .receives(ipv4().more_fragments().udp(40_000, 80), Routed),
        row("a later fragment passes to a named network")
            .forward_to(NAMED)
            .receives(ipv4().fragment_offset(8).udp(40_000, 80), Fragment),
        row("a later fragment of any protocol is routed on to a named network")
            .forward_to(NAMED)
            .receives(ipv4().fragment_offset(8).gre().ipv4(), Routed),
        row("a tiny fragment is not routed on to a named network")
            .forward_to(NAMED)
            .receives(ipv4().more_fragments().protocol(6).payload(&[0; 8]), TinyFragment),
        row("a source route does not lead to a named network")
            .forward_to(NAMED)
            .receives(ipv4().options(&[131, 3, 4, 0]).udp(40_000, 80), SourceRoute),
        row("a martian is not routed on to a named network")
            .forward_to(NAMED)
            .receives(eth().ipv4().from("127.0.0.1").to(CONTAINER.v4).udp(40_000, 80), Martian),
    ]);
    rows
}

/// Packets from machines in a named network are tracked like those of containers.
fn from_the_network() -> Vec<Row> {
    let mut rows = both("what a named network asks is answered", |it, ip| {
        it.forward_to(NAMED)
            .sent(ip.between(CONTAINER, SERVER).udp(40_000, 53))
            .receives(ip.between(SERVER, CONTAINER).udp(53, 40_000), Reply)
            .remembering(1)
    });
    rows.extend(both("what a named network asks from an allowed port is answered", |it, ip| {
        it.allow("51820/udp")
            .forward_to(NAMED)
            .sent(ip.between(CONTAINER, SERVER).udp(51_820, 51_820))
            .receives(ip.between(SERVER, CONTAINER).udp(51_820, 51_820), Reply)
            .remembering(1)
    }));
    rows.extend(both("what this host sends from an allowed port makes no flow where everything is named", |it, ip| {
        it.allow("51820/udp")
            .forward_to(EVERYTHING)
            .sent(ip.between(HOST, SERVER).udp(51_820, 51_820))
            .receives(ip.between(SERVER, HOST).udp(51_820, 51_820), Allowed)
            .under(Udp, 51_820)
            .remembering(0)
    }));
    rows
}
