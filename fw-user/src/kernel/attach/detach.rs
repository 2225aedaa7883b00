//! Takes off a filter in any state: of this version or another, complete or damaged, active or left over.

use std::path::PathBuf;

use crate::{
    error::{Error, KernelError, Result},
    host::interface::{self, Interface},
    kernel::{
        attach::{
            egress, foreign, links, remove,
            state::{self, Stale, State},
        },
        meta::AttachmentRecord,
        pins::Pins,
    },
};

/// Take the filter off an interface and remove its pins, even if the interface is gone or the pins are damaged.
pub(crate) fn detach(pins: &Pins, name: &str, interface: Option<&Interface>) -> Result<()> {
    let unpinned = interface.filter(|interface| foreign::is_unpinned_filter(pins, interface));
    if unpinned.is_none() && !pins.interfaces_of_all()?.iter().any(|attached| attached == name) {
        return Err(Error::Kernel(KernelError::NotAttached { name: name.to_owned() }));
    }
    let left = clear(pins, name, interface)?;
    if let Some(interface) = unpinned {
        foreign::take_off_filter(interface)?;
    }
    if left.is_empty() { Ok(()) } else { Err(Error::not_ours(&left)) }
}

/// Remove the folders that contain no interface's pins any more.
pub(crate) fn sweep(pins: &Pins) -> Result<()> {
    let mut left = Vec::new();
    // This version's pins last, because that removes their common folder.
    for of_abi in pins.all()?.into_iter().rev() {
        if of_abi.interfaces()?.is_empty() {
            left.extend(remove::root(&of_abi)?);
        }
    }
    left.sort_unstable();
    left.dedup();
    if left.is_empty() { Ok(()) } else { Err(Error::not_ours(&left)) }
}

/// The same as [`detach`] for the objects that our pins hold. Returns the foreign files that were left.
pub(crate) fn clear(pins: &Pins, name: &str, interface: Option<&Interface>) -> Result<Vec<PathBuf>> {
    let state = state::of(pins, name, interface)?;
    let record = AttachmentRecord::read(pins, name).ok();
    let all = pins.all()?;
    // A renamed interface is still the same.
    let here = interface::all()?;
    let mut holder = None;
    for of_abi in &all {
        let Some(link) = links::ingress_link(of_abi, name)? else { continue };
        for one in &here {
            if holder.is_none() && state::is_at_work(&link, one)? {
                holder = Some(one);
            }
        }
    }
    // Another interface that took over the name has no filter of ours.
    let named = interface.filter(|interface| match (&record, state) {
        (Some(record), _) => record.ifindex == interface.index,
        (None, state) => matches!(state, State::Stale(Stale::TakenOff | Stale::NoLink)),
    });
    for of_abi in &all {
        for link in remove::links(of_abi, name) {
            remove::remove_link(&link)?;
        }
    }
    if let Some(interface) = holder.or(named) {
        // A record beside another version's attachment does not describe it.
        let egress = if matches!(state, State::OtherAbi(_)) { None } else { record.map(|record| record.egress) };
        egress::detach_clsact(interface, egress)?;
    }
    let mut left = Vec::new();
    // This version's pins last, because that removes their common folder.
    for of_abi in all.iter().rev() {
        left.extend(remove::interface(of_abi, name)?);
    }
    left.sort_unstable();
    left.dedup();
    Ok(left)
}

/// Remove the leftovers of other versions beside a filter of this one.
pub(crate) fn clear_other_abis(pins: &Pins, name: &str) -> Result<()> {
    for other in pins.others()? {
        // An active filter is elsewhere, on another interface of the name.
        if links::ingress_link(&other, name)?.is_none_or(|link| link.ifindex == 0) {
            let _left = remove::interface(&other, name)?;
        }
    }
    Ok(())
}
