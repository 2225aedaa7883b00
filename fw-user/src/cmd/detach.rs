//! `fw-user detach`.

use std::fs;

use serde::Serialize;

use clap::Args;

use crate::{
    cmd::args::parse_name,
    error::{Error, KernelError, Result},
    host::{
        interface::{self, Interface},
        privilege, processes,
    },
    kernel::{
        attach::{detach, follow, foreign, tcx},
        pins::Pins,
    },
    output::{complain, json, print},
};

/// Arguments of `detach`.
#[derive(Debug, Args)]
pub struct DetachArgs {
    /// Interfaces to detach from.
    #[arg(required_unless_present = "all", value_name = "INTERFACE", value_parser = parse_name)]
    pub interfaces: Vec<String>,
    /// Detach from every interface that has the filter or leftovers of it.
    #[arg(long, conflicts_with = "interfaces")]
    pub all: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Serialize)]
struct DetachJson<'a> {
    detached: &'a [String],
}

pub(crate) fn run(pins: &Pins, args: &DetachArgs) -> Result<()> {
    privilege::check()?;
    let choose = |with_filter: &[String]| {
        let names = if args.all { with_filter } else { &args.interfaces };
        match names.iter().find(|name| !with_filter.contains(name)) {
            None => Ok(interface::once_each(names).cloned().collect()),
            Some(_) if with_filter.is_empty() => Err(Error::Kernel(KernelError::NothingAttached)),
            Some(name) => Err(Error::Kernel(KernelError::NotAttached { name: name.clone() })),
        }
    };
    let taken = take_off(pins, args.all, choose)?;
    if taken.is_empty() && !args.json {
        return print("fw was not attached to any interface\n");
    }
    let told = taken.tell(args.json);
    for pid in processes::siblings("run") {
        complain(&format!(
            "note: fw-user run (process {pid}) puts its filters back within seconds; end it first, then detach: kill {pid}, or systemctl stop its unit"
        ));
    }
    told
}

/// The result of taking filters off.
pub(crate) struct Taken {
    detached: Vec<String>,
    /// The first failure.
    failure: Option<Error>,
}

/// Take off the filters that `choose` selects; with `all` also pins that belong to no interface.
pub(crate) fn take_off(pins: &Pins, all: bool, choose: impl FnOnce(&[String]) -> Result<Vec<String>>) -> Result<Taken> {
    let _lock = match pins.lock() {
        // Take off what is possible without the pins: the mode of a folder must not lock anybody out.
        Err(error @ Error::Kernel(KernelError::Untrusted { .. })) => {
            complain(&format!("note: {error}"));
            None
        }
        lock => lock?,
    };
    if let Err(error) = follow::follow(pins) {
        complain(&format!("note: {error}"));
    }
    let here = interface::all()?;
    let mut with_filter = pins.interfaces_of_all()?;
    let unpinned = here.iter().filter(|interface| foreign::is_unpinned_filter(pins, interface));
    with_filter.extend(unpinned.map(|interface| interface.name.clone()));
    with_filter.sort_unstable();
    with_filter.dedup();
    let mut taken = Taken { detached: Vec::new(), failure: None };
    // A failure does not keep the others attached.
    for name in choose(&with_filter)? {
        let interface = here.iter().find(|interface| interface.name == name);
        let before = traces(pins, &name, interface)?;
        match detach::detach(pins, &name, interface) {
            Ok(()) => taken.detached.push(name),
            Err(error) => {
                // Print all the same that the filter is off.
                let is_off = traces(pins, &name, interface::present(&name)?.as_ref())? != before;
                taken.detached.extend(is_off.then_some(name));
                taken.failure = taken.failure.or(Some(error));
            }
        }
    }
    if all {
        taken.failure = taken.failure.or(detach::sweep(pins).err());
    }
    Ok(taken)
}

impl Taken {
    fn is_empty(&self) -> bool {
        self.detached.is_empty() && self.failure.is_none()
    }

    /// Print the interfaces whose filter was taken off, or fail with the first error.
    pub(crate) fn tell(self, as_json: bool) -> Result<()> {
        let Self { detached, failure } = self;
        if detached.is_empty()
            && let Some(error) = failure
        {
            return Err(error);
        }
        let told = if as_json {
            json(&DetachJson { detached: &detached }).and_then(|json| print(&json))
        } else {
            let line = |name| format!("{name}  detached; fw no longer filters this interface\n");
            detached.iter().try_for_each(|name| print(&line(name)))
        };
        let outcome = failure.map_or(told, Err);
        if detached.is_empty() {
            return outcome;
        }
        outcome.map_err(|error| error.after(format!("detached {}", detached.join(", "))))
    }
}

/// The traces that a detach removes: the IDs of the programs on an interface, and the number of its pins.
fn traces(pins: &Pins, name: &str, interface: Option<&Interface>) -> Result<(Vec<u32>, usize)> {
    let entries = pins.all()?.iter().flat_map(|of_abi| fs::read_dir(of_abi.interface(name))).flatten().count();
    let at_xdp = interface.and_then(|interface| interface.xdp_program);
    let at_tc = interface.map(tcx::ingress).unwrap_or_default().into_iter().map(|listed| listed.id);
    Ok((at_xdp.into_iter().chain(at_tc).collect(), entries))
}
