//! An interface's filter as a whole: attached, replaced, and what was before.

use crate::{
    error::{Error, KernelError, Result, SafeguardError},
    host::interface::{self, Interface},
    kernel::{
        attach::{
            detach, egress, foreign,
            ingress::{self, ModeChoice},
            plan::{self, Attached, Plan},
            rebuild, seed,
            state::{self, Stale, State},
            tcx,
        },
        maps::{policy_map::PolicyMap, uppers},
        meta::{AttachmentRecord, Egress, Mode},
        object,
        pins::Pins,
        shape::Shapes,
    },
};

/// Refuse what cannot be attached to, before anything is changed.
pub fn check(pins: &Pins, interface: &Interface, plan: &Plan) -> Result<()> {
    ingress::check(interface, plan.mode)?;
    let name = interface.name.clone();
    let in_our_way = state::in_our_way(pins, &name)?;
    if !in_our_way.is_empty() {
        return Err(Error::not_ours(&in_our_way));
    }
    match state::of(pins, &name, Some(interface))? {
        State::Free | State::Stale(Stale::Gone | Stale::Recreated | Stale::TakenOff | Stale::NoLink) => Ok(()),
        State::Stale(Stale::Elsewhere) => Err(Error::Kernel(KernelError::OtherNamespace { name })),
        State::Foreign(_) if let Some(former) = state::former_name(pins, interface)? => {
            if plan.terms.deadline.is_some() || !pins.can_rename(&former, &name) {
                return Err(Error::Kernel(KernelError::Renamed { name, former }));
            }
            PolicyMap::open(pins, &former)?.check_settled()?;
            ingress::mode_after(interface, state::mode(pins, interface), plan.mode).map(drop)
        }
        State::Foreign(_) if plan.replace && plan.terms.deadline.is_some() => {
            Err(Error::Safeguard(SafeguardError::NotOnTrial { name, what: "taking another program off" }))
        }
        State::Foreign(_) if plan.replace && foreign::is_unpinned_filter(pins, interface) => {
            ingress::mode_after(interface, state::mode(pins, interface), plan.mode).map(drop)
        }
        State::Foreign(_) if plan.replace => Ok(()),
        State::Foreign(id) => {
            Err(Error::Kernel(KernelError::Taken { name, program: foreign::examine(interface, id).to_string() }))
        }
        State::Damaged | State::OtherAbi(_) if plan.terms.deadline.is_some() => {
            Err(Error::Safeguard(SafeguardError::NotOnTrial {
                name,
                what: "giving the filter of another version, or a damaged one, new maps",
            }))
        }
        State::Damaged | State::OtherAbi(_) => {
            rebuild::check(pins, &name, plan.flows)?;
            ingress::mode_after(interface, state::mode(pins, interface), plan.mode).map(drop)
        }
        State::Ours => {
            let current = AttachmentRecord::read(pins, &name)?;
            PolicyMap::open(pins, &name)?.check_settled()?;
            let mode = state::mode(pins, interface);
            let wanted = ingress::mode_after(interface, mode, plan.mode)?;
            if plan.terms.deadline.is_some() {
                check_can_be_taken_back(&current, plan)?;
                if wanted != mode && plan.mode != ModeChoice::Auto {
                    return Err(Error::Safeguard(SafeguardError::NotOnTrial {
                        name,
                        what: "the step to another mode",
                    }));
                }
            }
            Ok(())
        }
    }
}

/// On trial only the policy changes: one store takes it back.
fn check_can_be_taken_back(current: &AttachmentRecord, plan: &Plan) -> Result<()> {
    let refuse = |what| Err(Error::Safeguard(SafeguardError::NotOnTrial { name: current.interface.clone(), what }));
    if current.version != AttachmentRecord::VERSION {
        refuse("the step to another version of fw-user")
    } else if current.egress == Egress::None && plan.replies {
        refuse("letting replies in")
    } else {
        Ok(())
    }
}

/// Attach to an interface, or replace program and policy of the filter that is on it. [`check`] has been passed. Where this fails, the
/// interface is as it was.
pub fn attach(pins: &Pins, interface: &Interface, plan: &Plan) -> Result<Attached> {
    let name = &interface.name;
    let mut state = state::of(pins, name, Some(interface))?;
    if matches!(state, State::Foreign(_))
        && let Some(former) = state::former_name(pins, interface)?
    {
        // Whatever fails from here on, the pins are those of the interface that the filter is on.
        pins.rename(&former, name)?;
        state = state::of(pins, name, Some(interface))?;
    }
    match state {
        State::Ours => {
            let attached = replace(pins, interface, plan)?;
            detach::clear_other_abis(pins, name)
                .map_err(|error| error.after(format!("replaced the filter of {name}")))?;
            return Ok(attached);
        }
        State::Damaged => return rebuild::rebuild(pins, interface, plan, pins),
        State::OtherAbi(abi) => {
            let others = pins.others()?;
            let Some(from) = others.iter().find(|pins| pins.abi() == abi) else {
                return Err(Error::Kernel(KernelError::NotAttached { name: name.clone() }));
            };
            return rebuild::rebuild(pins, interface, plan, from);
        }
        State::Free => {}
        State::Foreign(_) if foreign::is_unpinned_filter(pins, interface) => {
            clear_the_way(pins, interface)?;
            foreign::adopt(pins, interface)?;
            return rebuild::rebuild(pins, interface, plan, pins);
        }
        State::Stale(_) | State::Foreign(_) => clear_the_way(pins, interface)?,
    }
    match attach_anew(pins, interface, plan) {
        Err(error) => match detach::clear(pins, name, Some(interface)) {
            Ok(_left) => Err(error),
            // The first failure is the one to tell of.
            Err(_) => Err(error.after(format!("attached a part of the filter to {name}"))),
        },
        attached => attached,
    }
}

/// Remove what is left of an earlier attachment. What is not ours and not in our way, either, stays where it is.
fn clear_the_way(pins: &Pins, interface: &Interface) -> Result<()> {
    let left = detach::clear(pins, &interface.name, Some(interface))?;
    let in_our_way = if left.is_empty() { Vec::new() } else { state::in_our_way(pins, &interface.name)? };
    if in_our_way.is_empty() { Ok(()) } else { Err(Error::not_ours(&in_our_way)) }
}

fn attach_anew(pins: &Pins, interface: &Interface, plan: &Plan) -> Result<Attached> {
    let name = &interface.name;
    let mut ebpf = plan::load(pins, name, plan)?;
    uppers::note(pins, name)?;
    PolicyMap::open(pins, name)?.write_first(&plan.policy, plan.terms)?;
    // What leaves is noted before what comes in is judged. The record goes first, so that whatever happens next can be undone by it.
    let mut record = AttachmentRecord::now(interface, Mode::Native, Egress::None)?;
    if plan.replies {
        record.egress = egress::choose(interface, plan.hook)?;
        plan::write_record(&mut ebpf, &record)?;
        egress::attach(egress::load_for(&mut ebpf, interface)?, pins, interface, record.egress)?;
        if plan.fresh.is_none() {
            seed::seed(pins)?;
        }
    }
    let mut before = None;
    if let Some(id) = interface.xdp_program {
        // Last, when nothing is left that could fail but the attaching itself.
        ingress::load_for(&mut ebpf, interface, Mode::Native)?;
        if tcx::is_there()? {
            ingress::load_for(&mut ebpf, interface, Mode::Tc)?;
        }
        let other = foreign::examine(interface, id);
        before = Some(format!("took {other} off {name}"));
        other.take_off(interface)?;
    }
    let attached = ingress::attach(&mut ebpf, pins, interface, plan.mode).and_then(|(mode, not_native)| {
        record.mode = mode;
        plan::write_record(&mut ebpf, &record)?;
        Ok(not_native)
    });
    let not_native = attached.map_err(|error| match before {
        Some(what) => error.after(what),
        None => error,
    })?;
    Ok(Attached { record, before: None, rebuilt: false, not_native, ebpf: Some(ebpf) })
}

fn replace(pins: &Pins, interface: &Interface, plan: &Plan) -> Result<Attached> {
    let name = &interface.name;
    let record = AttachmentRecord::read(pins, name)?;
    let mut map = PolicyMap::open(pins, name)?;
    let before = map.active()?;
    uppers::note(pins, name)?;
    if plan.terms.deadline.is_some() {
        map.write(&plan.policy, plan.terms)?;
        return Ok(Attached { record, before: Some(before), rebuilt: false, not_native: None, ebpf: None });
    }
    let mut ebpf = plan::load(pins, name, plan)?;
    let mode = state::mode(pins, interface);
    let wanted = ingress::mode_after(interface, mode, plan.mode)?;
    // To the first place of the list is a step as well.
    let is_step = wanted != mode || !state::listed_ahead(pins, interface)?.is_empty();
    // Programs of the same version judge the same, so that only these are more than the policy.
    let mut is_more = record.version != AttachmentRecord::VERSION || is_step;
    let mut record =
        AttachmentRecord { since: record.since, ..AttachmentRecord::now(interface, wanted, record.egress)? };
    match (record.egress, plan.replies) {
        (Egress::None, true) => {
            record.egress = egress::choose(interface, plan.hook)?;
            plan::write_record(&mut ebpf, &record)?;
            egress::attach(egress::load_for(&mut ebpf, interface)?, pins, interface, record.egress)?;
            seed::seed(pins)?;
            is_more = true;
        }
        (_, true) => {
            record.egress = egress::replace(egress::load_for(&mut ebpf, interface)?, pins, interface, record.egress)?;
        }
        // Without replies what is noted of what leaves does no harm; detaching takes the program off.
        (_, false) => {}
    }
    // All programs judge by the same maps, so their order changes no verdict to something neither policy says. The policy is the last step:
    // whatever failed before it, the old one is in force.
    let replaced = replace_ingress(&mut ebpf, pins, interface, wanted, is_step)
        .and_then(|()| plan::write_record(&mut ebpf, &record))
        .and_then(|()| map.write(&plan.policy, plan.terms));
    replaced.map_err(|error| if is_more { error.after(format!("renewed the programs of {name}")) } else { error })?;
    Ok(Attached { record, before: Some(before), rebuilt: false, not_native: None, ebpf: Some(ebpf) })
}

fn replace_ingress(ebpf: &mut aya::Ebpf, pins: &Pins, interface: &Interface, mode: Mode, is_step: bool) -> Result<()> {
    // One that a killed command left would judge on by its side.
    ingress::take_back(pins, interface)?;
    if !is_step {
        return ingress::replace(ebpf, pins, interface, mode);
    }
    ingress::step(ebpf, pins, interface, mode)?;
    ingress::finish_step(pins, pins, interface)
}

/// Put the filter of an interface first in TC's list again, with no packet between: a second copy of its program takes its place.
pub(crate) fn go_first(pins: &Pins, interface: &Interface) -> Result<()> {
    let mut ebpf = object::load(pins, &interface.name, Shapes::here(pins)?, false)?;
    replace_ingress(&mut ebpf, pins, interface, Mode::Tc, true)
}

/// Undo an attachment of this command: what was there before is in force again. A filter that was rebuilt stays as it was asked for:
/// what was before cannot be had again, and an open interface would be worse.
pub fn undo(pins: &Pins, name: &str, attached: &Attached) -> Result<()> {
    match attached.before {
        _ if attached.rebuilt => Ok(()),
        None => detach::detach(pins, name, interface::present(name)?.as_ref()),
        Some(before) => PolicyMap::open(pins, name)?.undo(before),
    }
}
