//! `fw-user detach`.

use std::fs;

use serde::Serialize;

use super::{json, print};
use crate::{
    Error, Result,
    bpf::{detach, foreign, pins::Pins},
    cli::DetachArgs,
    interface::{self, Interface},
    privilege,
};

#[derive(Serialize)]
struct Outcome<'a> {
    detached: &'a [String],
}

pub(super) async fn run(pins: &Pins, args: &DetachArgs) -> Result<()> {
    privilege::check()?;
    // Where there is no such folder, nothing of ours is in it.
    let lock = if pins.bpffs().exists() { Some(pins.lock()?) } else { None };
    let here = interface::all().await?;
    let mut with_filter = pins.interfaces_of_all()?;
    let unpinned = here.iter().filter(|interface| foreign::is_unpinned_filter(pins, interface));
    with_filter.extend(unpinned.map(|interface| interface.name.clone()));
    with_filter.sort_unstable();
    with_filter.dedup();
    let names = if args.all { &with_filter } else { &args.interfaces };
    if let Some(name) = names.iter().find(|name| !with_filter.contains(name)) {
        return Err(if with_filter.is_empty() {
            Error::NothingAttached
        } else {
            Error::NotAttached { name: name.clone() }
        });
    }
    let mut detached = Vec::new();
    let mut failure = None;
    // One that cannot be taken off does not keep the others on.
    for name in interface::once_each(names) {
        let interface = here.iter().find(|interface| interface.name == *name);
        let before = traces(pins, name, interface)?;
        match detach::detach(pins, name, interface).await {
            Ok(()) => detached.push(name.clone()),
            Err(error) => {
                // That the filter is off is worth saying all the same.
                let is_off = traces(pins, name, interface::present(name).await?.as_ref())? != before;
                detached.extend(is_off.then(|| name.clone()));
                failure = failure.or(Some(error));
            }
        }
    }
    if args.all {
        failure = failure.or(detach::sweep(pins).err());
    }
    drop(lock);
    if detached.is_empty()
        && let Some(error) = failure
    {
        return Err(error);
    }
    let told = if args.json {
        json(&Outcome { detached: &detached }).and_then(|json| print(&json))
    } else if names.is_empty() {
        print("fw was not attached to any interface\n")
    } else {
        let line = |name| format!("{name}  detached; every port is as open as the rest of this machine leaves it\n");
        detached.iter().try_for_each(|name| print(&line(name)))
    };
    let outcome = failure.map_or(told, Err);
    if detached.is_empty() {
        return outcome;
    }
    outcome.map_err(|error| error.after(format!("detached {}", detached.join(", "))))
}

/// What detaching takes away: the program on an interface, and how much lies in the folders of its pins.
fn traces(pins: &Pins, name: &str, interface: Option<&Interface>) -> Result<(Option<u32>, usize)> {
    let entries = pins.all()?.iter().flat_map(|of_abi| fs::read_dir(of_abi.interface(name))).flatten().count();
    Ok((interface.and_then(|interface| interface.xdp_program), entries))
}
