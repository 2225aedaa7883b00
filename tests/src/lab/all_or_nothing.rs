//! Commands that change something, each with a fault at its steps: afterwards the interface is as before or as asked, never between, and
//! the next command works.
//!
//! The state after a fault depends on the command, not on the programs. So every step is played with [`Programs::Trivial`], which load at once, and a
//! sample of each kind of step with [`Programs::Real`], where packets show the result.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::ErrorKind,
    net::{SocketAddr, UdpSocket},
    os::unix::process::ExitStatusExt,
};

use anyhow::{Context, Result, bail, ensure};
use fw_common::PortProtocol;
use fw_user::testing::{links, pins::Pins, policy_map::PolicyMap};

use super::{
    LAN4, Lab, PI4,
    client::receives,
    faults::{Fault, Step},
    trivial,
    wait::{self, PATIENCE},
};

/// Ports that the commands here open and close, and one that they never open.
const DOORS: [u16; 3] = [80, 443, 9125];
/// Nothing was changed.
const FAILED: i32 = 1;
/// Changed in part, or not reported.
const CHANGED: i32 = 5;
/// A port that is always open.
const FENCE: u16 = 22;

/// The programs that the command loads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Programs {
    /// The filter: packets show what is open.
    Real,
    /// Those of [`trivial`]: the maps of the attached filter show what is open.
    Trivial,
}

/// At which steps of a command the fault comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Steps {
    /// At each one.
    Every,
    /// At the first and the last step of each kind.
    EndsOfEachKind,
    /// At the last step of each kind, where most is there to be undone.
    LastOfEachKind,
}

impl Steps {
    fn choose<'a>(self, steps: &'a [Step]) -> Vec<&'a Step> {
        let mut kinds: BTreeMap<_, Vec<&'a Step>> = BTreeMap::new();
        for step in steps {
            kinds.entry(step.kind()).or_default().push(step);
        }
        let chosen = |kind: Vec<&'a Step>| {
            let (first, last) = (kind[0], kind[kind.len() - 1]);
            match self {
                Self::Every => kind,
                Self::LastOfEachKind => vec![last],
                Self::EndsOfEachKind if kind.len() == 1 => kind,
                Self::EndsOfEachKind => vec![first, last],
            }
        };
        kinds.into_values().flat_map(chosen).collect()
    }
}

/// The evidence for which ports are open.
enum Doors<'a> {
    /// The servers at the ports.
    Sockets { knocker: UdpSocket, fence: UdpSocket, listeners: Vec<(u16, UdpSocket)> },
    /// The state in the kernel.
    Maps(&'a Lab),
}

impl<'a> Doors<'a> {
    fn new(lab: &'a Lab, programs: Programs) -> Result<Self> {
        if programs == Programs::Trivial {
            return Ok(Self::Maps(lab));
        }
        let socket = |port| lab.pi.udp_socket(port, PI4);
        Ok(Self::Sockets {
            knocker: lab.lan.udp_socket(0, PI4)?,
            fence: socket(FENCE)?,
            listeners: DOORS
                .into_iter()
                .map(|port| {
                    let socket = socket(port)?;
                    socket.set_nonblocking(true)?;
                    Ok((port, socket))
                })
                .collect::<Result<_>>()?,
        })
    }

    /// The ports that are open to the LAN.
    fn open(&self) -> Result<BTreeSet<u16>> {
        match self {
            Self::Sockets { knocker, fence, listeners } => arriving(knocker, fence, listeners),
            Self::Maps(lab) => wait::until("a filter with its policy, or none", || in_force(lab)),
        }
    }
}

/// The ports at which something arrives. What is sent last, and always arrives, says when the rest has.
fn arriving(knocker: &UdpSocket, fence: &UdpSocket, listeners: &[(u16, UdpSocket)]) -> Result<BTreeSet<u16>> {
    for port in DOORS.into_iter().chain([FENCE]) {
        knocker.send_to(b"knock", SocketAddr::new(PI4, port))?;
    }
    ensure!(receives(fence, PATIENCE)?, "port {FENCE} is closed");
    let mut open = BTreeSet::new();
    for (port, socket) in listeners {
        match socket.recv(&mut [0; 16]) {
            Ok(_) => drop(open.insert(*port)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(open)
}

/// The ports that the policy of the attached filter opens; all of them without a filter. `None` until the kernel has detached programs without a pin,
/// which takes a while.
fn in_force(lab: &Lab) -> Result<Option<BTreeSet<u16>>> {
    let all = || Some(DOORS.into_iter().collect());
    let pins = Pins::new(lab.fw.bpffs());
    // Where the kernel refuses the XDP link, the filter is attached at TC ingress.
    let is_at_tc = || {
        lab.pi
            .enter(|| links::ingress_link(&pins, "eth0"))
            .map(|link| link.is_some_and(|link| link.kind == "tcx" && link.ifindex != 0))
    };
    if !lab.pi.run("ip link show dev eth0")?.contains("xdp") && !is_at_tc()? {
        return Ok(all());
    }
    let Ok(map) = PolicyMap::open(&pins, "eth0") else { return Ok(None) };
    if map.in_force()?.monitors() {
        return Ok(all());
    }
    let policy = map.read()?;
    ensure!(policy.is_open_to(PortProtocol::Udp, FENCE, LAN4), "port {FENCE} is closed");
    Ok(Some(DOORS.into_iter().filter(|&port| policy.is_open_to(PortProtocol::Udp, port, LAN4)).collect()))
}

/// How many programs there are for what comes in.
fn programs(lab: &Lab) -> Result<usize> {
    let xdp = lab.pi.run("ip link show")?.lines().filter(|line| line.contains("xdp") && line.contains("mtu")).count();
    Ok(xdp + lab.tc_ingress_of("eth0")?.len() + lab.tc_ingress_of("eth1")?.len())
}

/// A command, what is open before and after it, and the commands that lead up to it.
#[derive(Debug)]
pub struct Case {
    before: &'static [&'static [&'static str]],
    was: &'static [u16],
    command: &'static [&'static str],
    asked: &'static [u16],
}

const BARE: &[&[&str]] = &[];
const EIGHTY: &[&str] = &["attach", "eth0", "--allow", "22,80"];
const EIGHTY_AT_TC: &[&str] = &["attach", "eth0", "--mode", "tc", "--allow", "22,80"];
const EIGHTY_GENERIC: &[&str] = &["attach", "eth0", "--mode", "generic", "--allow", "22,80"];
const BOTH: &[&str] = &["attach", "eth0", "eth1", "--allow", "22,80"];
const BOTH_AT_TC: &[&str] = &["attach", "eth0", "eth1", "--mode", "tc", "--allow", "22,80"];
const TRIAL: &[&str] = &["allow", "443", "--confirm", "600"];

macro_rules! cases {
    ($($(#[doc = $doc:literal])* $name:ident = $before:expr, $was:expr => $command:expr, $asked:expr;)*) => {
        $($(#[doc = $doc])* pub const $name: Case = Case { before: $before, was: $was, command: $command, asked: $asked };)*
    };
}

cases! {
    /// The first filter.
    ATTACH = BARE, &DOORS => EIGHTY, &[80];
    /// Two interfaces at once, at TC ingress.
    ATTACH_TO_SEVERAL = BARE, &DOORS => BOTH_AT_TC, &[80];
    /// Over a filter at TC ingress; [`APPLY_AGAIN`] is that of native mode.
    ATTACH_AGAIN = &[EIGHTY_AT_TC], &[80] => &["attach", "eth0", "--mode", "tc", "--allow", "22,443"], &[443];
    /// Over a filter in generic mode, to another mode.
    STEP = &[EIGHTY_GENERIC], &[80] => &["attach", "eth0", "--mode", "tc", "--allow", "22,443"], &[443];
    /// A rule more.
    ALLOW = &[BOTH], &[80] => &["allow", "443@192.0.2.0/24"], &[80, 443];
    /// A rule less.
    DENY = &[EIGHTY, &["allow", "443"]], &[80, 443] => &["deny", "80", "--interface", "eth0"], &[443];
    /// Only count from now on.
    MONITOR = &[EIGHTY], &[80] => &["monitor"], &DOORS;
    /// Drop again.
    ENFORCE = &[EIGHTY, &["monitor"]], &DOORS => &["enforce"], &[80];
    /// A change that joins another one.
    JOIN = &[EIGHTY, TRIAL], &[80, 443] => &["deny", "80"], &[443];
    /// Take a change back.
    ROLLBACK = &[EIGHTY, TRIAL], &[80, 443] => &["rollback"], &[80];
    /// The filter goes.
    DETACH = &[EIGHTY_AT_TC], &[80] => &["detach", "eth0"], &DOORS;
    /// The lab's file, from nothing.
    APPLY = BARE, &DOORS => &["apply"], &[443];
    /// The lab's file, over another policy.
    APPLY_AGAIN = &[EIGHTY], &[80] => &["apply", "eth0"], &[443];
}

/// Tests of every case and either fault, in a module: `all_or_nothing!(name: Programs, Steps)`.
#[macro_export]
macro_rules! all_or_nothing {
    ($module:ident: $programs:ident, $steps:ident) => {
        mod $module {
            mod killed {
                $crate::all_or_nothing!(every Kill, $programs, $steps);
            }
            mod refused {
                $crate::all_or_nothing!(every Refuse, $programs, $steps);
            }
        }
    };
    (every $fault:ident, $programs:ident, $steps:ident) => {
            $crate::all_or_nothing! { $fault, $programs, $steps:
                attach ATTACH, attach_to_several ATTACH_TO_SEVERAL, attach_again ATTACH_AGAIN, step STEP, allow ALLOW, deny DENY, monitor MONITOR,
                enforce ENFORCE, join JOIN, rollback ROLLBACK, detach DETACH, apply APPLY, apply_again APPLY_AGAIN,
            }
    };
    ($fault:ident, $programs:ident, $steps:ident: $($name:ident $case:ident,)*) => {
        use $crate::lab::{
            all_or_nothing::{self, Programs, Steps},
            faults::Fault,
            skip,
        };
        $(#[test] fn $name() -> anyhow::Result<()> {
            skip::run(|| all_or_nothing::$case.play(Programs::$programs, Steps::$steps, Fault::$fault))
        })*
    };
}

impl Case {
    /// Play it with a fault at its steps.
    ///
    /// # Errors
    /// Something is left between before and after, or the next command does not work.
    pub fn play(&self, programs: Programs, steps: Steps, fault: Fault) -> Result<()> {
        let mut lab = Lab::without_containers()?;
        if programs == Programs::Trivial {
            lab.fw.set_program(trivial::binary());
        }
        lab.pi.open_input()?;
        lab.add_second_lan()?;
        lab.write_file("eth0", "allow = [\"22\", \"443\"]\n")?;
        let doors = Doors::new(&lab, programs)?;
        let (was, asked) = (self.was.iter().copied().collect(), self.asked.iter().copied().collect());
        self.prepare(&lab)?;
        ensure!(doors.open()? == was, "{:?} are open before", doors.open()?);
        let mut all = lab.steps(self.command)?;
        ensure!(doors.open()? == asked, "{:?} are open after", doors.open()?);
        lab.fw(&["detach", "--all"])?;
        if fault == Fault::Kill {
            all.retain(|step| !step.looks());
        }
        // Steps that were tested with one interface are not repeated: with several, only the steps after those.
        let known = if self.command.contains(&"eth1") { all.len() / 2 } else { 0 };
        let chosen = steps.choose(&all[known..]);
        let mut hit = 0;
        for &step in &chosen {
            let play = || -> Result<bool> {
                self.prepare(&lab)?;
                let fatal = self.play_one(&lab, &doors, (&was, &asked), step, fault)?;
                lab.fw(&["detach", "--all"])?;
                lab.nothing_is_left_behind()?;
                Ok(fatal)
            };
            hit += usize::from(play().with_context(|| format!("{:?}, {fault:?} at {step}", self.command))?);
        }
        // A command gets by without some things, and how often the kernel is asked differs a little from one run to the next.
        let least = if fault == Fault::Kill { chosen.len() * 9 / 10 } else { 1 };
        ensure!(hit >= least, "{fault:?} hit {hit} of {} steps", chosen.len());
        println!("{:?}: {fault:?} at {} of {} steps, {hit} of them fatal", self.command, chosen.len(), all.len());
        Ok(())
    }

    fn prepare(&self, lab: &Lab) -> Result<()> {
        self.before.iter().try_for_each(|args| lab.fw(args).map(drop))
    }

    /// Whether the fault was fatal.
    fn play_one(
        &self,
        lab: &Lab,
        doors: &Doors,
        (was, asked): (&BTreeSet<u16>, &BTreeSet<u16>),
        step: &Step,
        fault: Fault,
    ) -> Result<bool> {
        let before = programs(lab)?;
        let output = lab.fw_with_fault(self.command, step, fault)?;
        let said = String::from_utf8_lossy(&output.stderr);
        let open = doors.open()?;
        let done = output.status.success();
        match fault {
            Fault::Kill if !done => {
                ensure!(output.status.signal() == Some(9), "ended with {}: {said}", output.status);
                ensure!(open == *was || open == *asked, "{open:?} are open");
            }
            Fault::Refuse if !done => {
                // Notes may come before it.
                ensure!(said.lines().any(|line| line.starts_with("fw-user: ")), "{said}");
                match output.status.code() {
                    Some(FAILED) => {
                        ensure!(open == *was, "{open:?} are open, and yet: {said}");
                        // On the other interface as well. The kernel takes a while to detach programs without a pin.
                        wait::until("the programs of before", || Ok((programs(lab)? == before).then_some(())))?;
                    }
                    Some(CHANGED) => ensure!(open == *was || open == *asked, "{open:?} are open: {said}"),
                    _ => bail!("ended with {}: {said}", output.status),
                }
            }
            Fault::Kill | Fault::Refuse => ensure!(open == *asked, "{open:?} are open after success"),
        }
        lab.fw(&["status"])?;
        if open != *asked {
            lab.fw(self.command)?;
        }
        ensure!(doors.open()? == *asked, "{:?} are open after the next command", doors.open()?);
        Ok(!done)
    }
}
