//! Random headers: IPv4 options, IPv6 extension headers, transports. Each is nearly right.

use fw_common::PortProtocol;
use fw_tests::packet::{Layer, Stack, eth};
use proptest::{
    collection::vec,
    prelude::{Just, Strategy, any as whatever, prop_oneof},
    sample::select,
};

use super::situations::{port, protocol};

type Frame = Stack<Box<dyn Layer>>;

/// Tags, the outermost first: `EtherType` and VLAN ID.
pub(super) fn tags() -> impl Strategy<Value = Vec<(u16, u16)>> {
    let tag = (select(&[0x8100, 0x88a8][..]), select(&[0, 5, 4095][..]));
    prop_oneof![6 => Just(Vec::new()), 3 => vec(tag.clone(), 1..=2), 1 => vec(tag, 3..=5)]
}

/// A list of IPv4 options.
pub(super) fn options() -> impl Strategy<Value = Vec<u8>> {
    let option = prop_oneof![
        3 => Just(vec![1]),
        // Record route, timestamp, router alert, and one that nobody knows.
        2 => Just(vec![7, 7, 4, 0, 0, 0, 0]),
        2 => Just(vec![68, 8, 5, 0, 0, 0, 0, 0]),
        2 => Just(vec![148, 4, 0, 0]),
        2 => Just(vec![200, 2]),
        // Loose and strict source route.
        1 => Just(vec![131, 7, 4, 192, 0, 2, 9]),
        1 => Just(vec![137, 3, 4]),
        // End of the list, and lengths that cannot be.
        1 => Just(vec![0]),
        1 => (whatever::<u8>(), whatever::<u8>()).prop_map(|(kind, len)| vec![kind, len]),
    ];
    let list = vec(option, 1..6).prop_map(|options| {
        let mut list = options.concat();
        list.truncate(40);
        list
    });
    prop_oneof![4 => Just(Vec::new()), 1 => list]
}

/// An IPv6 extension header.
#[derive(Clone, Copy, Debug)]
pub(super) enum Extension {
    HopByHop,
    Options(usize),
    Routing(u8),
    Authentication,
    Mobility,
    Fragment(u16, bool),
    /// Under a number that is no transport, or none that is known.
    Other(u8),
}

impl Extension {
    pub(super) fn behind(self, frame: Frame) -> Frame {
        match self {
            Self::HopByHop => frame.hop_by_hop().erased(),
            Self::Options(units) => frame.long_destination_options(units).erased(),
            Self::Routing(kind) => frame.routing(kind).erased(),
            Self::Authentication => frame.authentication().erased(),
            Self::Mobility => frame.mobility().erased(),
            Self::Fragment(offset, more) => frame.fragment(offset, more).erased(),
            Self::Other(number) => frame.common_extension(number).erased(),
        }
    }
}

/// A chain of them: in most packets none, in some too many, and the hop-by-hop options mostly where they belong.
pub(super) fn chain() -> impl Strategy<Value = Vec<Extension>> {
    let first = prop_oneof![2 => Just(None), 1 => Just(Some(Extension::HopByHop))];
    let one = prop_oneof![
        1 => Just(Extension::HopByHop),
        6 => Just(Extension::Options(1)),
        2 => select(&[2, 3, 17, 255, 256][..]).prop_map(Extension::Options),
        3 => select(&[0, 2, 2, 3, 4][..]).prop_map(Extension::Routing),
        4 => Just(Extension::Authentication),
        3 => Just(Extension::Mobility),
        3 => fragment().prop_map(|(offset, more)| Extension::Fragment(offset, more)),
        1 => select(&[139, 140, 253, 254, 59, 50][..]).prop_map(Extension::Other),
    ];
    let some = (first, vec(one, 0..10)).prop_map(|(first, rest)| first.into_iter().chain(rest).collect());
    prop_oneof![2 => Just(Vec::new()), 3 => some]
}

/// An offset in units of eight bytes, and whether more follows.
pub(super) fn fragment() -> impl Strategy<Value = (u16, bool)> {
    (prop_oneof![3 => Just(0), 1 => Just(1), 1 => select(&[2, 185, 8_191][..])], whatever::<bool>())
}

/// The payload of an IP packet.
#[derive(Clone, Debug)]
pub(super) enum Carried {
    Ports {
        protocol: PortProtocol,
        source: u16,
        destination: u16,
        flags: u8,
    },
    Icmp,
    Icmpv6,
    Igmp,
    /// A packet for an allowed port inside a tunnel.
    Tunnel,
    Raw(u8, Vec<u8>),
    Nothing,
}

impl Carried {
    pub(super) fn behind(&self, frame: Frame) -> Frame {
        match *self {
            Self::Ports { protocol: PortProtocol::Tcp, source, destination, flags } => {
                frame.tcp(source, destination).flags(flags).erased()
            }
            Self::Ports { protocol, source, destination, .. } => frame.ports(protocol, source, destination),
            Self::Icmp => frame.icmp(8, 0).erased(),
            Self::Icmpv6 => frame.icmpv6(135, 0).erased(),
            Self::Igmp => frame.igmp(0x11, [0; 4]).erased(),
            Self::Tunnel => frame.ipv4().tcp(40_000, 22).syn().erased(),
            Self::Raw(number, ref bytes) => frame.raw(number, bytes).erased(),
            Self::Nothing => frame,
        }
    }
}

pub(super) fn carried() -> impl Strategy<Value = Carried> {
    // SYN, ACK and what scanners send.
    let flags = prop_oneof![3 => Just(0x02), 3 => Just(0x10), 1 => Just(0x12), 1 => whatever::<u8>()];
    let ports = (protocol(), port(), port(), flags).prop_map(|(protocol, source, destination, flags)| Carried::Ports {
        protocol,
        source,
        destination,
        flags,
    });
    let raw = (select(&[4_u8, 41, 47, 50, 51, 59, 115, 139, 200, 253, 255][..]), vec(whatever::<u8>(), 0..24));
    prop_oneof![
        20 => ports,
        1 => Just(Carried::Icmp),
        1 => Just(Carried::Icmpv6),
        1 => Just(Carried::Igmp),
        1 => Just(Carried::Tunnel),
        1 => raw.prop_map(|(number, bytes)| Carried::Raw(number, bytes)),
        1 => Just(Carried::Nothing),
    ]
}

/// An Ethernet header and tags.
pub(super) fn link(destination: [u8; 6], tags: &[(u16, u16)]) -> Frame {
    let start = eth().to(destination).erased();
    tags.iter().fold(start, |frame, &(tag_type, id)| frame.tag(tag_type, id).erased())
}
