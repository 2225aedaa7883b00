//! Changes that wait to be confirmed. The programs check the deadline themselves, so verdicts revert in time whatever happens to our processes. The
//! user side only tidies up: it detaches a filter that was attached on trial.

use crate::{
    error::Result,
    host::interface,
    kernel::{attach::detach, clock::now, maps::policy_map::PolicyMap, pins::Pins},
};

/// The unconfirmed changes to undo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    /// Interfaces whose deadline has passed.
    Due,
    /// Interfaces that could still be confirmed, too.
    All,
}

/// Undo unconfirmed changes. Returns the interfaces that had one.
pub(crate) fn roll_back(pins: &Pins, names: &[String], which: Which) -> Result<Vec<String>> {
    let now = now()?;
    let mut done = Vec::new();
    for name in names {
        // An incomplete attachment has no change that waits.
        let Ok(mut map) = PolicyMap::open(pins, name) else { continue };
        let active = map.active()?;
        if active.deadline() == 0 || (which == Which::Due && !active.has_ended(now)) {
            continue;
        }
        let taken_back = if active.ends_detached() {
            detach::detach(pins, name, interface::present(name)?.as_ref()).and_then(|()| map.end())
        } else {
            map.fall_back()
        };
        match taken_back {
            Ok(()) => done.push(name.clone()),
            Err(error) if done.is_empty() => return Err(error),
            Err(error) => return Err(error.after(format!("reverted the change of {}", done.join(", ")))),
        }
    }
    Ok(done)
}
