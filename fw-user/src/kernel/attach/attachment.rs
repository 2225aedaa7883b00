//! The filter of an interface as a whole: attaches it, replaces it, and restores the former state.

use std::iter;

use crate::{
    error::{Error, KernelError, Result, SafeguardError},
    host::interface::{self, Interface},
    kernel::{
        attach::{
            detach, egress, foreign,
            ingress::{self, ModeChoice, Place},
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

/// Refuse an interface that cannot be filtered, before anything is changed.
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
            Err(Error::Safeguard(SafeguardError::NotOnTrial { name, what: "the removal of another program" }))
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
                what: "the repair of a damaged filter, or of one of another version",
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
                    return Err(Error::Safeguard(SafeguardError::NotOnTrial { name, what: "a change of mode" }));
                }
            }
            Ok(())
        }
    }
}

/// On trial only the policy changes: one store undoes it.
fn check_can_be_taken_back(current: &AttachmentRecord, plan: &Plan) -> Result<()> {
    let refuse = |what| Err(Error::Safeguard(SafeguardError::NotOnTrial { name: current.interface.clone(), what }));
    if current.version != AttachmentRecord::VERSION {
        refuse("a change to another version of fw-user")
    } else if current.egress == Egress::None && plan.replies {
        refuse("the start of reply tracking")
    } else {
        Ok(())
    }
}

/// Attach to an interface, or replace program and policy of the attached filter, after [`check`]. If this fails, the interface is as it was.
pub fn attach(pins: &Pins, interface: &Interface, plan: &Plan) -> Result<Attached> {
    let name = &interface.name;
    let mut state = state::of(pins, name, Some(interface))?;
    if matches!(state, State::Foreign(_))
        && let Some(former) = state::former_name(pins, interface)?
    {
        // Even if something fails from here on, the pins belong to the interface of the filter.
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
            // Report the first failure.
            Err(_) => Err(error.after(format!("attached a part of the filter to {name}"))),
        },
        attached => attached,
    }
}

/// Remove the leftovers of an earlier attachment. Foreign files that are not in the way stay.
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
    // The driver is asked first, so that the kernel can verify all that is needed at the same time. Where another program is to be taken off, the
    // driver can only be asked afterwards: until then, both programs may be needed.
    let (place, mut needed) = if interface.xdp_program.is_none() {
        let chosen = Place::choose(&mut ebpf, interface, plan.mode)?;
        let program = chosen.0.program(interface);
        (Some(chosen), vec![program])
    } else {
        let tc = tcx::is_there()?.then(|| ingress::program(interface, Mode::Tc));
        (None, iter::once(ingress::program(interface, Mode::Native)).chain(tc).collect())
    };
    needed.extend(plan.replies.then(|| egress::program(interface)));
    object::load_together(&mut ebpf, &needed)?;
    // Track outbound packets before inbound ones are judged. Write the record first, so that everything after it can be undone.
    let mut record = AttachmentRecord::now(interface, Mode::Native, Egress::None)?;
    if plan.replies {
        record.egress = egress::choose(interface, plan.hook)?;
        plan::write_record(&mut ebpf, &record)?;
        egress::attach(egress::load_for(&mut ebpf, interface)?, pins, interface, record.egress)?;
        if plan.arrival.as_ref().is_none_or(|arrival| !arrival.is_fresh) {
            seed::seed(pins)?;
        }
    }
    let mut before = None;
    if let Some(id) = interface.xdp_program {
        // Last, when only the attachment itself can still fail.
        let other = foreign::examine(interface, id);
        before = Some(format!("took {other} off {name}"));
        other.take_off(interface)?;
    }
    let attach = || {
        let (place, not_native) = match place {
            Some(place) => place,
            None => Place::choose(&mut ebpf, interface, plan.mode)?,
        };
        record.mode = ingress::attach(&mut ebpf, pins, interface, place)?;
        plan::write_record(&mut ebpf, &record)?;
        Ok(not_native)
    };
    let attached: Result<_> = attach();
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
    // A move to the first place of the list is a step as well.
    let is_step = wanted != mode || !state::listed_ahead(pins, interface)?.is_empty();
    // A step asks the driver before it has anything verified.
    let needed = (!is_step).then(|| ingress::program(interface, wanted)).into_iter();
    let needed = needed.chain(plan.replies.then(|| egress::program(interface)));
    object::load_together(&mut ebpf, &needed.collect::<Vec<_>>())?;
    // Programs of the same version give the same verdicts, so only these cases change more than the policy.
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
        // Without replies, tracking outbound packets does no harm. A detach takes the program off.
        (_, false) => {}
    }
    // All programs use the same maps, so in any order each verdict follows one of the two policies. The policy is the last step: if anything fails
    // before it, the old one stays in force.
    let replaced = replace_ingress(&mut ebpf, pins, interface, wanted, is_step)
        .and_then(|()| plan::write_record(&mut ebpf, &record))
        .and_then(|()| map.write(&plan.policy, plan.terms));
    replaced.map_err(|error| if is_more { error.after(format!("renewed the programs of {name}")) } else { error })?;
    Ok(Attached { record, before: Some(before), rebuilt: false, not_native: None, ebpf: Some(ebpf) })
}

fn replace_ingress(ebpf: &mut aya::Ebpf, pins: &Pins, interface: &Interface, mode: Mode, is_step: bool) -> Result<()> {
    // Otherwise a program that a killed command left would continue beside it.
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

/// Undo an attachment of this command and restore the former state. A rebuilt filter stays, because its former state is lost, and an open interface
/// would be worse.
pub fn undo(pins: &Pins, name: &str, attached: &Attached) -> Result<()> {
    match attached.before {
        _ if attached.rebuilt => Ok(()),
        None => detach::detach(pins, name, interface::present(name)?.as_ref()),
        Some(before) => PolicyMap::open(pins, name)?.undo(before),
    }
}
