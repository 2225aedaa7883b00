//! `fw-user apply`: interfaces as their files say, all of them or none, and nothing written where nothing differs.

pub(crate) mod args;
pub(crate) mod report;

use std::{
    fmt::Display,
    path::{Path, PathBuf},
};

use serde::Serialize;

use crate::{
    cmd::{
        apply::{
            args::ApplyArgs,
            report::{Action, AppliedInterface, text},
        },
        args::Safeguards,
        attach,
        guard::Guard,
        locked::turn,
        running::running,
        trial::{self, Trial},
        unfiltered::{self, Gaps, UnfilteredJson},
    },
    config::{File, Settings, difference::Difference, folder},
    error::{ConfigError, Error, KernelError, Mistakes, Result},
    host::{
        interface::{self, Interface},
        privilege,
    },
    kernel::{
        attach::{
            attachment,
            state::{self, State},
        },
        maps::uppers,
        meta::AttachmentRecord,
        object,
        pins::Pins,
        shape,
    },
    lockout::Outlook,
    output::{json, print},
    report::lockout::{self, Fix},
};

/// What a file says of an interface.
#[derive(Clone)]
pub(crate) struct Wish {
    /// The interface, by name.
    pub(crate) interface: String,
    /// The file.
    pub(crate) file: PathBuf,
    settings: Settings,
}

#[derive(Serialize)]
struct ApplyJson<'a> {
    dry_run: bool,
    interfaces: &'a [AppliedInterface],
    missing: &'a [String],
    unfiltered: Vec<UnfilteredJson<'a>>,
}

pub(crate) async fn run(pins: &Pins, folder: &Path, args: &ApplyArgs) -> Result<()> {
    let read = || wishes(folder, folder::read(folder)?, &args.interfaces);
    // Mistakes come first, whatever else would be in the way.
    read()?;
    privilege::check()?;
    object::kernel_version()?;
    if !args.interfaces.is_empty() {
        interface::named(&args.interfaces)?;
    }
    let guard = Guard { force: args.safeguards.force, as_json: args.json, fix: Fix::File };
    let Applied { outcomes, missing, trial, .. } = apply(pins, read, Some(args.safeguards), args.dry_run, guard)?;
    let changing = outcomes.iter().filter(|outcome| outcome.action != Action::None);
    let names: Vec<String> = changing.map(|outcome| outcome.name.clone()).collect();
    let told = tell(pins, args, &outcomes, &missing, trial).await;
    if args.dry_run || names.is_empty() {
        return told;
    }
    told.map_err(|error| error.after(format!("changed {}", names.join(", "))))
}

/// Print what became of wishes, and wait until what changed is confirmed, if it has to be.
async fn tell(
    pins: &Pins,
    args: &ApplyArgs,
    outcomes: &[AppliedInterface],
    missing: &[String],
    trial: Result<Option<Trial>>,
) -> Result<()> {
    // Before anything is changed there is nothing to say of what is left open.
    let gaps = if args.dry_run { Gaps::default() } else { unfiltered::look(pins).await };
    if args.json {
        let unfiltered = gaps.json();
        print(&json(&ApplyJson { dry_run: args.dry_run, interfaces: outcomes, missing, unfiltered })?)?;
    } else {
        outcomes.iter().try_for_each(|outcome| print(&text(outcome)))?;
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

/// What became of wishes.
pub(crate) struct Applied {
    /// Of the interfaces that are there.
    pub(crate) outcomes: Vec<AppliedInterface>,
    /// What they were when they were looked at.
    pub(crate) interfaces: Vec<Interface>,
    /// Those that are not there.
    pub(crate) missing: Vec<String>,
    /// What waits to be confirmed, or why that cannot be told.
    trial: Result<Option<Trial>>,
}

/// Make the interfaces that are there as their files say, all of them or none; or say only what that would change. `read` reads the files.
pub(crate) fn apply(
    pins: &Pins,
    read: impl Fn() -> Result<Vec<Wish>>,
    safeguards: Option<Safeguards>,
    dry_run: bool,
    guard: Guard,
) -> Result<Applied> {
    // What is compared is what changes then: nobody comes between.
    let turn = if dry_run || sort(read()?)?.0.is_empty() { None } else { Some(turn(pins)?) };
    let deadline = safeguards.map(trial::deadline).transpose()?.flatten();
    // Another command may have changed them while this one waited.
    let (planned, missing) = sort(read()?)?;
    let mut outcomes = Vec::new();
    let mut interfaces = Vec::new();
    let mut changes = Vec::new();
    for (interface, Wish { interface: name, file, settings }) in planned {
        let plan = settings.plan(deadline);
        attachment::check(pins, &interface, &plan)?;
        let (action, difference) = difference(pins, &interface, &settings)?;
        interfaces.push(interface.clone());
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
        attach::attach_all(pins, &changes, guard)?.1
    };
    if !dry_run {
        for interface in interfaces.iter().filter(|one| changes.iter().all(|(changed, _)| changed.name != one.name)) {
            uppers::note(pins, &interface.name)?;
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
    Ok(Applied { outcomes, interfaces, missing, trial })
}

/// Wishes with their interfaces.
type Planned = Vec<(Interface, Wish)>;

/// Wishes for the interfaces that are there, and the names of those that are not.
fn sort(wishes: Vec<Wish>) -> Result<(Planned, Vec<String>)> {
    let here = interface::all()?;
    let (mut planned, mut missing) = (Vec::new(), Vec::new());
    for wish in wishes {
        match here.iter().find(|interface| interface.name == wish.interface) {
            Some(interface) => planned.push((interface.clone(), wish)),
            None => missing.push(wish.interface),
        }
    }
    Ok((planned, missing))
}

/// What the files say of the interfaces that were named, or of all that they are for. With names, mistakes in other files do not count:
/// an interface that comes up late is not to stay open for them.
pub(crate) fn wishes(folder: &Path, files: Vec<File>, named: &[String]) -> Result<Vec<Wish>> {
    if files.is_empty() {
        return Err(Error::Config(ConfigError::NoFiles { folder: folder.to_owned() }));
    }
    let concerns = |file: &File| named.is_empty() || named.iter().any(|name| file.is_for(name));
    let (files, others): (Vec<File>, Vec<File>) = files.into_iter().partition(concerns);
    if let Some(name) = named.iter().find(|name| !files.iter().any(|file| file.is_for(name))) {
        // One of those that cannot be read may be the one.
        let mistakes: Vec<_> = others.into_iter().flat_map(|file| file.mistakes).collect();
        return Err(if mistakes.is_empty() {
            Error::Config(ConfigError::NoFile { name: name.clone(), folder: folder.to_owned() })
        } else {
            Error::Config(ConfigError::Mistakes(Mistakes(mistakes)))
        });
    }
    let mut wishes = Vec::new();
    let mut mistakes = Vec::new();
    for File { path, interfaces, settings, mistakes: found, .. } in files {
        mistakes.extend(found);
        let Some(settings) = settings else { continue };
        let names = interfaces.into_iter().map(toml::Spanned::into_inner);
        wishes.extend(names.filter(|name| named.is_empty() || named.contains(name)).map(|interface| Wish {
            interface,
            file: path.clone(),
            settings: settings.clone(),
        }));
    }
    if mistakes.is_empty() { Ok(wishes) } else { Err(Error::Config(ConfigError::Mistakes(Mistakes(mistakes)))) }
}

/// What there is to do for an interface to be as its file says. Refuses what only detaching could change.
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
