//! Gives new maps to an active filter of another version, or with damaged pins. The programs are replaced in place, with no packet in between. If
//! this is interrupted, the old or the new program filters the interface, and the next attempt continues from there.

use std::{fs, path::Path};

use fw_common::abi::{DEFAULT_FLOWS, map};

use crate::{
    error::{Error, HostError, KernelError, Result},
    host::interface::Interface,
    kernel::{
        attach::{
            egress, ingress, links,
            plan::{self, Attached, Plan},
            remove, seed, state,
        },
        clock,
        maps::{flows, policy_map::PolicyMap, uppers},
        meta::{AttachmentRecord, Egress},
        object,
        pins::Pins,
        shape::{self, Shapes},
    },
};

/// Refuse if shared maps are damaged that other interfaces use too: those would continue with invisible maps.
pub(crate) fn check(pins: &Pins, name: &str, flows: Option<u32>) -> Result<()> {
    if pins.interfaces()?.iter().all(|attached| attached == name) {
        return Ok(());
    }
    let shapes = match flows {
        Some(flows) => Shapes::on_this_machine(flows)?,
        None => Shapes::here(pins)?,
    };
    for map in map::SHARED {
        let path = pins.shared_map(map);
        shapes.check(map, &path, name)?;
        if fs::symlink_metadata(&path).is_err() {
            let difference = "it is missing, and other interfaces use it".to_owned();
            let fix = "detach every interface first: fw-user detach --all".to_owned();
            return Err(Error::Kernel(KernelError::OtherShape { path, difference, fix }));
        }
    }
    Ok(())
}

/// Give new maps in `pins` to the active filter that the links in `from` hold; `pins` may be the same.
pub(crate) fn rebuild(pins: &Pins, interface: &Interface, plan: &Plan, from: &Pins) -> Result<Attached> {
    let name = &interface.name;
    let known = AttachmentRecord::read(from, name).ok();
    // Leftovers of an interrupted attempt, or damaged pins. The active programs keep the maps that they use.
    remove::maps(pins, name)?;
    let flows = plan.flows.or_else(|| shape::capacity(pins)).or_else(|| shape::capacity(from));
    let shapes = Shapes::on_this_machine(flows.unwrap_or(DEFAULT_FLOWS))?;
    for map in map::SHARED {
        let path = pins.shared_map(map);
        if shapes.check(map, &path, name).is_err() {
            // No other interface uses it: otherwise this was refused.
            remove::remove_file(&path)?;
        }
    }
    let mut ebpf = plan::load(pins, name, &Plan { flows, ..plan.clone() })?;
    uppers::note(pins, name)?;
    PolicyMap::open(pins, name)?.write_first(&plan.policy, plan.terms)?;
    // An interrupted attempt may have moved the link already.
    let old_egress = if links::egress_link(from, name)?.is_some() { from } else { pins };
    let egress = match (egress::found(old_egress, interface)?, known.as_ref().map(|record| record.egress)) {
        // A removed filter is attached again at its place.
        (Egress::None | Egress::Clsact { .. }, Some(known @ Egress::Clsact { .. })) => known,
        (found, _) => found,
    };
    let mode = state::mode(pins, interface);
    let wanted = ingress::mode_after(interface, mode, plan.mode)?;
    let mut record = AttachmentRecord::now(interface, wanted, egress)?;
    record.since = known.map_or(record.since, |record| record.since);
    let is_new = record.egress == Egress::None && plan.replies;
    if is_new {
        record.egress = egress::choose(interface, plan.hook)?;
    }
    plan::write_record(&mut ebpf, &record)?;
    // If the verifier refuses anything, it does so now.
    object::load_together(&mut ebpf, &[ingress::program(interface, wanted), egress::program(interface)])?;
    let after = |error: Error| error.after(format!("replaced a program of {name}"));
    if record.egress != Egress::None {
        // Once before the egress program uses the new tables, and once for connections that were opened in between.
        let inherit = || flows::inherit(from, pins, clock::now()?, &plan.policy.timeouts);
        inherit()?;
        seed::seed(pins)?;
        let program = egress::load_for(&mut ebpf, interface)?;
        if is_new {
            for dead in [pins, from] {
                remove::remove_link(&dead.egress_link(name))?;
            }
            egress::attach(program, pins, interface, record.egress)?;
        } else {
            record.egress = egress::replace(program, old_egress, interface, record.egress)?;
            plan::write_record(&mut ebpf, &record).map_err(after)?;
        }
        inherit().and_then(|()| seed::seed(pins)).map_err(after)?;
    }
    let replaced = if wanted == mode {
        ingress::replace(&mut ebpf, from, interface, mode)
    } else {
        ingress::step(&mut ebpf, pins, interface, wanted)
    };
    replaced.map_err(|error| if record.egress == Egress::None { error } else { after(error) })?;
    // The link that decides which version the attachment belongs to comes last.
    rename(&from.egress_link(name), &pins.egress_link(name)).map_err(after)?;
    if wanted == mode {
        rename(&from.ingress_link(name), &pins.ingress_link(name)).map_err(after)?;
    } else {
        ingress::finish_step(from, pins, interface).map_err(after)?;
    }
    if from != pins {
        let _left = remove::interface(from, name).map_err(after)?;
    }
    Ok(Attached { record, before: None, rebuilt: true, not_native: None, ebpf: Some(ebpf) })
}

/// Move a pin. On the BPF file system the object always keeps a name.
fn rename(from: &Path, to: &Path) -> Result<()> {
    if from == to || fs::symlink_metadata(from).is_err() {
        return Ok(());
    }
    fs::rename(from, to)
        .map_err(|source| Error::Host(HostError::File { what: "moving the pin", path: from.to_owned(), source }))
}
