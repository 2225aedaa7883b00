//! Test runs: the verdict of an interface's filter on a packet, from the kernel.
//!
//! The attached program would count the packet. So the same object is loaded a second time, with the maps of the interface's policy but counters of
//! its own, and run with `BPF_PROG_TEST_RUN`. It also has flow tables of its own, with copies of the entries that the packet could answer, because a
//! reply extends a live entry. Its recently found flows are cleared before each packet.

use std::{cell::RefCell, time::Duration};

use aya::{
    Ebpf, TestRun as _, TestRunOptions,
    maps::{Array, Map, MapData, MapError},
    programs::{SchedClassifier, Xdp},
};
use fw_common::{
    AddressLookups, Lookups, PortProtocol, Reason,
    abi::{CLASS_CLOSED, Counter, RECENT_FLOWS, ReasonCounters, Sent, map},
    address::{V4, V6},
    decide, decide_packet,
    flow::{Direction, FlowClass, FlowKey, FlowKey4, FlowKey6, FlowKind, Recent4, Recent6},
    wire::{
        Addresses,
        ethernet::{self, Tags},
        ipv4, ipv6,
    },
};

use crate::{
    error::{Error, KernelError, Result},
    host::interface::Interface,
    kernel::{
        attach::{ingress, links},
        clock,
        maps::flows::{Family, Tables},
        object::{self, Globals},
        pins::Pins,
        plain::Plain,
        shape::Shapes,
    },
    packet::headers::bare_ether_type,
};

/// The shortest frame that the kernel runs a program on: an Ethernet header. Shorter frames never reach a filter.
pub const LEAST_FRAME: usize = 14;
/// The longest: a page of 4,096 bytes, without the room before (256) and after the frame (320, less on older kernels).
pub const LARGEST_FRAME: usize = 3520;

/// Maps that the program reads and does not write.
const LIVE: [&str; 13] = [
    map::ACTIVE,
    map::SETTINGS,
    map::PORTS,
    map::SOURCES4,
    map::SOURCES6,
    map::UPPERS,
    map::SENT,
    map::BANS,
    map::BANS4,
    map::BANS6,
    map::BAN_INDEX4,
    map::BAN_INDEX6,
    map::BAN_FILTER,
];

/// Capacity of its own flow tables: the smallest with which LRU tables work well.
const FLOWS: u32 = 2048;

/// The return value of the XDP program for a packet that passes.
const XDP_PASS: u32 = 2;
/// The return value of the TC programs for a packet that passes.
const TC_ACT_UNSPEC: u32 = u32::MAX;

/// Where the program is attached.
#[derive(Clone, Copy, Debug)]
enum Hook {
    Xdp { program: &'static str },
    Tc { program: &'static str, is_bare: bool },
}

/// The verdict on a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The reason, which decides the verdict.
    pub reason: Reason,
    /// Whether it passes; in monitor mode also with the verdict to drop.
    pub passes: bool,
    /// For a reply: the time since the last packet of its flow.
    pub answered_after: Option<Duration>,
}

/// A second instance of an interface's program, with counters of its own.
pub struct DryRun {
    hook: Hook,
    interface: String,
    ifindex: u32,
    ebpf: Ebpf,
    reasons: Array<MapData, Plain<ReasonCounters>>,
    live: Tables,
    own: Tables,
    recent4: Array<MapData, Plain<Recent4>>,
    recent6: Array<MapData, Plain<Recent6>>,
    knows_interface: bool,
}

impl DryRun {
    /// Load the program a second time. The caller holds the lock, so that no pin disappears meanwhile.
    pub fn load(pins: &Pins, interface: &Interface) -> Result<Self> {
        let name = &interface.name;
        let attached = links::ingress_link(pins, name)?
            .ok_or_else(|| Error::Kernel(KernelError::NotAttached { name: name.clone() }))?;
        let shapes = Shapes::on_this_machine(FLOWS)?;
        let hook = match attached.kind.as_str() {
            "xdp" => Hook::Xdp { program: ingress::xdp_program(interface) },
            _ => Hook::Tc { program: ingress::tc_program(interface), is_bare: interface.is_bare() },
        };
        let globals = Globals { debug: false, skipped: if interface.is_bare() { object::ASKED_HEADER } else { 0 } };
        let mut ebpf = object::load_around(pins, name, &LIVE, shapes, globals)?;
        let failed = |error| Error::refused("asking for the program's tag", error);
        let tag = match hook {
            Hook::Xdp { program } => object::load_xdp(&mut ebpf, program)?.info().map_err(failed)?.tag(),
            Hook::Tc { program, .. } => object::load_classifier(&mut ebpf, program)?.info().map_err(failed)?.tag(),
        };
        if tag != attached.tag {
            return Err(Error::Kernel(KernelError::OtherBuild { name: name.clone() }));
        }
        let bad = |error: MapError| Error::refused(format!("opening the maps of a second program for {name}"), error);
        Ok(Self {
            hook,
            interface: name.clone(),
            ifindex: interface.index,
            reasons: take(&mut ebpf, map::COUNTERS).try_into().map_err(bad)?,
            live: Tables::open(pins)?,
            own: Tables::of(|name| Ok(take(&mut ebpf, name)), |_, error| bad(error))?,
            recent4: take(&mut ebpf, map::RECENT4).try_into().map_err(bad)?,
            recent6: take(&mut ebpf, map::RECENT6).try_into().map_err(bad)?,
            ebpf,
            knows_interface: object::knows_interface()?,
        })
    }

    /// Whether the kernel knows the interface of test packets. Otherwise it looks up routes as if they came from this machine itself.
    #[must_use]
    pub const fn knows_interface(&self) -> bool {
        self.knows_interface
    }

    /// Whether packets are judged without Ethernet headers.
    #[must_use]
    pub(crate) const fn is_bare(&self) -> bool {
        matches!(self.hook, Hook::Tc { is_bare: true, .. })
    }

    /// Why the kernel cannot test a frame of this length, if it cannot. It accepts only Ethernet frames, and at TC only those with a whole IP header.
    #[must_use]
    pub(crate) fn cannot_judge(&self, frame: &[u8], len: usize) -> Option<String> {
        let header = if self.is_bare() { 0 } else { LEAST_FRAME };
        let largest = LARGEST_FRAME - (LEAST_FRAME - header);
        let ip_header = match (self.hook, frame.get(12..14)) {
            (Hook::Tc { is_bare: true, .. }, _) => bare_ether_type(frame).map_or(1, ip_header),
            (Hook::Tc { .. }, Some(&[high, low])) => header + ip_header(u16::from_be_bytes([high, low])),
            _ => 0,
        };
        match len {
            len if len < header => Some(format!("{len} bytes are less than an Ethernet header")),
            len if len > largest => Some(format!("{len} bytes are more than the {largest} that the kernel can test")),
            len if len < ip_header => {
                Some(format!("{len} bytes do not hold a whole IP header, which the kernel requires"))
            }
            _ => None,
        }
    }

    /// Judge a frame of [`LEAST_FRAME`] to [`LARGEST_FRAME`] bytes.
    pub fn judge(&mut self, frame: &[u8]) -> Result<Judgement> {
        let failed = |error: MapError| Error::refused("asking for what a packet could answer", error);
        let questions = Questions::of(frame, self.ifindex, self.is_bare());
        let now = clock::now()?;
        let (asked4, asked6) = (questions.v4.into_inner(), questions.v6.into_inner());
        let ages4 = copy(&asked4, &self.live.v4, &mut self.own.v4, now).map_err(failed)?;
        let ages6 = copy(&asked6, &self.live.v6, &mut self.own.v6, now).map_err(failed)?;
        forget(&mut self.recent4, asked4.iter().map(FlowKey4::recent_slot)).map_err(failed)?;
        forget(&mut self.recent6, asked6.iter().map(FlowKey6::recent_slot)).map_err(failed)?;
        let before = self.counted()?;
        let passes = self.run(frame)?;
        let after = self.counted()?;
        let moved = |reason: &&Reason| after[**reason as usize].packets != before[**reason as usize].packets;
        let mut moved = Reason::ALL.iter().filter(moved);
        let (Some(&reason), None) = (moved.next(), moved.next()) else {
            return Err(Error::refused("asking the program", "it counted the packet under no reason, or several"));
        };
        let answered_after = if reason == Reason::Reply { ages4.into_iter().chain(ages6).min() } else { None };
        Ok(Judgement { reason, passes, answered_after })
    }

    /// Whether it passes.
    fn run(&mut self, frame: &[u8]) -> Result<bool> {
        let failed = |error: Box<dyn std::error::Error + Send + Sync>| {
            Error::refused(format!("asking the program of {}", self.interface), error)
        };
        let mut options = TestRunOptions { data_in: Some(frame), ..TestRunOptions::default() };
        match self.hook {
            Hook::Xdp { program } => {
                // struct xdp_md: data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex.
                let len = u32::try_from(frame.len()).map_err(|error| failed(error.into()))?;
                let context: [u32; 6] = [0, len, 0, self.ifindex, 0, 0];
                options.ctx_in = self.knows_interface.then_some(bytemuck::bytes_of(&context));
                let program = self.ebpf.program(program).map(<&Xdp>::try_from);
                let Some(Ok(program)) = program else { unreachable!("the embedded object has the program") };
                Ok(program.test_run(options).map_err(|error| failed(error.into()))?.return_value == XDP_PASS)
            }
            Hook::Tc { program, is_bare } => {
                // struct __sk_buff as far as ifindex, the eleventh word.
                let mut context = [0_u32; 11];
                context[10] = self.ifindex;
                options.ctx_in = Some(bytemuck::bytes_of(&context));
                let with_header = if is_bare { behind_ethernet(frame) } else { frame.to_owned() };
                options.data_in = Some(&with_header);
                let program = self.ebpf.program(program).map(<&SchedClassifier>::try_from);
                let Some(Ok(program)) = program else { unreachable!("the embedded object has the program") };
                Ok(program.test_run(options).map_err(|error| failed(error.into()))?.return_value == TC_ACT_UNSPEC)
            }
        }
    }

    /// The counters by reason, of all CPUs, because it is unknown on which one the program ran.
    fn counted(&self) -> Result<ReasonCounters> {
        let mut sum = [Counter::default(); Reason::SLOTS];
        for cpu in self.reasons.iter() {
            let Plain(slots) = cpu.map_err(|error| Error::refused("reading what a second program counted", error))?;
            sum.iter_mut().zip(slots).for_each(|(sum, slot)| sum.packets += slot.packets);
        }
        Ok(sum)
    }
}

/// A packet behind a header that the program skips.
fn behind_ethernet(packet: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; LEAST_FRAME - 2];
    frame.extend(bare_ether_type(packet).unwrap_or_default().to_be_bytes());
    frame.extend(packet);
    frame
}

const fn ip_header(ether_type: u16) -> usize {
    match ether_type {
        ethernet::ETHER_TYPE_IPV4 => ipv4::HEADER,
        ethernet::ETHER_TYPE_IPV6 => ipv6::HEADER,
        _ => 0,
    }
}

fn take(ebpf: &mut Ebpf, name: &str) -> Map {
    ebpf.take_map(name).unwrap_or_else(|| unreachable!("the embedded object has the map {name}"))
}

/// Copy the entries of some flows from one table to another, and remove all others of these; returns the ages of the existing ones.
fn copy<K: FlowKey>(keys: &[K], from: &Family<K>, to: &mut Family<K>, now: u64) -> Result<Vec<Duration>, MapError> {
    let mut ages = Vec::new();
    for key in keys {
        if let Some(entry) = from.get(key)? {
            to.insert(key, entry)?;
            ages.push(Duration::from_nanos(entry.age(now).max(0).cast_unsigned()));
        } else if to.get(key)?.is_some() {
            to.remove(key)?;
        }
    }
    Ok(ages)
}

/// Empty some slots of each CPU.
fn forget<V: bytemuck::Pod>(
    recent: &mut Array<MapData, Plain<V>>,
    slots: impl Iterator<Item = u32>,
) -> Result<(), MapError> {
    for slot in slots {
        for slot in (slot..recent.len()).step_by(RECENT_FLOWS as usize) {
            recent.set(slot, Plain(V::zeroed()), 0)?;
        }
    }
    Ok(())
}

/// Look-ups that record the requested flows, with answers that make the decision ask for every flow that any policy would.
#[derive(Default)]
struct Questions {
    interface: u32,
    v4: RefCell<Vec<FlowKey4>>,
    v6: RefCell<Vec<FlowKey6>>,
}

impl Questions {
    fn of(frame: &[u8], interface: u32, is_bare: bool) -> Self {
        let questions = Self { interface, ..Self::default() };
        let _verdict = if is_bare {
            decide_packet(frame, bare_ether_type(frame).unwrap_or_default(), &questions)
        } else {
            decide(frame, &questions)
        };
        questions
    }
}

impl Lookups for Questions {
    fn class(&self, _: PortProtocol, _: u16) -> u16 {
        CLASS_CLOSED
    }

    fn allows_protocol(&self, _: u8) -> bool {
        false
    }

    fn sent(&self, _: PortProtocol, _: u16) -> Sent {
        Sent { unicast: 1, multicast: 1 }
    }

    fn mark_sent(&self, _: PortProtocol, _: u16, _: FlowKind) {}

    fn has_bans(&self) -> bool {
        false
    }

    fn has_limits(&self) -> bool {
        false
    }

    fn exceeds_ping_limit(&self) -> bool {
        false
    }

    fn interface(&self) -> u32 {
        self.interface
    }

    fn names_networks(&self) -> bool {
        false
    }

    fn sent_portless(&self, _: u8) -> bool {
        true
    }

    fn mark_sent_portless(&self, _: u8) {}
}

impl AddressLookups<V4> for Questions {
    fn is_in_class(&self, _: u16, _: V4) -> bool {
        false
    }

    fn is_forwarded(&self, _: Tags, _: &Addresses<V4>) -> bool {
        false
    }

    fn exceeds_limit(&self, _: u16, _: u32, _: V4) -> bool {
        false
    }

    fn is_banned(&self, _: V4) -> bool {
        false
    }

    fn may_be_on_link(&self, _: Tags, _: V4) -> bool {
        false
    }

    fn find_flow(&self, key: &FlowKey4, _: FlowClass, _: Direction) -> bool {
        self.v4.borrow_mut().push(*key);
        false
    }

    fn insert_flow(&self, _: &FlowKey4, _: FlowClass) {}
}

impl AddressLookups<V6> for Questions {
    fn is_in_class(&self, _: u16, _: V6) -> bool {
        false
    }

    fn is_forwarded(&self, _: Tags, _: &Addresses<V6>) -> bool {
        false
    }

    fn exceeds_limit(&self, _: u16, _: u32, _: V6) -> bool {
        false
    }

    fn is_banned(&self, _: V6) -> bool {
        false
    }

    fn may_be_on_link(&self, _: Tags, _: V6) -> bool {
        false
    }

    fn find_flow(&self, key: &FlowKey6, _: FlowClass, _: Direction) -> bool {
        self.v6.borrow_mut().push(*key);
        false
    }

    fn insert_flow(&self, _: &FlowKey6, _: FlowClass) {}
}
