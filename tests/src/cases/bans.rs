//! Banned senders: of what would pass nothing does.

use fw_common::{
    PortProtocol::{Tcp, Udp},
    Reason::{Allowed, Banned, ClosedPort, Malformed, NotIp, Protocol, Reply},
};

use super::each::both;
use crate::{
    packet::{Layer, Stack, eth},
    row::{Row, row},
    world::{Family, HOST, IN_VLAN, OTHER, PEER, SERVER, VLAN, VLAN_HOST},
};

pub(super) fn rows() -> Vec<Row> {
    [everything(), others(), networks(), ends()].concat()
}

fn syn(ip: Family) -> Vec<u8> {
    ip.between(PEER, HOST).tcp(40_000, 22).syn().build()
}

/// Of each kind that passes.
fn everything() -> Vec<Row> {
    let peer = |ip: Family| ip.pick(PEER.v4, PEER.v6);
    let mut rows = Vec::new();
    let mut banned = |name: &str, frame: fn(Family) -> Vec<u8>| {
        rows.extend(both(name, |it, ip| {
            it.allow("22").allow("67/udp").allow_proto(47).bans(&host(peer(ip))).receives(frame(ip), Banned)
        }));
    };
    banned("a banned sender's packet to an allowed port is banned", syn);
    banned("a banned sender's ping is banned", |ip| match ip {
        Family::V4 => ip.between(PEER, HOST).icmp(8, 0).build(),
        Family::V6 => ip.between(PEER, HOST).icmpv6(128, 0).build(),
    });
    banned("a banned sender's packet by an allowed protocol is banned", |ip| ip.between(PEER, HOST).gre().build());
    banned("a banned sender's later fragment is banned", |ip| {
        let link = eth().from(PEER.mac).to(HOST.mac);
        match ip {
            Family::V4 => link.ipv4().from(PEER.v4).to(HOST.v4).fragment_offset(100).udp(40_000, 22).build(),
            Family::V6 => link.ipv6().from(PEER.v6).to(HOST.v6).fragment(100, true).udp(40_000, 22).build(),
        }
    });
    banned("a banned sender's tagged packet is banned", |ip| {
        ip.on(eth().vlan(3).vlan(4), PEER, HOST).tcp(40_000, 22).syn().build()
    });
    banned("a banned sender's packet behind options or extension headers is banned", |ip| {
        let link = eth().from(PEER.mac).to(HOST.mac);
        let behind: Stack<Box<dyn Layer>> = match ip {
            Family::V4 => link.ipv4().from(PEER.v4).to(HOST.v4).options(&[148, 4, 0, 0]).erased(),
            Family::V6 => link.ipv6().from(PEER.v6).to(HOST.v6).destination_options().erased(),
        };
        behind.tcp(40_000, 22).syn().build()
    });
    rows.extend(both("a banned server's reply is banned", |it, ip| {
        it.bans(&host(ip.pick(SERVER.v4, SERVER.v6)))
            .sent(ip.between(HOST, SERVER).tcp(40_000, 443).syn())
            .receives(ip.between(SERVER, HOST).tcp(443, 40_000).syn().ack(), Banned)
            .remembering(1)
    }));
    rows.extend(both("a banned neighbour's answer to a multicast query is banned", |it, ip| {
        let query = ip.between(HOST, crate::world::MDNS).udp(45_000, 5353);
        it.bans(&host(peer(ip))).sent(query).receives(ip.between(PEER, HOST).udp(5353, 45_000), Banned)
    }));
    rows.push(
        row("a banned DHCP server's answer is banned")
            .bans("192.0.2.77/32")
            .receives(eth().ipv4().from(PEER.v4).udp(67, 68), Banned),
    );
    rows.push(
        row("a packet of a banned sender that is routed on to a named network is banned")
            .forward_to("198.51.100.0/24")
            .bans("192.0.2.77/32")
            .receives(eth().ipv4().from(PEER.v4).to(crate::world::CONTAINER.v4).tcp(40_000, 80).syn(), Banned),
    );
    rows
}

/// The network of one address.
fn host(address: &str) -> String {
    format!("{address}/{}", if address.contains(':') { 128 } else { 32 })
}

/// What a ban does not change.
fn others() -> Vec<Row> {
    let peer = |ip: Family| host(ip.pick(PEER.v4, PEER.v6));
    let mut rows = both("a neighbour of a banned sender is allowed", |it, ip| {
        it.allow("22").bans(&peer(ip)).receives(ip.between(OTHER, HOST).tcp(40_000, 22).syn(), Allowed).under(Tcp, 22)
    });
    rows.extend(both("a banned sender's packet to a closed port is closed", |it, ip| {
        it.bans(&peer(ip)).receives(ip.between(PEER, HOST).udp(40_000, 53), ClosedPort).under(Udp, 53)
    }));
    rows.extend(both("a ban of this host's own address does not stop what comes to it", |it, ip| {
        it.allow("22").bans(&host(ip.pick(HOST.v4, HOST.v6))).receives(syn(ip), Allowed).under(Tcp, 22)
    }));
    rows.push(
        row("a malformed packet of a banned sender is malformed")
            .bans("192.0.2.77/32")
            .receives(eth().ipv4().from(PEER.v4).header_words(4).tcp(40_000, 22), Malformed),
    );
    rows.push(row("ARP passes whoever is banned").bans("192.0.2.77/32").receives(eth().arp(), NotIp));
    rows.push(
        row("a ban of IPv4 addresses bans none of IPv6")
            .bans("0.0.0.0/1")
            .bans("128.0.0.0/1")
            .receives(eth().ipv6().from(PEER.v6).to(HOST.v6).icmpv6(128, 0), Protocol),
    );
    rows
}

fn networks() -> Vec<Row> {
    let mut rows = Vec::new();
    for network in ["192.0.2.77/32", "192.0.2.76/31", "192.0.2.0/24", "192.0.0.0/8", "128.0.0.0/1"] {
        rows.push(
            row(format!("a sender in {network} is banned")).allow("22").bans(network).receives(syn(Family::V4), Banned),
        );
    }
    for network in ["192.0.2.76/32", "192.0.2.78/31", "192.0.3.0/24", "193.0.0.0/8", "0.0.0.0/1"] {
        rows.push(
            row(format!("a sender beside {network} is not banned"))
                .allow("22")
                .bans(network)
                .receives(syn(Family::V4), Allowed)
                .under(Tcp, 22),
        );
    }
    for network in ["2001:db8::77/128", "2001:db8::/64", "2001:db8::/33", "2001:db8::/32", "2001::/16", "2000::/3"] {
        rows.push(
            row(format!("a sender in {network} is banned")).allow("22").bans(network).receives(syn(Family::V6), Banned),
        );
    }
    for network in ["2001:db8::76/128", "2001:db8:0:1::/64", "2001:db8:8000::/33", "2001:db9::/32", "4000::/3"] {
        rows.push(
            row(format!("a sender beside {network} is not banned"))
                .allow("22")
                .bans(network)
                .receives(syn(Family::V6), Allowed)
                .under(Tcp, 22),
        );
    }
    rows.push(
        row("a sender in a VLAN is banned")
            .allow("22")
            .bans("203.0.113.200/32")
            .receives(eth().vlan(VLAN).ipv4().from(IN_VLAN.v4).to(VLAN_HOST.v4).tcp(40_000, 22).syn(), Banned),
    );
    rows
}

fn ends() -> Vec<Row> {
    let peer = |ip: Family| host(ip.pick(PEER.v4, PEER.v6));
    // What left before tells how much time has passed.
    let before = |ip: Family| ip.between(HOST, SERVER).tcp(40_000, 443).syn();
    let mut rows = both("a ban for an hour lasts for 59 minutes", |it, ip| {
        it.allow("22").bans_for(3600, &peer(ip)).sent_ago(59 * 60, before(ip)).receives(syn(ip), Banned)
    });
    rows.extend(both("a ban for an hour is over after 61 minutes", |it, ip| {
        it.allow("22").bans_for(3600, &peer(ip)).sent_ago(61 * 60, before(ip)).receives(syn(ip), Allowed).under(Tcp, 22)
    }));
    let around = |ip: Family| ip.pick("192.0.2.0/24", "2001:db8::/64");
    rows.extend(both("a ban that is over hides none of a wider network", |it, ip| {
        it.allow("22")
            .bans(around(ip))
            .bans_for(3600, &peer(ip))
            .sent_ago(61 * 60, before(ip))
            .receives(syn(ip), Banned)
    }));
    rows.extend(both("a ban outlives one of a wider network", |it, ip| {
        it.allow("22")
            .bans(&peer(ip))
            .bans_for(3600, around(ip))
            .sent_ago(61 * 60, before(ip))
            .receives(syn(ip), Banned)
    }));
    rows.extend(both("a reply passes once the ban is over", |it, ip| {
        it.bans_for(60, &host(ip.pick(SERVER.v4, SERVER.v6)))
            .sent_ago(70, before(ip))
            .receives(ip.between(SERVER, HOST).tcp(443, 40_000).ack(), Reply)
    }));
    rows
}
