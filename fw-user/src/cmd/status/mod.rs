//! `fw-user status`.

pub(crate) mod args;
pub(crate) mod report;

use std::{path::Path, slice};

use fw_common::abi::map;

use crate::{
    bans::store,
    cmd::{
        boot::state::BootFiles,
        running::running,
        status::{
            args::StatusArgs,
            report::{Details, InterfaceStatus, Status},
        },
        unfiltered::Gaps,
    },
    error::{Error, HostError, KernelError, Result},
    host::{
        class::Classes,
        interface::{self, Interface},
        ipsec,
        network::Network,
        privilege,
    },
    kernel::{
        attach::{
            foreign, remove,
            state::{self, Stale, State},
        },
        clock,
        maps::policy_map::PolicyMap,
        meta::{AttachmentRecord, Mode},
        pinned,
        pins::Pins,
        shape,
    },
    output::{complain, json, print},
};

pub(crate) async fn run(pins: &Pins, config: &Path, args: &StatusArgs) -> Result<()> {
    privilege::check()?;
    let network = Network::ask()?;
    let here = &network.interfaces;
    let present = |name: &str| here.iter().find(|interface| interface.name == name);
    let files = BootFiles::read(&network);
    let mut interfaces: Vec<InterfaceStatus> =
        pins.interfaces_of_all()?.into_iter().map(|name| examine(pins, &files, present(&name), name)).collect();
    for interface in here.iter().filter(|interface| foreign::is_unpinned_filter(pins, interface)) {
        if !interfaces.iter().any(|known| known.name == interface.name) {
            interfaces.push(without_pins(pins, &files, interface));
        }
    }
    let classes = Classes::of(&network);
    for interface in &mut interfaces {
        interface.class = present(&interface.name).map(|present| classes.class(present));
    }
    let mut gaps = Gaps::find(pins, config).await?;
    if !args.interfaces.is_empty() {
        interfaces.retain(|one| args.interfaces.contains(&one.name));
        gaps.unfiltered.retain(|one| args.interfaces.contains(&one.name));
        let is_known = |name: &String| {
            interfaces.iter().any(|one| one.name == *name) || gaps.unfiltered.iter().any(|one| one.name == *name)
        };
        if let Some(name) = args.interfaces.iter().find(|name| !is_known(name)) {
            interface::named(slice::from_ref(name))?;
            return Err(Error::Kernel(KernelError::NotAttached { name: name.clone() }));
        }
    }
    let bans = store::standing(pins).inspect_err(|error| complain(&format!("note: {error}"))).ok();
    let status = Status {
        shared_memory: pinned::memory(map::SHARED.iter().map(|map| pins.shared_map(map))),
        flow_capacity: shape::capacity(pins),
        bans: bans.as_ref().map(|bans| bans.count),
        are_bans_in_force: bans.is_none_or(|bans| bans.are_in_force),
        gaps,
        interfaces,
    };
    for intruder in pins.intruders()? {
        complain(&format!("note: {intruder}; it is not used, and the next change moves it aside"));
    }
    print(&if args.json { json(&report::StatusJson::new(&status))? } else { report::text(&status) })?;
    let open = status.open();
    if args.check && !open.is_empty() {
        return Err(Error::Host(HostError::NotFiltered { names: open.join(", ") }));
    }
    Ok(())
}

/// The fix for a program that sees packets before the filter.
const FIRST: &str =
    "remove that program with the tool that loaded it; `fw-user run` puts the filter first again at TC ingress";

/// An unreadable interface does not hide the others: its error is part of the answer.
fn examine(pins: &Pins, files: &BootFiles, present: Option<&Interface>, name: String) -> InterfaceStatus {
    let state = state::of(pins, &name, present);
    let mut problems = problems(pins, &name, present.filter(|_| matches!(state, Ok(State::Damaged))))
        .unwrap_or_else(|error| vec![error.to_string()]);
    let details = match state {
        // The record beside another version's pins does not describe the active filter.
        Ok(State::OtherAbi(_)) => None,
        _ => details(pins, &name).ok(),
    };
    let memory = pinned::memory(map::PER_INTERFACE.iter().map(|map| pins.map(&name, map)));
    let ahead = present.map_or(Ok(Vec::new()), |interface| state::ahead(pins, interface)).unwrap_or_default();
    let is_gone = present.is_some()
        && matches!(state, Ok(State::Stale(Stale::Recreated | Stale::TakenOff | Stale::NoLink) | State::Foreign(_)));
    let (state, fix) = match state {
        Ok(State::Ours) if !ahead.is_empty() => (State::Ours.words(), Some(FIRST.to_owned())),
        Ok(state) => (state.words(), state.fix(&name)),
        Err(error) => {
            problems.push(error.to_string());
            ("unknown".to_owned(), None)
        }
    };
    problems.extend(ahead);
    let running = details.as_ref().and_then(|_| running(pins, &name).ok());
    let at_boot = files.at_boot(&name, running.as_ref());
    InterfaceStatus { name, state, is_gone, class: None, problems, fix, details, at_boot, memory }
}

fn details(pins: &Pins, name: &str) -> Result<Details> {
    let map = PolicyMap::open(pins, name)?;
    let in_force = map.in_force()?;
    let record = AttachmentRecord::read(pins, name)?;
    Ok(Details {
        passes_decrypted: record.mode == Mode::Tc && ipsec::ends_here(),
        record,
        policy: map.read()?,
        monitors: in_force.monitors(),
        confirm_within: clock::left(in_force)?,
    })
}

fn problems(pins: &Pins, name: &str, damaged: Option<&Interface>) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    if let Some(interface) = damaged {
        problems.extend(state::damages(pins, interface)?.iter().map(ToString::to_string));
    }
    for of_abi in pins.all()? {
        for path in remove::strangers(&of_abi, name)? {
            problems.push(format!("{}: not created by fw-user", path.display()));
        }
    }
    Ok(problems)
}

/// A filter of fw-user that no pin here holds.
fn without_pins(pins: &Pins, files: &BootFiles, interface: &Interface) -> InterfaceStatus {
    let name = interface.name.clone();
    let holder = foreign::filter(interface).map(|id| foreign::examine(interface, id).to_string());
    InterfaceStatus {
        state: format!("filtered, but no pin below {} holds the filter", pins.bpffs().display()),
        problems: holder.into_iter().collect(),
        fix: Some(format!(
            "`fw-user detach {name}` takes it off; `findmnt {}` shows what is mounted there",
            pins.bpffs().display()
        )),
        is_gone: false,
        class: None,
        details: None,
        at_boot: files.at_boot(&name, None),
        memory: 0,
        name,
    }
}
