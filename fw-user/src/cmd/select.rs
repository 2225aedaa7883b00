//! The interfaces that a command acts on.

use std::path::PathBuf;

use crate::{
    error::{Error, KernelError, Result},
    host::interface,
    kernel::{
        attach::{links, state},
        pins::Pins,
    },
    output::complain,
};

/// The interfaces that a command acts on: those named, which must have a filter, or all that have one.
pub(crate) fn attached(pins: &Pins, named: &[String]) -> Result<Vec<String>> {
    let attached = pins.interfaces()?;
    let of_other_abi = other_abis(pins)?;
    let other_abi = |name: &String| of_other_abi.iter().find(|(other, _)| other == name);
    let unknown = |name: &String| match other_abi(name) {
        Some((name, abi)) => Err(Error::Kernel(KernelError::OtherAbi { name: name.clone(), abi: *abi })),
        None if attached.is_empty() => Err(Error::Kernel(KernelError::NothingAttached)),
        None if !attached.contains(name) => Err(Error::Kernel(KernelError::NotAttached { name: name.clone() })),
        None => Ok(()),
    };
    if !named.is_empty() {
        named.iter().try_for_each(unknown)?;
        return Ok(interface::once_each(named).cloned().collect());
    }
    of_other_abi.iter().map(|(name, _)| name).try_for_each(unknown)?;
    if attached.is_empty() { Err(Error::Kernel(KernelError::NothingAttached)) } else { Ok(attached) }
}

/// Those of [`attached`] with an active filter: a change to any other would have no effect. If none is named, inactive ones are left out with a note.
pub(crate) fn at_work(pins: &Pins, named: &[String]) -> Result<Vec<String>> {
    let mut at_work = Vec::new();
    let mut idle = Vec::new();
    for name in attached(pins, named)? {
        if links::ingress_link(pins, &name)?.is_some_and(|link| link.ifindex != 0) {
            at_work.push(name);
        } else {
            let state = state::of(pins, &name, interface::present(&name)?.as_ref())?.words();
            idle.push(Error::Kernel(KernelError::NotFiltering { name, state }));
        }
    }
    if named.is_empty() && !at_work.is_empty() {
        for idle in idle {
            complain(&format!("note: left out: {idle}"));
        }
        return Ok(at_work);
    }
    idle.into_iter().next().map_or(Ok(at_work), Err)
}

/// The interfaces on which a filter is at work, of whatever version.
pub(crate) fn filtered(pins: &Pins) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for name in pins.interfaces_of_all()? {
        for of_abi in pins.all()? {
            if links::ingress_link(&of_abi, &name)?.is_some_and(|link| link.ifindex != 0) && names.last() != Some(&name)
            {
                names.push(name.clone());
            }
        }
    }
    Ok(names)
}

/// The interfaces that are filtered by another version, and its ABI.
pub(crate) fn other_abis(pins: &Pins) -> Result<Vec<(String, u32)>> {
    let mut found = Vec::new();
    for other in pins.others()? {
        for name in other.interfaces()? {
            if links::ingress_link(&other, &name)?.is_some_and(|link| link.ifindex != 0) {
                found.push((name, other.abi()));
            }
        }
    }
    Ok(found)
}

/// An error after these interfaces were changed and these files written.
pub(crate) fn after_change(error: Error, interfaces: &[String], files: &[PathBuf]) -> Error {
    let files = files.iter().map(|file| file.display().to_string());
    let changed: Vec<String> = interfaces.iter().cloned().chain(files).collect();
    if changed.is_empty() { error } else { error.after(format!("changed {}", changed.join(", "))) }
}
