//! An interface's filter as a whole: found, attached, replaced, taken off.

use std::{fs, os::fd::AsFd, os::fd::AsRawFd, path::PathBuf};

use aya::{maps::MapData, programs::loaded_programs, util::nr_cpus};
use fw_common::{
    abi::{Active, DEFAULT_FLOWS, map},
    policy::Policy,
};

use super::{
    egress::{self, Hook},
    flows, ingress,
    ingress::ModeChoice,
    meta::{Egress, Mode, Record, network_namespace},
    object,
    pins::Pins,
    policy_map::{PolicyMap, Terms},
    seed,
    shape::Shapes,
};
use crate::{
    Error, Result,
    interface::{self, Interface},
};

/// What is on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Neither program nor pins.
    Free,
    /// Our filter, at work.
    Ours,
    /// Pins of ours, but their program is not on the interface (any more).
    Stale,
    /// Somebody else's XDP program, by ID. Pins of ours beside it would be stale.
    Foreign(u32),
}

/// What is on an interface, by its pins and by what the kernel says of it. `None` for an interface that is gone.
///
/// # Errors
/// [`Error::BadPin`].
pub fn state(pins: &Pins, name: &str, interface: Option<&Interface>) -> Result<State> {
    let pinned = ingress::pinned_program(pins, name)?;
    let running = interface.and_then(|interface| interface.xdp_program);
    Ok(match (pinned, running) {
        (Some(ours), Some(id)) if ours == id => State::Ours,
        (_, Some(id)) => State::Foreign(id),
        (Some(_), None) => State::Stale,
        (None, None) if pins.interfaces()?.iter().any(|with_pins| with_pins == name) => State::Stale,
        (None, None) => State::Free,
    })
}

/// What `attach` was asked for.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What may come in.
    pub policy: Policy,
    /// Whether anything is dropped, and until when all this holds.
    pub terms: Terms,
    /// Which XDP mode.
    pub mode: ModeChoice,
    /// Capacity of each flow table; what is there already, or [`DEFAULT_FLOWS`], without.
    pub flows: Option<u32>,
    /// Whether replies are tracked.
    pub replies: bool,
    /// Which hook tracks them.
    pub hook: Hook,
    /// Whether the programs write diagnostics.
    pub debug: bool,
}

/// What `attach` came to.
#[derive(Debug)]
pub struct Attached {
    /// The attachment's record.
    pub record: Record,
    /// What was in force of a filter of ours that was there before.
    pub before: Option<Active>,
    /// The loaded object, from which diagnostics can be read. Dropping it changes nothing. Nothing was loaded where only the policy
    /// changed.
    pub ebpf: Option<aya::Ebpf>,
}

/// Refuse what cannot be attached to, before anything is changed.
///
/// # Errors
/// [`Error::NotEthernet`], [`Error::Taken`], [`Error::OtherMode`], [`Error::Unconfirmed`], [`Error::NotOnTrial`], [`Error::BadPin`].
pub fn check(pins: &Pins, interface: &Interface, plan: &Plan) -> Result<()> {
    interface.check_is_ethernet()?;
    let name = interface.name.clone();
    // Pins without a readable record are remains, whoever left them.
    if let Ok(record) = Record::read(pins, &name)
        && record.netns != network_namespace()?
    {
        return Err(Error::OtherNamespace { name });
    }
    match state(pins, &interface.name, Some(interface))? {
        State::Foreign(id) => Err(Error::Taken { name, program: describe_program(id) }),
        State::Ours => {
            let current = Record::read(pins, &name)?;
            PolicyMap::open(pins, &name)?.check_settled()?;
            if plan.terms.deadline.is_some() {
                check_can_be_taken_back(&current, plan)?;
            }
            let wanted = match plan.mode {
                ModeChoice::Auto => current.mode,
                ModeChoice::Native => Mode::Native,
                ModeChoice::Generic => Mode::Generic,
            };
            if wanted == current.mode { Ok(()) } else { Err(Error::OtherMode { name, current: current.mode.name() }) }
        }
        State::Free | State::Stale => Ok(()),
    }
}

/// On trial only the policy changes: one store takes it back.
fn check_can_be_taken_back(current: &Record, plan: &Plan) -> Result<()> {
    let refuse = |what| Err(Error::NotOnTrial { name: current.interface.clone(), what });
    if current.version != Record::VERSION {
        refuse("the step to another version of fw-user")
    } else if current.egress == Egress::None && plan.replies {
        refuse("letting replies in")
    } else {
        Ok(())
    }
}

/// A running program, in words.
fn describe_program(id: u32) -> String {
    let name = loaded_programs()
        .filter_map(Result::ok)
        .find(|program| program.id() == id)
        .and_then(|program| program.name_as_str().map(ToOwned::to_owned));
    name.map_or_else(|| format!("id {id}"), |name| format!("`{name}` (id {id})"))
}

/// Attach to an interface, or replace program and policy of the filter that is on it. [`check`] has been passed. Where this fails, the
/// interface is as it was.
///
/// # Errors
/// Any of the kernel's refusals.
pub async fn attach(pins: &Pins, interface: &Interface, plan: &Plan) -> Result<Attached> {
    let name = &interface.name;
    let found = state(pins, name, Some(interface))?;
    if found == State::Stale {
        clear(pins, name, Some(interface)).await?;
    }
    let attempt = if found == State::Ours {
        replace(pins, interface, plan).await
    } else {
        attach_anew(pins, interface, plan).await
    };
    match attempt {
        Err(error) if found != State::Ours => {
            // The first failure is the one to tell of.
            let _unused = clear(pins, name, Some(interface)).await;
            Err(error)
        }
        attempt => attempt,
    }
}

fn load(pins: &Pins, name: &str, plan: &Plan) -> Result<aya::Ebpf> {
    pins.prepare(name)?;
    let cpus = nr_cpus().map_err(|(what, error)| Error::kernel(what, error))?;
    let flows = plan.flows.or_else(|| flows::capacity(pins)).unwrap_or(DEFAULT_FLOWS);
    let shapes = Shapes::new(u32::try_from(cpus).unwrap_or(u32::MAX), flows);
    object::load(pins, name, shapes, plan.debug)
}

fn write_record(ebpf: &mut aya::Ebpf, record: &Record) -> Result<()> {
    match ebpf.map_mut(map::META) {
        Some(meta) => record.write(meta),
        None => unreachable!("the embedded object has the map"),
    }
}

async fn attach_anew(pins: &Pins, interface: &Interface, plan: &Plan) -> Result<Attached> {
    let name = &interface.name;
    let mut ebpf = load(pins, name, plan)?;
    PolicyMap::open(pins, name)?.write_first(&plan.policy, plan.terms)?;
    // What leaves is noted before what comes in is judged. The record goes first, so that whatever happens next can be undone by it.
    let mut record = Record::now(interface, Mode::Native, Egress::None)?;
    if plan.replies {
        record.egress = egress::choose(interface, plan.hook).await?;
        write_record(&mut ebpf, &record)?;
        egress::attach(egress::load(&mut ebpf)?, pins, interface, record.egress).await?;
        seed::seed(pins)?;
    }
    record.mode = ingress::attach(ingress::load(&mut ebpf)?, pins, interface, plan.mode)?;
    write_record(&mut ebpf, &record)?;
    Ok(Attached { record, before: None, ebpf: Some(ebpf) })
}

async fn replace(pins: &Pins, interface: &Interface, plan: &Plan) -> Result<Attached> {
    let name = &interface.name;
    let record = Record::read(pins, name)?;
    let mut map = PolicyMap::open(pins, name)?;
    let before = map.active()?;
    if plan.terms.deadline.is_some() {
        map.write(&plan.policy, plan.terms)?;
        return Ok(Attached { record, before: Some(before), ebpf: None });
    }
    let mut ebpf = load(pins, name, plan)?;
    let mut record = Record { since: record.since, ..Record::now(interface, record.mode, record.egress)? };
    match (record.egress, plan.replies) {
        (Egress::None, true) => {
            record.egress = egress::choose(interface, plan.hook).await?;
            write_record(&mut ebpf, &record)?;
            egress::attach(egress::load(&mut ebpf)?, pins, interface, record.egress).await?;
            seed::seed(pins)?;
        }
        (_, true) => {
            record.egress = egress::replace(egress::load(&mut ebpf)?, pins, interface, record.egress).await?;
        }
        // Without replies what is noted of what leaves does no harm; detaching takes the program off.
        (_, false) => {}
    }
    // Both programs judge by the same maps, so the order of these two changes no verdict to something neither policy says.
    ingress::replace(ingress::load(&mut ebpf)?, pins, name)?;
    write_record(&mut ebpf, &record)?;
    // The last step: whatever failed before it, the old policy is in force.
    map.write(&plan.policy, plan.terms)?;
    Ok(Attached { record, before: Some(before), ebpf: Some(ebpf) })
}

/// Undo an attachment of this command: what was there before is in force again.
///
/// # Errors
/// [`Error::File`], [`Error::Kernel`].
pub async fn undo(pins: &Pins, name: &str, attached: &Attached) -> Result<()> {
    match attached.before {
        None => detach(pins, name, interface::present(name).await?.as_ref()).await,
        Some(before) => PolicyMap::open(pins, name)?.undo(before),
    }
}

/// Take the filter off an interface and remove its pins; also where the interface is gone, or the pins are damaged.
///
/// # Errors
/// [`Error::NotAttached`], [`Error::File`], [`Error::Kernel`].
pub async fn detach(pins: &Pins, name: &str, interface: Option<&Interface>) -> Result<()> {
    if !pins.interfaces()?.iter().any(|attached| attached == name) {
        return Err(Error::NotAttached { name: name.to_owned() });
    }
    clear(pins, name, interface).await
}

async fn clear(pins: &Pins, name: &str, interface: Option<&Interface>) -> Result<()> {
    // Without a record there is at most a TCX link, whose pin is enough.
    let record = Record::read(pins, name).ok();
    let egress = record.as_ref().map_or(Egress::None, |record| record.egress);
    // Another interface that took over the name has nothing of ours.
    let interface = interface.filter(|interface| record.is_some_and(|record| record.ifindex == interface.index));
    ingress::detach(pins, name)?;
    egress::detach(pins, name, interface, egress).await?;
    pins.remove(name)
}

/// Memory that an interface's own maps, or the shared ones, take: what the kernel charges for them, in bytes.
#[must_use]
pub fn map_memory(paths: impl IntoIterator<Item = PathBuf>) -> u64 {
    let charged = |path: PathBuf| -> Option<u64> {
        let data = MapData::from_pin(path).ok()?;
        let facts = fs::read_to_string(format!("/proc/self/fdinfo/{}", data.fd().as_fd().as_raw_fd())).ok()?;
        facts.lines().find_map(|line| line.strip_prefix("memlock:"))?.trim().parse().ok()
    };
    paths.into_iter().filter_map(charged).sum()
}
