//! `fw-user apply`: applies the files to all interfaces or to none, and writes nothing if nothing differs.

pub(crate) mod args;
pub(crate) mod report;
pub(crate) mod wishes;

use std::{fmt::Display, path::Path};

use serde::Serialize;

use crate::{
    cmd::{
        apply::{
            args::ApplyArgs,
            report::{Action, AppliedInterface, text},
            wishes::{Meant, Wish, Wishes},
        },
        args::Safeguards,
        attach,
        guard::Guard,
        locked::{lock, turn},
        running::running,
        trial::{self, Trial},
        unfiltered::{self, Gaps, UnfilteredJson},
    },
    config::{File, Settings, difference::Difference, folder},
    error::{ConfigError, Error, HostError, KernelError, Mistakes, Result},
    host::{
        interface::{self, Interface},
        network::Network,
        privilege,
    },
    kernel::{
        attach::{
            attachment, detach,
            plan::Plan,
            spare::Arrival,
            state::{self, Stale, State},
        },
        maps::{policy_map::on_link, uppers},
        meta::AttachmentRecord,
        object,
        pins::Pins,
        shape,
    },
    lockout::Outlook,
    output::{complain, json, print},
    report::lockout::{self, Fix},
};

#[derive(Serialize)]
struct ApplyJson<'a> {
    dry_run: bool,
    interfaces: &'a [AppliedInterface],
    missing: &'a [String],
    notes: &'a [String],
    unfiltered: Vec<UnfilteredJson<'a>>,
}

pub(crate) async fn run(pins: &Pins, folder: &Path, args: &ApplyArgs) -> Result<()> {
    let mut named = args.interfaces.clone();
    if let Some(index) = args.index {
        match interface::all()?.into_iter().find(|one| one.index == index) {
            Some(one) => named.push(one.name),
            None if args.each => return clean_up(pins, &folder::read(folder)?),
            None => return Err(Error::Host(HostError::UnknownNumber { index })),
        }
    }
    if args.each { each(pins, folder, args, named).await } else { carry_out(pins, folder, args, &named).await }
}

/// Apply to one interface after the other. Fail with the first error, after all of them.
async fn each(pins: &Pins, folder: &Path, args: &ApplyArgs, mut names: Vec<String>) -> Result<()> {
    let files = folder::read(folder)?;
    let mut failure = None;
    if names.is_empty() {
        names.extend(interface::all()?.into_iter().map(|one| one.name).filter(|name| may_be_for(&files, name)));
        let mistakes: Vec<_> = files.into_iter().flat_map(|file| file.mistakes).collect();
        if !mistakes.is_empty() {
            failure = Some(Error::Config(ConfigError::Mistakes(Mistakes(mistakes))));
        }
    }
    let mut done = Vec::new();
    for name in names {
        match carry_out(pins, folder, args, std::slice::from_ref(&name)).await {
            Ok(()) => done.push(name),
            // A caller that does this for every new interface expects such cases.
            Err(error) if error.is_for_nobody() => print(&format!("nothing to do: {error}\n"))?,
            Err(error) => {
                complain(&format!("{name}  {error}"));
                failure = failure.or(Some(error));
            }
        }
    }
    match failure {
        None => Ok(()),
        Some(error) if done.is_empty() => Err(error),
        Some(error) => Err(error.after(format!("applied to {}", done.join(", ")))),
    }
}

/// Whether some file may be for an interface.
fn may_be_for(files: &[File], name: &str) -> bool {
    files.iter().any(|file| file.is_for(name) || file.takes(name))
}

async fn carry_out(pins: &Pins, folder: &Path, args: &ApplyArgs, named: &[String]) -> Result<()> {
    let read = || Wishes::new(folder, folder::read(folder)?, named);
    // Report mistakes before anything else.
    read()?;
    privilege::check()?;
    object::kernel_version()?;
    if !named.is_empty() {
        interface::named(named)?;
    }
    let guard = Guard { force: args.safeguards.force, as_json: args.json, fix: Fix::File };
    let find = || read()?.find(&Network::ask()?);
    let how = How { safeguards: Some(args.safeguards), dry_run: args.dry_run, guard, arrival: None };
    let applied = apply(pins, find, how)?;
    let changing = applied.outcomes.iter().filter(|outcome| outcome.action != Action::None);
    let names: Vec<String> = changing.map(|outcome| outcome.name.clone()).collect();
    let told = tell(pins, folder, args, applied).await;
    if args.dry_run || names.is_empty() {
        return told;
    }
    told.map_err(|error| error.after(format!("changed {}", names.join(", "))))
}

/// Remove the pins of interfaces that are gone, if a file is for them.
fn clean_up(pins: &Pins, files: &[File]) -> Result<()> {
    let _lock = lock(pins)?;
    for name in pins.interfaces()?.iter().filter(|name| may_be_for(files, name)) {
        let interface = interface::present(name)?;
        if state::of(pins, name, interface.as_ref())? == State::Stale(Stale::Gone) {
            detach::clear(pins, name, None)?;
            print(&format!("{name}  is gone; its pins are removed\n"))?;
        }
    }
    Ok(())
}

/// Print the outcomes, and wait until the changes are confirmed if they must be.
async fn tell(pins: &Pins, folder: &Path, args: &ApplyArgs, applied: Applied) -> Result<()> {
    let Applied { outcomes, missing, notes, trial, .. } = applied;
    // Before a change there are no interfaces left open to list.
    let gaps = if args.dry_run { Gaps::default() } else { unfiltered::look(pins, folder).await };
    if args.json {
        let (unfiltered, interfaces) = (gaps.json(), outcomes.as_slice());
        let json = ApplyJson { dry_run: args.dry_run, interfaces, missing: &missing, notes: &notes, unfiltered };
        print(&self::json(&json)?)?;
    } else {
        outcomes.iter().try_for_each(|outcome| print(&text(outcome)))?;
        notes.iter().try_for_each(|note| print(&format!("  note    {note}\n")))?;
        print(&gaps.text())?;
    }
    trial::wait(pins, trial?).await?;
    if args.dry_run && !args.json {
        print("dry run: nothing was changed\n")?;
    }
    if missing.is_empty() {
        Ok(())
    } else {
        Err(Error::Config(ConfigError::InterfacesMissing { names: missing.join(", ") }))
    }
}

/// The outcomes of wishes.
pub(crate) struct Applied {
    /// The plans for the interfaces that are present.
    pub(crate) outcomes: Vec<AppliedInterface>,
    /// Their states before the change.
    pub(crate) interfaces: Vec<Interface>,
    /// The interfaces that are missing.
    pub(crate) missing: Vec<String>,
    /// Notes on patterns that have no effect.
    pub(crate) notes: Vec<String>,
    /// The change that waits to be confirmed, or why it is unknown.
    trial: Result<Option<Trial>>,
}

/// How to carry out wishes.
pub(crate) struct How {
    pub(crate) safeguards: Option<Safeguards>,
    pub(crate) dry_run: bool,
    pub(crate) guard: Guard,
    /// Set for an interface that has just appeared.
    pub(crate) arrival: Option<Arrival>,
}

/// Apply the files to all present interfaces or to none, or only report the changes. `find` reads the files and finds their interfaces.
pub(crate) fn apply(pins: &Pins, find: impl Fn() -> Result<Meant>, how: How) -> Result<Applied> {
    let How { safeguards, dry_run, guard, arrival } = how;
    // It has no connections to cut, so no check is needed.
    let is_fresh = arrival.as_ref().is_some_and(|arrival| arrival.is_fresh);
    // Compare under the lock, so that no other command changes anything in between.
    let turn = if dry_run || find()?.here.is_empty() { None } else { Some(turn(pins)?) };
    let deadline = safeguards.map(trial::deadline).transpose()?.flatten();
    // Another command may have changed them while this one waited.
    let Meant { here, missing, notes } = find()?;
    let mut outcomes = Vec::new();
    let mut interfaces = Vec::new();
    let mut changes = Vec::new();
    for (interface, Wish { interface: name, file, settings }) in here {
        let mut plan = Plan { arrival: arrival.clone(), ..settings.plan(deadline) };
        attachment::check(pins, &interface, &plan)?;
        let (action, difference) = difference(pins, &interface, &settings)?;
        interfaces.push(interface.clone());
        if action == Action::Change {
            plan.policy.keep_timed(&running(pins, &name)?.policy);
        }
        if action != Action::None {
            changes.push((interface, plan));
        }
        outcomes.push(AppliedInterface { name, file, action, difference, cut: Vec::new() });
    }
    let outlook = if changes.is_empty() {
        Outlook::default()
    } else if dry_run {
        let changes = changes.iter().map(|(interface, plan)| attach::change(pins, interface, plan));
        guard.look(&changes.collect::<Result<Vec<_>>>()?)?
    } else {
        attach::attach_all(pins, &changes, Some(guard).filter(|_| !is_fresh))?.1
    };
    if !dry_run {
        for interface in interfaces.iter().filter(|one| changes.iter().all(|(changed, _)| changed.name != one.name)) {
            uppers::note(pins, &interface.name)?;
            on_link::note(pins, &interface.name)?;
        }
    }
    let changed: Vec<String> = changes.into_iter().map(|(interface, _)| interface.name).collect();
    let trial = if dry_run { Ok(None) } else { Trial::begin(pins, &changed, deadline, guard.as_json) };
    if let Some(turn) = turn {
        turn.keep();
    }
    for outcome in &mut outcomes {
        outcome.cut = lockout::json(&outlook, &outcome.name);
    }
    Ok(Applied { outcomes, interfaces, missing, notes, trial })
}

/// The changes that an interface needs to match its file. Refuses changes that need a detach first.
fn difference(pins: &Pins, interface: &Interface, wanted: &Settings) -> Result<(Action, Difference)> {
    let name = &interface.name;
    if let (Some(current), Some(wanted)) = (shape::capacity(pins), wanted.flows)
        && current != wanted
    {
        return Err(not_in_place(name, "the capacity for flows", &current, &wanted, "fw-user detach --all"));
    }
    if state::of(pins, name, Some(interface))? != State::Ours {
        return Ok((Action::Attach, Difference::new(None, wanted, AttachmentRecord::VERSION)));
    }
    let running = running(pins, name)?;
    if running.replies && !wanted.replies {
        return Err(not_in_place(name, "tracking of replies", &"on", &"off", &format!("fw-user detach {name}")));
    }
    let difference = Difference::new(Some(&running), wanted, AttachmentRecord::VERSION);
    Ok((if difference.is_empty() { Action::None } else { Action::Change }, difference))
}

fn not_in_place(name: &str, what: &'static str, current: &dyn Display, wanted: &dyn Display, fix: &str) -> Error {
    let (current, wanted) = (current.to_string(), wanted.to_string());
    Error::Kernel(KernelError::NotInPlace { name: name.to_owned(), what, current, wanted, fix: fix.to_owned() })
}
