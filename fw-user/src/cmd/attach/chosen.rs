//! The interfaces that `attach` filters.

use crate::{
    cmd::{
        attach::args::AttachArgs,
        exposed::exposure::paths::{BARE, can_be_filtered},
    },
    config::pattern,
    error::{Error, HostError, Result, UsageError},
    host::{
        class::Classes,
        interface::{self, Interface},
        network::Network,
    },
};

/// The chosen interfaces, with notes on those that are left out.
pub(crate) struct Chosen {
    pub(crate) interfaces: Vec<Interface>,
    pub(crate) notes: Vec<String>,
}

/// Refuse contradictory arguments before asking the kernel.
pub(crate) fn check(args: &AttachArgs) -> Result<()> {
    if args.all && !args.interfaces.is_empty() {
        return Err(Error::Usage(UsageError::Usage(format!(
            "--all already includes every outside interface; leave out --all, or leave out {}",
            args.interfaces.join(" ")
        ))));
    }
    for except in &args.except {
        pattern::check(except).map_err(|why| Error::Usage(UsageError::Usage(format!("--except {why}"))))?;
    }
    match args.interfaces.iter().find(|name| name.contains(['*', '?', '['])) {
        Some(pattern) => Err(Error::Usage(UsageError::Usage(format!(
            "`{pattern}` is a pattern, not an interface; `fw-user attach --all` filters every outside interface, --except NAME leaves one out"
        )))),
        None => Ok(()),
    }
}

/// The interfaces as they are now: those named, or every outside one that can be filtered.
pub(crate) fn choose(args: &AttachArgs) -> Result<Chosen> {
    if !args.all {
        let interfaces = interface::named(&args.interfaces)?;
        interfaces.iter().try_for_each(Interface::check_can_be_filtered)?;
        return Ok(Chosen { interfaces, notes: Vec::new() });
    }
    let network = Network::ask()?;
    let classes = Classes::of(&network);
    let mut notes: Vec<String> = Vec::new();
    for name in interface::once_each(&args.except) {
        if !classes.outside().any(|one| pattern::matches(name, &one.name)) {
            notes.push(format!("--except {name}: no outside interface matches that"));
        }
    }
    let meant = classes.outside().filter(|one| !args.except.iter().any(|except| pattern::matches(except, &one.name)));
    let (interfaces, others): (Vec<Interface>, Vec<Interface>) = meant.cloned().partition(can_be_filtered);
    for one in others {
        let why = classes.class(&one).why;
        notes.push(format!("{} stays open ({why}): {BARE}", one.name));
    }
    if interfaces.is_empty() {
        return Err(Error::Host(HostError::NothingOutside { notes }));
    }
    Ok(Chosen { interfaces, notes })
}
