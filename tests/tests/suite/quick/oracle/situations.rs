//! Random hosts.

use fw_common::{
    PortProtocol,
    actions::Action,
    forward::Forward,
    grammar::{PortRange, Rule},
    policy::Policy,
    source::Source,
};
use fw_tests::{
    oracle::{Conversation, Situation},
    world::{ALL_NODES, BROADCAST_MAC, Family, MDNS, OTHER, PEER, SERVER, SUBNET_BROADCAST, Station, on_link},
};
use proptest::{
    collection::vec,
    prelude::{Just, Strategy, any as whatever, prop_oneof},
    sample::select,
};

/// Everybody on the link, by the addresses of the subnet.
const EVERYBODY: Station = Station { v4: SUBNET_BROADCAST, v6: ALL_NODES.v6, mac: BROADCAST_MAC };
/// Source networks of rules: everything, and some that hold this or that station alone.
const NETWORKS: [&str; 10] = [
    "0.0.0.0/0",
    "192.0.2.0/24",
    "192.0.2.77/32",
    "203.0.113.0/28",
    "0.0.0.0/1",
    "::/0",
    "2001:db8::/64",
    "2001:db8::77/128",
    "2001:db8:f::/48",
    "fe80::/10",
];

/// Networks to route on to: those of containers, of some of them, those of the host's own link, and all there are.
const FORWARD: [&str; 5] = [
    "198.51.100.0/24,2001:db8:c::/64",
    "198.51.100.9/32",
    "2001:db8:c::8/125,203.0.113.128/25",
    "192.0.2.0/24,2001:db8::/64",
    "0.0.0.0/0,::/0",
];

pub(super) fn any() -> impl Strategy<Value = Situation> {
    let forward = prop_oneof![
        4 => Just(Forward::Drop),
        1 => Just(Forward::Pass),
        3 => select(FORWARD.to_vec()).prop_map(|networks| networks.parse().expect("networks")),
    ];
    let routing = (forward, select(&[true, true, true, false][..]));
    let protocols = vec(select(&[1_u8, 4, 41, 47, 50, 51, 59, 115, 139, 253][..]), 0..4);
    // Of most hosts nobody is banned.
    let network = || select(NETWORKS.to_vec()).prop_map(|network| network.parse().expect("a network"));
    let banned = prop_oneof![4 => Just(Vec::new()), 1 => vec(network(), 1..3)];
    // Of most hosts nothing is refused.
    let action = select(&[Action::Deny, Action::Deny, Action::Until(u64::MAX - 1)][..]);
    let actions = prop_oneof![2 => Just(Vec::new()), 1 => vec((rule(), action), 1..3)];
    ((vec(rule(), 0..8), actions), protocols, routing, banned, vec(conversation(), 0..8)).prop_map(
        |((rules, actions), protocols, (forward, is_router), banned, sent)| {
            let mut policy = Policy::new(rules);
            for (rule, action) in actions {
                policy.act(rule.into(), action, None);
            }
            if policy.needs_lan() {
                policy.on_link = on_link();
            }
            policy.protocols = protocols.into_iter().collect();
            policy.forward = forward;
            Situation { policy, is_router, banned, sent }
        },
    )
}

/// Ports that rules, conversations and frames all know, and any other.
pub(super) fn port() -> impl Strategy<Value = u16> {
    prop_oneof![
        20 => select(&[22, 53, 67, 68, 80, 443, 546, 547, 5353, 9125, 40_000, 40_001][..]),
        3 => select(&[0, 1, 255, 256, 65_535][..]),
        2 => whatever::<u16>(),
    ]
}

pub(super) fn protocol() -> impl Strategy<Value = PortProtocol> {
    select([0, 0, 0, 1, 1, 1, 2, 3, 4].map(|index: usize| PortProtocol::ALL[index]).to_vec())
}

fn rule() -> impl Strategy<Value = Rule> {
    let networks = NETWORKS.map(|network| Source::Network(network.parse().expect("a network")));
    let source = prop_oneof![
        5 => Just(Source::Everyone),
        1 => Just(Source::Lan),
        5 => select(networks.to_vec()),
    ];
    // Mostly one port, sometimes many.
    let length = prop_oneof![6 => Just(0), 3 => 0..1_000_u16, 1 => whatever::<u16>()];
    (protocol(), port(), length, source).prop_map(|(protocol, first, length, source)| {
        let first = first.max(1);
        let ports = PortRange::new(first, first.saturating_add(length)).expect("a range");
        Rule { protocol, ports, source }
    })
}

/// Conversations that many hosts have, and that many frames answer.
pub(super) fn known() -> Vec<Conversation> {
    let of_family = |family| PortProtocol::ALL.map(|protocol| (family, protocol));
    let kinds = Family::BOTH.into_iter().flat_map(of_family);
    let mdns = Family::BOTH.map(|family| Conversation {
        family,
        protocol: PortProtocol::Udp,
        to: MDNS,
        local_port: 5353,
        remote_port: 5353,
        opens: true,
    });
    kinds
        .flat_map(|(family, protocol)| {
            [SERVER, MDNS].map(|to| Conversation {
                family,
                protocol,
                to,
                local_port: 40_000,
                remote_port: 9125,
                opens: true,
            })
        })
        .chain(mdns)
        .collect()
}

fn conversation() -> impl Strategy<Value = Conversation> {
    prop_oneof![select(known()), any_conversation()]
}

fn any_conversation() -> impl Strategy<Value = Conversation> {
    let to = select(&[PEER, OTHER, SERVER, MDNS, ALL_NODES, EVERYBODY][..]);
    let opens = select(&[true, true, true, false][..]);
    (select(&Family::BOTH[..]), protocol(), to, port(), port(), opens).prop_map(
        |(family, protocol, to, local_port, remote_port, opens)| Conversation {
            family,
            protocol,
            to,
            local_port,
            remote_port,
            opens,
        },
    )
}
