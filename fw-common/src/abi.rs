//! The layout of the maps that the kernel and the user side share. A change of a type, a constant or the meaning of a map needs a new
//! [`ABI_VERSION`].

use bytemuck::{Pod, Zeroable};

use crate::{protocol::PortProtocol, rate::Rate, reason::Reason, timeouts::Timeouts};

/// The version in the name of the pins' directory.
pub const ABI_VERSION: u32 = 5;

/// Names of the maps in the BPF object, which are also the names of their pins.
pub mod map {
    /// IPv4 flows of [connections](crate::timeouts::FlowClass::is_among_connections), shared by all interfaces.
    pub const FLOWS4: &str = "FLOWS4";
    /// The same for IPv6.
    pub const FLOWS6: &str = "FLOWS6";
    /// IPv4 flows of all other [classes](crate::timeouts::FlowClass), shared by all interfaces. Their number never evicts a connection.
    pub const DATAGRAMS4: &str = "DATAGRAMS4";
    /// The same for IPv6.
    pub const DATAGRAMS6: &str = "DATAGRAMS6";
    /// IPv4 flows that each CPU found recently, one slice per CPU, shared by all interfaces.
    pub const RECENT4: &str = "RECENT4";
    /// The same for IPv6.
    pub const RECENT6: &str = "RECENT6";
    /// Local ports, and IP protocols without ports, that ever sent a packet; shared by all interfaces.
    pub const SENT: &str = "SENT";
    /// What limits counted lately: [`Attempts`](crate::rate::Attempts) by [`LimitKey`](crate::admission::LimitKey); shared by all interfaces.
    pub const ATTEMPTS: &str = "ATTEMPTS";
    /// The [buffer](crate::bans::BUFFER) of bans in force; shared by all interfaces, as the next five.
    pub const BANS: &str = "BANS";
    /// Pages of banned [ranges](crate::bans::Range4) of IPv4 addresses, for both buffers.
    pub const BANS4: &str = "BANS4";
    /// The same for IPv6.
    pub const BANS6: &str = "BANS6";
    /// The first address of each page of IPv4 ranges, one index per buffer.
    pub const BAN_INDEX4: &str = "BAN_INDEX4";
    /// The same for IPv6.
    pub const BAN_INDEX6: &str = "BAN_INDEX6";
    /// The senders that may be banned: a filter per family.
    pub const BAN_FILTER: &str = "BAN_FILTER";
    /// The policy buffer in force, and its terms: [`Active`](crate::active::Active).
    pub const ACTIVE: &str = "ACTIVE";
    /// The policy's settings, one per buffer.
    pub const SETTINGS: &str = "SETTINGS";
    /// The class of every port, for all buffers.
    pub const PORTS: &str = "PORTS";
    /// IPv4 source networks by class, for all buffers, each with its [`Admission`](crate::admission::Admission).
    pub const SOURCES4: &str = "SOURCES4";
    /// IPv6 source networks by class, for all buffers.
    pub const SOURCES6: &str = "SOURCES6";
    /// The rules of each buffer as they were typed, in [chunks](super::RuleChunk). Only the user side reads them.
    pub const RULES: &str = "RULES";
    /// Packets and bytes by reason, one slot per CPU.
    pub const COUNTERS: &str = "COUNTERS";
    /// Passed and dropped packets by TCP and UDP port, one slice per CPU.
    pub const PORT_COUNTERS: &str = "PORT_COUNTERS";
    /// The same for the rare transports, in fewer slots.
    pub const RARE_PORT_COUNTERS: &str = "RARE_PORT_COUNTERS";
    /// Where destination addresses lead, remembered for [`super::ROUTE_LIFETIME`].
    pub const ROUTES: &str = "ROUTES";
    /// The interfaces above this one, by VLAN tags: a bridge or bond, and VLANs.
    pub const UPPERS: &str = "UPPERS";
    /// The last drops, one ring per CPU.
    pub const DROPS: &str = "DROPS";
    /// How many drops are in each ring, and how many more may be recorded now.
    pub const RECORDERS: &str = "RECORDERS";
    /// Senders of dropped packets, by source address.
    pub const KNOCKS: &str = "KNOCKS";
    /// Who attached what, and when.
    pub const META: &str = "META";

    /// The maps that all attached interfaces share.
    pub const SHARED: [&str; 14] = [
        FLOWS4, FLOWS6, DATAGRAMS4, DATAGRAMS6, RECENT4, RECENT6, SENT, ATTEMPTS, BANS, BANS4, BANS6, BAN_INDEX4,
        BAN_INDEX6, BAN_FILTER,
    ];
    /// The maps of a single interface.
    pub const PER_INTERFACE: [&str; 15] = [
        ACTIVE,
        SETTINGS,
        PORTS,
        SOURCES4,
        SOURCES6,
        RULES,
        COUNTERS,
        PORT_COUNTERS,
        RARE_PORT_COUNTERS,
        ROUTES,
        UPPERS,
        DROPS,
        RECORDERS,
        KNOCKS,
        META,
    ];
}

/// The number of policy buffers: one in force, one to fall back to while a change waits to be confirmed, one being written.
pub const BUFFERS: u32 = 3;
/// The number of ports in a page, which is the value of each map that is indexed by port.
pub const PAGE: usize = 256;
/// The number of pages for the ports of one protocol.
pub const PAGES: u32 = 65_536 / PAGE as u32;
/// The number of protocols with ports.
pub const PORT_PROTOCOLS: u32 = PortProtocol::ALL.len() as u32;
/// The number of protocols, from the first, with per-CPU counters for every port: TCP and UDP.
pub const COUNTED_PROTOCOLS: u32 = 2;
/// The number of their ports.
pub const COUNTED_PORTS: u64 = COUNTED_PROTOCOLS as u64 * 65_536;
/// Slots in which a CPU counts the ports of the other protocols, by [`rare_slot`]; a power of two. Ports that share a slot evict each other.
pub const RARE_PORTS: u32 = 1024;
/// The number of source networks that fit into all buffers together, per family. A trie takes memory only for those it has.
pub const MAX_SOURCES: u32 = BUFFERS * 65_536;
/// Senders whose connections limits count at the same time. When more come, the least recently seen are forgotten, and begin anew.
pub const MAX_ATTEMPTS: u32 = 8192;
/// The default number of flows per family (`--flows`); half of them are for [connections](crate::timeouts::FlowClass::Connection), half for all
/// others.
pub const DEFAULT_FLOWS: u32 = 65_536;
/// Index into `SENT` of the page for IP protocols without ports, by number.
pub const SENT_PORTLESS: u32 = PORT_PROTOCOLS * PAGES;
/// Slots per CPU for the recently found flows of a family; a power of two.
pub const RECENT_FLOWS: u32 = 1024;
/// How long a found flow is believed without another look-up in its table, in ticks of the kernel as for [`ROUTE_LIFETIME`]. A flow may outlive its
/// timeout by this much.
pub const RECENT_LIFETIME: u64 = 256;
/// Destination addresses that each CPU remembers; a power of two.
pub const ROUTES_PER_CPU: u32 = 64;
/// How long a remembered route is believed, in ticks of the kernel: 0.26 s to 2.6 s, by its `CONFIG_HZ`; a second on a Raspberry Pi.
pub const ROUTE_LIFETIME: u64 = 256;
/// Drops that each CPU keeps a record of; a power of two.
pub const RECORDS_PER_CPU: u32 = 512;
/// How many drops with the same reason a CPU records per window of time, at most one for each port. All reasons together do not fill the ring.
pub const RECORDS_PER_WINDOW: u32 = 32;
/// The number of kinds of drops (a port, or a reason without one) for which a CPU counts what it left out; a power of two.
pub const RECORD_KINDS: usize = 64;
/// A window is 2^5 ticks of the kernel: 32 ms to 320 ms, by its `CONFIG_HZ`; 128 ms on a Raspberry Pi.
pub const RECORD_WINDOW: u32 = 5;
/// Source addresses whose drops are counted at the same time; the least recently seen is evicted first.
pub const KNOCKERS: u32 = 2048;

/// The class of a closed port.
pub const CLASS_CLOSED: u16 = 0;
/// The class of a port that is open to every source. Each number between this and [`CLASS_CLOSED`] is a list of source networks.
pub const CLASS_OPEN: u16 = u16::MAX;
/// The list of networks that packets may be routed on to. It has the number of closed ports, which need no list.
pub const CLASS_FORWARD: u16 = CLASS_CLOSED;
/// The list of networks on the interface's own link, which only some policies need. It has the number of open ports, which need no list.
pub const CLASS_LAN: u16 = CLASS_OPEN;

/// The lowest class with two lists: senders on the link are looked up in the one with the bit [`ON_LINK`], all others in the one without.
pub const CLASS_BY_LINK: u16 = 0xf800;
/// The bit of the number of a list for senders on the link.
pub const ON_LINK: u16 = 0x400;

/// Whether a class has a [list of its own](CLASS_BY_LINK) for senders on the link.
#[inline(always)]
#[must_use]
pub const fn is_by_link(class: u16) -> bool {
    class >= CLASS_BY_LINK && class != CLASS_OPEN
}

/// A page of port classes.
pub type ClassPage = [u16; PAGE];
/// A page of the local ports that sent packets.
pub type SentPage = [Sent; PAGE];
/// A page of port counters.
pub type CounterPage = [PortSlot; PAGE];

/// Index of the page that holds a port, among the pages of all protocols.
#[inline(always)]
#[must_use]
pub const fn page_of(protocol: PortProtocol, port: u16) -> u32 {
    protocol as u32 * PAGES + (port / PAGE as u16) as u32
}

/// Index of a port inside its page.
#[inline(always)]
#[must_use]
pub const fn slot_of(port: u16) -> usize {
    port as usize % PAGE
}

/// Index into `PORTS` of the page that holds a port in one of the buffers.
#[inline(always)]
#[must_use]
pub const fn class_page(buffer: u32, protocol: PortProtocol, port: u16) -> u32 {
    buffer * PORT_PROTOCOLS * PAGES + page_of(protocol, port)
}

/// A port's number among those of all protocols, 65,536 each.
#[inline(always)]
#[must_use]
pub const fn port_index(protocol: PortProtocol, port: u16) -> u32 {
    ((protocol as u32) << 16) | port as u32
}

/// Index into `PORT_COUNTERS` of the page that holds a CPU's counters of a TCP or UDP port, by the port's [number](port_index).
#[inline(always)]
#[must_use]
pub const fn counter_page(cpu: u32, port_index: u32) -> u32 {
    cpu * COUNTED_PROTOCOLS * PAGES + port_index / PAGE as u32
}

/// Index into `RARE_PORT_COUNTERS` of the slot where a CPU counts a port of one of the other protocols, by the port's [number](port_index).
#[inline(always)]
#[must_use]
pub const fn rare_slot(cpu: u32, port_index: u32) -> u32 {
    cpu * RARE_PORTS + (port_index ^ port_index >> 10) % RARE_PORTS
}

/// The most MAC addresses of an interface and those above it.
pub const MAX_MACS: usize = 4;

/// The settings of a policy besides ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Settings {
    /// A bit for each IP protocol number that `--allow-proto` names, the lowest bit of the first word for 0.
    pub protocols: [u64; 4],
    /// 1 where packets to allowed ports may be routed on to any machine, else 0.
    pub forward: u64,
    /// 1 where senders on the link get an answer from closed ports, else 0.
    pub refuse: u32,
    /// 1 where the policy needs the list of [`CLASS_LAN`], else 0. Only the user side reads it.
    pub lan: u32,
    /// The limit for echo requests of all senders together; [`Rate::NONE`] for none.
    pub ping: Rate,
    /// The MAC addresses of the interface and of those above it, where `lan` is 1. Each is in the first six bytes of a word in memory, and
    /// one may be there twice.
    pub macs: [u64; MAX_MACS],
    /// How long flows live.
    pub timeouts: Timeouts,
}

impl Settings {
    /// Whether `--allow-proto` names this IP protocol number.
    #[inline(always)]
    #[must_use]
    pub const fn allows(&self, protocol: u8) -> bool {
        self.protocols[(protocol / 64) as usize] & (1 << (protocol % 64)) != 0
    }

    /// Whether one of [`macs`](Self::macs) is this one.
    #[inline(always)]
    #[must_use]
    pub fn has_mac(&self, mac: u64) -> bool {
        let [first, second, third, fourth] = self.macs;
        // One comparison: the verifier follows each. Only of 0 neither the word nor its negative has the highest bit.
        let differ = |word: u64| word | word.wrapping_neg();
        (differ(first ^ mac) & differ(second ^ mac) & differ(third ^ mac) & differ(fourth ^ mac)) >> 63 == 0
    }
}

/// Key of `SOURCES4` after the prefix length; the prefix covers the first four bytes in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Source4 {
    /// The policy buffer.
    pub buffer: u8,
    /// Always 0.
    pub padding: u8,
    /// The port's class, network byte order.
    pub class: [u8; 2],
    /// The network's or the packet's address.
    pub address: [u8; 4],
}

/// Key of `SOURCES6` after the prefix length; the prefix covers the first four bytes in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Source6 {
    /// The policy buffer.
    pub buffer: u8,
    /// Always 0.
    pub padding: u8,
    /// The port's class, network byte order.
    pub class: [u8; 2],
    /// The network's or the packet's address.
    pub address: [u8; 16],
}

/// Bits of a source key before the address.
pub const SOURCE_PREFIX: u32 = 32;

/// Key of `RULES`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct RulesAt {
    /// The policy buffer.
    pub buffer: u32,
    /// The number of the chunk, from 0.
    pub chunk: u32,
}

/// Bytes of a chunk. With the kernel's own data, an entry is just below a page.
pub const RULE_CHUNK: usize = 4032;
/// The number of chunks that fit for all buffers together.
pub const MAX_RULE_CHUNKS: u32 = 4096;

/// A part of the rules of a buffer. The chunks make one text: its length in bytes as a `u32`, and then a line for each entry. A line has the words
/// `allow`, the entry, and its comment if there is one, with a tab between them. Behind the text are zeros.
pub type RuleChunk = [u8; RULE_CHUNK];

/// Whether a local port, or a protocol without ports, ever sent something. Each flag is a byte of its own, so that two CPUs never write the same byte
/// differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Sent {
    /// 1 once something was sent to a unicast address.
    pub unicast: u8,
    /// 1 once something was sent to a multicast or broadcast address.
    pub multicast: u8,
}

/// Packets and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Counter {
    /// Packets.
    pub packets: u64,
    /// Bytes, Ethernet headers included, checksums not.
    pub bytes: u64,
}

/// A CPU's counters by [`Reason`] number.
pub type ReasonCounters = [Counter; Reason::SLOTS];

/// Packets by verdict, summed over the CPUs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortCounter {
    /// Packets that passed because the port is allowed.
    pub passed: u64,
    /// Packets that dropped.
    pub dropped: u64,
}

/// Packets to one port as a CPU counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct PortSlot {
    /// Packets that passed because the port is allowed.
    pub passed: u64,
    /// Packets that dropped.
    pub drops: PortDrops,
}

/// Packets to one port of a rare transport, as a CPU counts them; the value of `RARE_PORT_COUNTERS`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct RarePort {
    /// 1 more than the port's [number](port_index); 0 for none.
    pub port: u64,
    /// Its packets.
    pub slot: PortSlot,
}

/// Drops of one port, and the window of the last recorded one, in one word: during a flood, counting a drop must not need a second one.
///
/// | bits | what |
/// |---|---|
/// | 0-47 | packets |
/// | 48 | 1 after a record |
/// | 49-63 | the lower bits of the number of the [window of time](RECORD_WINDOW) with the last record |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(transparent)]
pub struct PortDrops(pub u64);

impl PortDrops {
    const WINDOW: u32 = 48;

    /// The upper bits after a record, over any others.
    #[inline(always)]
    const fn window(ticks: u64) -> u64 {
        ticks << (Self::WINDOW + 1 - RECORD_WINDOW) | 1 << Self::WINDOW
    }

    /// Packets.
    #[inline(always)]
    #[must_use]
    pub const fn packets(self) -> u64 {
        self.0 & ((1 << Self::WINDOW) - 1)
    }

    /// Count packets at `ticks` of the kernel; returns whether they are the first of their window.
    #[inline(always)]
    pub const fn count(&mut self, ticks: u64, packets: u64) -> bool {
        let difference = self.0 ^ Self::window(ticks);
        self.0 += packets;
        difference >> Self::WINDOW != 0
    }

    /// No drops yet, of another port, in the same window.
    #[inline(always)]
    #[must_use]
    pub const fn restarted(self) -> Self {
        Self(self.0 >> Self::WINDOW << Self::WINDOW)
    }

    /// Note that a drop of this window was recorded.
    #[inline(always)]
    pub const fn mark(&mut self, ticks: u64) {
        self.0 = self.packets() | Self::window(ticks) >> Self::WINDOW << Self::WINDOW;
    }
}

/// The number of combinations of VLAN tags in `UPPERS`: every VLAN of an interface, and frames without a tag.
pub const MAX_UPPERS: u32 = 4096;

/// The interfaces above an interface that receive its frames with certain tags, by index; 0 for none. The key of `UPPERS` is the frame's
/// [`Tags`](crate::wire::ethernet::Tags).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Uppers {
    /// The one that the network layer sees: its addresses, its routing rules and whether it forwards count.
    pub network: u32,
    /// The interfaces on the way there and, for a VLAN, the ones for frames without a tag.
    pub others: [u32; 3],
}

impl Uppers {
    /// Whether one of them has this index.
    #[inline(always)]
    #[must_use]
    pub const fn has(&self, ifindex: u32) -> bool {
        let [first, second, third] = self.others;
        // One comparison: the verifier follows each. A product of 64 bits is 0 only where a factor is, as the differences of two have 62 at most.
        let differences = [self.network ^ ifindex, first ^ ifindex, second ^ ifindex, third ^ ifindex];
        is_zero(differences[0]) | is_zero(differences[1]) | is_zero(differences[2]) | is_zero(differences[3]) != 0
    }
}

/// 1 for 0, without a comparison: the verifier follows both outcomes of each.
#[inline(always)]
const fn is_zero(word: u32) -> u64 {
    (word as u64).wrapping_sub(1) >> 63
}

/// A destination address and whether packets to it are routed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Route {
    /// The address in network byte order, IPv4 as an IPv4-mapped IPv6 address.
    pub destination: [u32; 4],
    /// When the routing table was asked, in ticks of the kernel; 0 for an empty slot.
    pub asked: u64,
    /// The [tags](crate::wire::ethernet::Tags) of the frames it applies to.
    pub tags: u32,
    /// 1 if the packet would be routed on to another machine or container.
    pub forwarded: u32,
}

/// Who attached what, and when; the only value of `META`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Meta {
    /// [`ABI_VERSION`] of the program that wrote it.
    pub abi: u32,
    /// The interface's index when it was attached.
    pub ifindex: u32,
    /// Seconds since 1970 of the first attach.
    pub attached_at: u64,
    /// Inode of the network namespace that the index and the name belong to.
    pub netns: u64,
    /// Who attached: the user ID behind sudo, else the real one.
    pub uid: u32,
    /// The mode, see [`Meta::MODE_NATIVE`].
    pub mode: u8,
    /// What tracks replies, see [`Meta::EGRESS_TCX`].
    pub egress: u8,
    /// Always 0.
    pub padding: [u8; 2],
    /// The version of the `fw-user` that attached last, ASCII, filled up with zeros.
    pub version: [u8; 24],
}

impl Meta {
    /// XDP in the driver.
    pub const MODE_NATIVE: u8 = 1;
    /// XDP in the network stack's first step, for drivers without it.
    pub const MODE_GENERIC: u8 = 2;
    /// TC ingress, by a TCX link (kernel 6.6).
    pub const MODE_TC: u8 = 3;
    /// No egress program: replies are not tracked.
    pub const EGRESS_NONE: u8 = 0;
    /// A TCX link (kernel 6.6).
    pub const EGRESS_TCX: u8 = 1;
    /// A filter of a clsact qdisc that existed before.
    pub const EGRESS_CLSACT: u8 = 2;
    /// A filter of a clsact qdisc that fw-user created.
    pub const EGRESS_OWN_CLSACT: u8 = 3;
}
