//! Random frames: composed, taken from the case table, or mere bytes; many of them with faults.

use std::{fmt, sync::LazyLock};

use fw_tests::{
    cases,
    packet::{eth, hex, words},
    world::{
        ALL_NODES, BRIDGE, CONTAINER, Family, HOST, HOST_LINK_LOCAL, MDNS, NOWHERE, OTHER, PEER, QUARANTINED, SERVER,
        SUBNET_BROADCAST,
    },
};
use proptest::{
    collection::vec,
    prelude::{Just, Strategy, any as whatever, prop_oneof},
    sample::select,
};

use super::{
    faults::{self, Fault},
    headers::{self, Carried, Extension},
    situations,
};

/// A frame that tells itself as bytes and as words.
#[derive(Clone)]
pub(super) struct Frame(pub(super) Vec<u8>);

impl AsRef<[u8]> for Frame {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "frame: {}\n  hex: {}", words(&self.0), hex(&self.0))
    }
}

/// `BPF_PROG_TEST_RUN` has a page for a frame and what belongs to it; what is longer is cut off here.
const MOST: usize = 3_000;

/// The frames of the case table, but those of the one neighbour whose packets another's remembered way may stop.
static TABLE: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let forbidden = QUARANTINED.v4().octets();
    let frames = cases::all().into_iter().map(|row| row.frame);
    frames.filter(|frame| !frame.windows(4).any(|bytes| bytes == forbidden)).collect()
});

/// Senders: stations, and addresses that nobody may send from.
const SOURCES_V4: [&str; 12] = [
    PEER.v4,
    PEER.v4,
    PEER.v4,
    OTHER.v4,
    SERVER.v4,
    SERVER.v4,
    "0.0.0.0",
    "0.0.0.9",
    "127.0.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "203.0.113.16",
];
const SOURCES_V6: [&str; 12] = [
    PEER.v6,
    PEER.v6,
    PEER.v6,
    OTHER.v6,
    SERVER.v6,
    SERVER.v6,
    "::",
    "::1",
    "ff02::1",
    "::ffff:192.0.2.77",
    "fe80::77",
    "2001:db8:0:1::77",
];
/// Receivers: this host, those behind it, groups, and addresses that nothing may be sent to.
const DESTINATIONS_V4: [&str; 12] = [
    HOST.v4,
    HOST.v4,
    HOST.v4,
    HOST.v4,
    BRIDGE.v4,
    CONTAINER.v4,
    NOWHERE.v4,
    OTHER.v4,
    MDNS.v4,
    SUBNET_BROADCAST,
    "255.255.255.255",
    "127.0.0.1",
];
const DESTINATIONS_V6: [&str; 12] = [
    HOST.v6,
    HOST.v6,
    HOST.v6,
    HOST.v6,
    BRIDGE.v6,
    CONTAINER.v6,
    NOWHERE.v6,
    OTHER.v6,
    MDNS.v6,
    HOST_LINK_LOCAL,
    "::1",
    "::ffff:192.0.2.2",
];

pub(super) fn any() -> impl Strategy<Value = Frame> {
    let of_the_table = (0..TABLE.len(), faults::some()).prop_map(|(row, faults)| {
        let frame = TABLE[row].clone();
        with(frame, &faults, 14)
    });
    let ether_type = select(&[0x0800_u16, 0x86dd, 0x8100, 0x88a8, 0x0806, 0x9100][..]);
    let bytes = (ether_type, vec(whatever::<u8>(), 0..80))
        .prop_map(|(ether_type, bytes)| Frame(eth().ether_type(ether_type).payload(&bytes).build()));
    prop_oneof![6 => ipv4(), 6 => ipv6(), 5 => of_the_table, 2 => answer(), 1 => bytes]
}

/// Replies of a server, or of a member of the multicast group.
fn answer() -> impl Strategy<Value = Frame> {
    let of_mdns = (select(&[254_u8, 255][..]), select(&[0_u8, 0x84][..]), select(&[HOST, MDNS][..]));
    (select(situations::known()), select(&[OTHER, SERVER][..]), of_mdns, faults::some()).prop_map(
        |(asked, anyone, (hops, flags, to), faults)| {
            let from = if asked.goes_to_many() { anyone } else { asked.to };
            let frame = if asked.is_mdns() {
                let link = eth().from(from.mac).to(to.mac);
                let ip = match asked.family {
                    Family::V4 => link.ipv4().from(from.v4).to(to.v4).ttl(hops).erased(),
                    Family::V6 => link.ipv6().from(from.v6).to(to.v6).hop_limit(hops).erased(),
                };
                ip.udp(5353, 5353).payload(&[0, 0, flags, 0]).build()
            } else {
                let ip = asked.family.between(from, HOST);
                ip.ports(asked.protocol, asked.remote_port, asked.local_port).build()
            };
            with(frame, &faults, 14)
        },
    )
}

fn with(mut frame: Vec<u8>, faults: &[Fault], network: usize) -> Frame {
    for fault in faults {
        fault.happen(&mut frame, network);
    }
    frame.truncate(MOST);
    Frame(frame)
}

fn macs() -> impl Strategy<Value = [u8; 6]> {
    select(&[HOST.mac, HOST.mac, HOST.mac, ALL_NODES.mac, [0xff; 6]][..])
}

fn ipv4() -> impl Strategy<Value = Frame> {
    let piece = prop_oneof![4 => Just((0, false)), 2 => headers::fragment()];
    let flags = select(&[0_u8, 0, 0, 1, 2][..]);
    (
        (macs(), headers::tags()),
        (select(&SOURCES_V4[..]), select(&DESTINATIONS_V4[..]), headers::options(), piece, flags),
        (headers::carried(), faults::some()),
    )
        .prop_map(|((mac, tags), (from, to, options, (offset, more), flags), (carried, faults))| {
            let mut ip = headers::link(mac, &tags).ipv4().from(from).to(to).options(&options).fragment_offset(offset);
            if more {
                ip = ip.more_fragments();
            }
            match flags {
                1 => ip = ip.dont_fragment(),
                2 => ip = ip.evil(),
                _ => {}
            }
            with(carried.behind(ip.erased()).build(), &faults, 14 + 4 * tags.len())
        })
}

fn ipv6() -> impl Strategy<Value = Frame> {
    (
        (macs(), headers::tags()),
        (select(&SOURCES_V6[..]), select(&DESTINATIONS_V6[..]), headers::chain()),
        (headers::carried(), faults::some()),
    )
        .prop_map(|((mac, tags), (from, to, chain), (carried, faults))| {
            let ip = headers::link(mac, &tags).ipv6().from(from).to(to).erased();
            let behind_all = chain.iter().fold(ip, |frame, extension: &Extension| extension.behind(frame));
            let carried: &Carried = &carried;
            with(carried.behind(behind_all).build(), &faults, 14 + 4 * tags.len())
        })
}
