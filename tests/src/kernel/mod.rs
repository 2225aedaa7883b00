//! The case table through the loaded programs, by `BPF_PROG_TEST_RUN`.
//!
//! Nothing is attached: the kernel runs the programs on frames that it is given, in a network namespace with real routes.

mod counters;
mod flows;
pub mod many;
mod maps;
mod namespace;
mod place;
mod recorder;

use std::time::Duration;

use anyhow::{Result, ensure};
use aya::{
    Ebpf,
    maps::{Array, MapData},
    util::nr_cpus,
};
use bytemuck::Zeroable as _;
use fw_common::{
    PortProtocol, Verdict,
    abi::{Route, map},
    bans::FOR_EVER,
    forward::Forward,
    grammar::{PortRange, Rule},
    policy::Policy,
    source::Source,
};
use fw_user::testing::{
    bans::{BanMap, Bans},
    batch::BatchMap,
    mount,
    object::{self, Globals},
    pins::Pins,
    plain::Plain,
    policy_map::{PolicyMap, Terms},
    shape::Shapes,
    uppers,
};
use nix::time::{ClockId, clock_gettime};

use self::{
    counters::{Counters, Snapshot},
    flows::{FlowMaps, Noted},
    maps::{is_zero, take},
    recorder::Recordings,
};
use crate::{
    model::{Flows, Outcome},
    packet::eth,
    row::{Ban, Direction, Row},
    world::{self, Routing},
};

pub use self::{
    counters::Ports,
    namespace::{Namespace, uppers as uppers_here},
    place::{LEAST_FRAME, Place},
    recorder::Recorded,
};

/// Flows a family: more than any row makes, and few enough to be looked through quickly.
const FLOWS: u32 = 2048;

/// How many instructions the verifier may look at, by each program that the kernel knows. The verifier gives up at a million, and takes the longest
/// part of an attach.
///
/// # Errors
/// The kernel has no version.
pub fn most_verified() -> Result<impl Iterator<Item = (&'static str, u32)>> {
    let has_xdp_frags = object::has_xdp_frags()?;
    Ok(MOST_VERIFIED.into_iter().filter(move |&(name, _)| name != object::INGRESS_FRAG || has_xdp_frags))
}

/// The ceilings of all programs.
pub const MOST_VERIFIED: [(&str, u32); 6] = [
    (object::INGRESS, 48_000),
    (object::INGRESS_FRAG, 48_000),
    (object::EGRESS, 25_000),
    (object::INGRESS_TC, 55_000),
    (object::INGRESS_L3, 35_000),
    (object::EGRESS_L3, 25_000),
];

/// How a row's policy is in force. What is counted, and by what reason, must be the same in all cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Force {
    /// For good.
    ForGood,
    /// Nothing is dropped.
    Monitor,
    /// The row's policy on trial, over one that says the opposite.
    OnTrial,
    /// The row's policy again, after the trial of one that says the opposite has ended.
    AfterTrial,
}

/// The programs of a place, loaded, and their maps.
pub struct Kernel {
    place: Place,
    force: Force,
    ebpf: Ebpf,
    namespace: Namespace,
    policy: PolicyMap,
    written: Policy,
    counters: Counters,
    counted: Snapshot,
    recordings: Recordings,
    flows: FlowMaps,
    routes: Array<MapData, Plain<Route>>,
    /// The same map, to be read at once.
    remembered: BatchMap<u32, Route>,
    knows_interface: bool,
    bans: BanMap,
}

impl Kernel {
    /// Load the programs as `attach` does for XDP. Whoever plays rows must stay on this thread.
    ///
    /// # Errors
    /// Whatever the kernel refuses.
    pub fn load(namespace: Namespace, force: Force) -> Result<Self> {
        Self::load_at(namespace, force, Place::Xdp)
    }

    /// The same for another place.
    ///
    /// # Errors
    /// Whatever the kernel refuses.
    pub fn load_at(namespace: Namespace, force: Force, place: Place) -> Result<Self> {
        let pins = Pins::new(&namespace.bpffs());
        let name = world::INTERFACE;
        mount::ensure(pins.bpffs())?;
        pins.prepare(name)?;
        let shapes = Shapes::new(u32::try_from(nr_cpus().map_err(|(_, error)| error)?)?, FLOWS);
        let globals = Globals { debug: false, skipped: place.skipped() };
        let mut ebpf = object::load_around(&pins, name, &object::every_map(), shapes, globals)?;
        place.load(&mut ebpf)?;
        uppers::Table::open(&pins, name)?.write(namespace.uppers())?;
        let mut policy = PolicyMap::open(&pins, name)?;
        let written = Policy::default();
        policy.write_first(&written, Terms::default())?;
        let counters = Counters::take(&mut ebpf, &pins, namespace.cpu())?;
        let counted = counters.read()?;
        let recordings = Recordings::take(&mut ebpf, namespace.cpu(), place)?;
        let flows = FlowMaps::take(&mut ebpf, &pins)?;
        let knows_interface = object::knows_interface()?;
        let routes = take(&mut ebpf, map::ROUTES)?.try_into()?;
        let remembered = BatchMap::open(&pins.map(name, map::ROUTES))?;
        Ok(Self {
            place,
            force,
            ebpf,
            namespace,
            policy,
            written,
            counters,
            counted,
            recordings,
            flows,
            routes,
            remembered,
            knows_interface,
            bans: BanMap::open(&pins)?,
        })
    }

    /// How many instructions of a program the verifier looked at; `None` where the kernel does not say (before 5.16).
    ///
    /// # Errors
    /// Whatever the kernel refuses.
    pub fn verified_instructions(&mut self, name: &str) -> Result<Option<u32>> {
        let info = if [object::INGRESS, object::INGRESS_FRAG].contains(&name) {
            object::load_xdp(&mut self.ebpf, name)?.info()
        } else {
            object::load_classifier(&mut self.ebpf, name)?.info()
        };
        Ok(info?.verified_instruction_count())
    }

    /// Whether the kernel was told which interface packets come in by. Where it was not, it looks for their way on as if they came from this
    /// machine itself.
    #[must_use]
    pub const fn knows_interface(&self) -> bool {
        self.knows_interface
    }

    /// Play a row, and say what became of it by the counters alone. The ages of flows are exact to the time that this took, which is
    /// returned too.
    ///
    /// # Errors
    /// Whatever the kernel refuses; a verdict or a count that contradicts the reason.
    pub fn play(&mut self, row: &Row) -> Result<(Outcome, Duration)> {
        // By the clock that the programs read: it may lag, but it never goes back.
        let begin = Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC_COARSE)?);
        self.prepare(&row.policy, row.routing)?;
        self.ban(&row.bans, row.age())?;
        let mut ago = row.age();
        for earlier in &row.earlier {
            self.flows.pass(ago.abs_diff(earlier.ago))?;
            ago = earlier.ago;
            match earlier.direction {
                Direction::Egress => self.send(&earlier.frame)?,
                Direction::Ingress => drop(self.receive(&earlier.frame)?),
            }
        }
        self.flows.pass(ago)?;
        if row.earlier.iter().any(|earlier| earlier.direction == Direction::Ingress) {
            let before = std::mem::replace(&mut self.counted, self.counters.read()?);
            self.counters.forget_windows(&before, &self.counted)?;
        }
        self.recordings.clear()?;
        let verdict = self.receive(&row.frame)?;
        let before = std::mem::replace(&mut self.counted, self.counters.read()?);
        self.counters.forget_windows(&before, &self.counted)?;
        let decision = self.counted.one_packet_since(&before, self.place.seen(&row.frame).len())?;
        let expected = if self.force == Force::Monitor { Verdict::Pass } else { decision.verdict() };
        ensure!(expected == verdict, "it says {verdict}, but counts {}", decision.reason());
        self.recordings.check(&row.frame, decision, self.force == Force::Monitor)?;
        // Reading what was sent takes a while; where nothing left, `check_rest` looks for it once.
        let Noted { ports: sent, portless: sent_portless } =
            if row.earlier.is_empty() { Noted::default() } else { self.flows.read_sent()? };
        let flows = Flows { sent, sent_portless, ..self.flows.read()? };
        let end = Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC)?);
        Ok((Outcome { decision, flows }, end.saturating_sub(begin)))
    }

    /// Fail if anything was counted for another CPU than the one on which the programs ran, or was noted as sent by rows in which
    /// nothing left.
    ///
    /// # Errors
    /// When something was.
    pub fn check_rest(&mut self) -> Result<()> {
        self.flows.clear()?;
        let Noted { ports, portless } = self.flows.read_sent()?;
        ensure!(ports.is_empty() && portless.is_empty(), "something was noted as sent that never left");
        self.counters.check_other_cpus()
    }

    fn prepare(&mut self, policy: &Policy, routing: Routing) -> Result<()> {
        self.flows.clear()?;
        let mut remembered = vec![Route::zeroed(); self.routes.len() as usize];
        self.remembered.read_from(0, &mut remembered)?;
        for (slot, _) in (0..).zip(remembered).filter(|(_, route)| !is_zero(route)) {
            self.routes.set(slot, Plain(Route::zeroed()), 0)?;
        }
        if self.written != *policy {
            self.put_in_force(policy)?;
            self.written = policy.clone();
        }
        self.namespace.set_routing(routing)
    }

    fn ban(&mut self, bans: &[Ban], age: Duration) -> Result<()> {
        Ok(self.bans.update(&bans_from_now(bans, age)?)?)
    }

    fn put_in_force(&mut self, policy: &Policy) -> Result<()> {
        if self.policy.active()?.deadline() != 0 {
            self.policy.confirm()?;
        }
        let for_good = Terms::default();
        match self.force {
            Force::ForGood => self.policy.write(policy, for_good)?,
            Force::Monitor => self.policy.write(policy, Terms { monitors: true, deadline: None })?,
            Force::OnTrial => {
                self.policy.write(&opposite(policy), for_good)?;
                self.policy.write(policy, Terms { monitors: false, deadline: Some(u32::MAX) })?;
            }
            Force::AfterTrial => {
                self.policy.write(policy, for_good)?;
                self.policy.write(&opposite(policy), Terms { monitors: true, deadline: Some(1) })?;
            }
        }
        Ok(())
    }

    fn send(&mut self, frame: &[u8]) -> Result<()> {
        self.place.send(&mut self.ebpf, self.namespace.ifindex(), frame)
    }

    /// Have a frame come in so many times, as fast as the kernel can.
    ///
    /// # Errors
    /// Whatever the kernel refuses.
    pub fn flood(&mut self, frame: &[u8], times: u32) -> Result<Verdict> {
        self.run(frame, times)
    }

    /// The recorded drops, the oldest first, and the senders.
    ///
    /// # Errors
    /// Whatever the kernel refuses.
    pub fn recorded(&self) -> Result<Recorded> {
        self.recordings.read()
    }

    /// Play what happened before a row, then this many answered datagrams, each of a separate flow; returns whether the row's packet is still a
    /// reply.
    ///
    /// # Errors
    /// Whatever the kernel refuses.
    pub fn is_answer_after_datagrams(&mut self, row: &Row, datagrams: u32) -> Result<bool> {
        self.prepare(&row.policy, row.routing)?;
        for earlier in &row.earlier {
            self.send(&earlier.frame)?;
        }
        let is_ipv6 = row.frame[12..14] == [0x86, 0xdd];
        for number in 0..datagrams {
            let [_, a, b, c] = number.to_be_bytes();
            let port = 20_000 + u16::from(c);
            let resolvers = [format!("198.51.{a}.{b}"), format!("2001:db8:{a}::{b}")];
            let ip = |from: [&str; 2], to: [&str; 2]| {
                if is_ipv6 {
                    eth().ipv6().from(from[1]).to(to[1]).erased()
                } else {
                    eth().ipv4().from(from[0]).to(to[0]).erased()
                }
            };
            let us = [world::HOST.v4, world::HOST.v6];
            let them = [resolvers[0].as_str(), resolvers[1].as_str()];
            self.send(&ip(us, them).udp(port, 53).build())?;
            self.receive(&ip(them, us).udp(53, port).build())?;
        }
        Ok(self.receive(&row.frame)? == Verdict::Pass)
    }

    fn receive(&mut self, frame: &[u8]) -> Result<Verdict> {
        self.run(frame, 1)
    }

    fn run(&mut self, frame: &[u8], times: u32) -> Result<Verdict> {
        let ifindex = self.knows_interface.then_some(self.namespace.ifindex());
        self.place.receive(&mut self.ebpf, ifindex, frame, times)
    }
}

/// Bans that last as long from now on as they would if the first frame had been so long ago.
///
/// # Errors
/// The clock cannot be read.
pub fn bans_from_now(bans: &[Ban], age: Duration) -> Result<Bans> {
    let now = u64::try_from(Duration::from(clock_gettime(ClockId::CLOCK_BOOTTIME)?).as_nanos())?;
    let end = |lasts: Duration| {
        // A ban that is over has ended just now: it may have begun before the clock did.
        (now + lasts.as_nanos() as u64).saturating_sub(age.as_nanos() as u64).max(1)
    };
    Ok(bans.iter().map(|ban| (ban.network, ban.lasts.map_or(FOR_EVER, end))).collect())
}

/// Every network of both families.
const EVERYWHERE: &str = "0.0.0.0/0,::/0";

/// A policy that opens what is closed, closes what is open to everybody, and forwards what is not.
fn opposite(policy: &Policy) -> Policy {
    let everything = PortRange::new(1, u16::MAX).expect("a range");
    let mut opposite =
        Policy::new(PortProtocol::ALL.map(|protocol| Rule { protocol, ports: everything, source: Source::Everyone }));
    for rule in policy.rules() {
        opposite.deny(&rule);
    }
    opposite.protocols = (0..=u8::MAX).filter(|protocol| !policy.protocols.contains(protocol)).collect();
    opposite.forward = match policy.forward {
        Forward::Drop => Forward::Pass,
        Forward::Pass => EVERYWHERE.parse().expect("two networks"),
        Forward::To(_) => Forward::Drop,
    };
    opposite
}
