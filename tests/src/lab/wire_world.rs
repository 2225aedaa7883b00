//! The case table over a real wire: frames are put on a veth, judged by the attached filter, and told by its counters.

use std::{fs, time::Duration};

use anyhow::{Context, Result};
use fw_common::{PortProtocol, Reason, Verdict, policy::Policy};
use fw_user::testing::{
    bans::BanMap,
    counters::{Counters, Reader},
    pins::Pins,
    policy_map::{PolicyMap, Terms},
    uppers,
};

use super::{Mode, Namespace, command, fw::FwUser, wait, wire::Wire};
use crate::{
    kernel::{bans_from_now, uppers_here},
    row::{Ban, Direction, Row},
    world::{self, Routing},
};

/// The table's world, with the far end of its cable in a namespace that says nothing by itself.
pub struct WireWorld {
    filter: Option<Filter>,
    /// The command under test.
    pub fw: FwUser,
    host: Namespace,
    mode: Mode,
    /// The far end.
    outside: Wire,
    /// The host's end, for what the host sends.
    inside: Wire,
    _far: Namespace,
}

/// The maps of the attached filter. A command for each frame and each policy would take most of the time.
struct Filter {
    policy: PolicyMap,
    bans: BanMap,
    counters: Reader,
}

impl WireWorld {
    /// Make it.
    ///
    /// # Errors
    /// Not root, or no iproute2 or BPF here.
    pub fn new(mode: Mode) -> Result<Self> {
        let (host, far) = (Namespace::new()?, Namespace::new()?);
        far.sysctl("net/ipv6/conf/default/disable_ipv6", "1")?;
        far.sysctl("net/ipv6/conf/all/disable_ipv6", "1")?;
        command::run_with_input(host.command("ip").args(["-batch", "-"]), world::IP_COMMANDS.as_bytes())?;
        host.run(&format!("ip link set lan-peer netns {}", far.path()))?;
        far.run("ip link set lan-peer arp off up")?;
        let (outside, inside) = (far.wire("lan-peer")?, host.wire(world::INTERFACE)?);
        Ok(Self { filter: None, fw: FwUser::new()?, host, mode, outside, inside, _far: far })
    }

    /// Attach, and detach before where something is attached: flows and routes are forgotten.
    ///
    /// # Errors
    /// A command fails.
    pub fn attach_anew(&mut self) -> Result<()> {
        if self.filter.take().is_some() {
            self.fw(&["detach", world::INTERFACE])?;
        }
        self.fw(&["attach", world::INTERFACE, "--mode", &self.mode.to_string(), "--allow", "22"])?;
        let pins = Pins::new(self.fw.bpffs());
        uppers::Table::open(&pins, world::INTERFACE)?.write(&self.host.enter(uppers_here)?)?;
        let (policy, counters) = (PolicyMap::open(&pins, world::INTERFACE)?, Reader::open(&pins, world::INTERFACE)?);
        self.filter = Some(Filter { policy, bans: BanMap::open(&pins)?, counters });
        Ok(())
    }

    /// Have the attached filter judge by a policy.
    ///
    /// # Errors
    /// Nothing is attached, or the kernel's.
    pub fn put_in_force(&mut self, policy: &Policy) -> Result<()> {
        // The networks on the link are those of the host.
        let filter = self.filter.as_mut().context("nothing is attached")?;
        Ok(self.host.enter(|| filter.policy.write(policy, Terms::default()))?)
    }

    fn ban(&mut self, bans: &[Ban]) -> Result<()> {
        let bans = bans_from_now(bans, Duration::ZERO)?;
        Ok(self.filter()?.bans.update(&bans)?)
    }

    fn filter(&mut self) -> Result<&mut Filter> {
        self.filter.as_mut().context("nothing is attached")
    }

    /// Run `fw-user` on the host, and return what it printed.
    ///
    /// # Errors
    /// It failed.
    pub fn fw(&self, args: &[&str]) -> Result<String> {
        command::run(&mut self.fw.command(&self.host, args))
    }

    /// The counters.
    ///
    /// # Errors
    /// Nothing is attached.
    pub fn counters(&mut self) -> Result<Counters> {
        Ok(self.filter()?.counters.read()?.clone())
    }

    /// Make the host a router, or not.
    ///
    /// # Errors
    /// When a sysctl cannot be written.
    pub fn set_routing(&self, routing: Routing) -> Result<()> {
        self.host.enter(|| routing.sysctls().into_iter().try_for_each(|(path, value)| fs::write(path, value)))?;
        Ok(())
    }

    /// Send a frame to the host, and return the counters when it has been judged.
    ///
    /// # Errors
    /// It cannot be sent, or is not judged.
    pub fn deliver(&mut self, frame: &[u8], before: &Counters) -> Result<Counters> {
        self.outside.send(frame)?;
        let reader = &mut self.filter()?.counters;
        wait::until("the frame to be judged", || Ok((judged(reader.read()?) > judged(before)).then_some(())))?;
        // Its port is counted after its reason.
        self.counters()
    }

    /// The difference between a row's result and the table, in words.
    ///
    /// # Errors
    /// As [`WireWorld::deliver`].
    pub fn play(&mut self, row: &Row) -> Result<Option<String>> {
        self.ban(&row.bans)?;
        for earlier in &row.earlier {
            match earlier.direction {
                Direction::Egress => self.inside.send(&earlier.frame)?,
                Direction::Ingress => {
                    let before = self.counters()?;
                    self.deliver(&earlier.frame, &before)?;
                }
            }
        }
        let before = self.counters()?;
        let after = self.deliver(&row.frame, &before)?;
        let said = Change::between(&before, &after);
        let wanted = Change::of(row);
        Ok((said != wanted).then(|| format!("the wire says {said:?}, the table {wanted:?}")))
    }
}

fn judged(counters: &Counters) -> u64 {
    counters.reasons.values().map(|counter| counter.packets).sum()
}

/// The change of the counters by one frame.
#[derive(Debug, PartialEq, Eq)]
pub struct Change {
    /// Reasons, each with packets and bytes.
    pub reasons: Vec<(Reason, u64, u64)>,
    /// Ports, each with what passed and what was dropped.
    pub ports: Vec<((PortProtocol, u16), u64, u64)>,
}

impl Change {
    /// From the counters before and after.
    #[must_use]
    pub fn between(before: &Counters, after: &Counters) -> Self {
        let reasons = after.reasons.iter().filter_map(|(&reason, now)| {
            let then = before.reasons.get(&reason).copied().unwrap_or_default();
            (*now != then).then(|| (reason, now.packets - then.packets, now.bytes - then.bytes))
        });
        let ports = after.ports.iter().filter_map(|(port, now)| {
            let then = before.ports.get(port);
            (now != then).then(|| (port, now.passed - then.passed, now.dropped - then.dropped))
        });
        Self { reasons: reasons.collect(), ports: ports.collect() }
    }

    fn of(row: &Row) -> Self {
        let passes = row.reason.verdict() == Verdict::Pass;
        let ports = row.port.map(|port| (port, u64::from(passes), u64::from(!passes)));
        Self { reasons: vec![(row.reason, 1, row.frame.len() as u64)], ports: ports.into_iter().collect() }
    }
}

/// Whether the kernel lets these frames be sent, and the clock need not be turned back.
#[must_use]
pub fn fits_a_wire(row: &Row) -> bool {
    const MTU: usize = 1500;
    let sizes = [&row.frame].into_iter().chain(row.earlier.iter().map(|earlier| &earlier.frame)).map(Vec::len);
    row.age() == Duration::ZERO && sizes.into_iter().all(|size| (14..=14 + MTU).contains(&size))
}
