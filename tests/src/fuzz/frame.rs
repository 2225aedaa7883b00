//! A frame that comes in: the first byte says at which host, the rest is the frame.

use std::cell::OnceCell;

use fw_common::{PortProtocol, forward::Forward, grammar::parse, record};
use fw_user::testing::headers::{Headers, Seen};

use crate::{
    model::Model,
    oracle::{Conversation, Situation},
    packet::words,
    world::{Family, MDNS, SERVER},
};

thread_local! {
    static HOSTS: OnceCell<[(Situation, Model); 4]> = const { OnceCell::new() };
}

/// For any frame: nothing panics, and the decision is that of another parser.
pub(super) fn run(input: &[u8]) {
    let Some((&host, frame)) = input.split_first() else { return };
    HOSTS.with(|hosts| {
        let hosts = hosts.get_or_init(hosts_of);
        let (situation, model) = &hosts[usize::from(host) % hosts.len()];
        if let Err(what) = situation.judge(model, frame) {
            panic!("{what}\n{}\n{situation:?}", words(frame));
        }
    });
    // Reports of drops parse packets too.
    let _ = record::source(frame);
    let cut = &frame[..frame.len().min(record::CAPTURED)];
    let _ = Headers::of(&Seen { bytes: cut, len: frame.len(), is_bare: false }).to_string();
}

fn hosts_of() -> [(Situation, Model); 4] {
    let policy = |specs: &[&str]| {
        let mut policy = fw_common::policy::Policy::default();
        for rule in specs.iter().flat_map(|spec| parse(spec, |_| Vec::new()).expect("a rule")) {
            policy.allow(rule);
        }
        policy
    };
    let sent = |family, protocol, to, local_port, remote_port| Conversation {
        family,
        protocol,
        to,
        local_port,
        remote_port,
        opens: true,
    };
    // A host that knows everything there is.
    let mut busy = policy(&[
        "22/tcp@192.0.2.0/24",
        "22/tcp@[2001:db8::]/64",
        "80-443",
        "5060/sctp",
        "5001-5002/dccp",
        "9/udplite",
    ]);
    busy.protocols = [47, 50].into();
    let sent = Family::BOTH
        .into_iter()
        .flat_map(|ip| {
            [
                sent(ip, PortProtocol::Tcp, SERVER, 40_000, 443),
                sent(ip, PortProtocol::Udp, SERVER, 40_000, 53),
                sent(ip, PortProtocol::Udp, MDNS, 40_000, 5353),
                sent(ip, PortProtocol::Sctp, SERVER, 40_000, 5060),
            ]
        })
        .collect();
    let mut router = policy(&["22", "67/udp"]);
    router.forward = Forward::Pass;
    let mut gateway = policy(&["22"]);
    gateway.forward = "198.51.100.0/24,2001:db8:c::/64".parse().expect("two networks");
    let situations = [
        Situation { policy: busy, is_router: true, banned: Vec::new(), sent },
        Situation { policy: router, is_router: true, ..Situation::default() },
        Situation::default(),
        Situation { policy: gateway, is_router: true, ..Situation::default() },
    ];
    situations.map(|situation| {
        let model = situation.model().expect("small policies");
        (situation, model)
    })
}
