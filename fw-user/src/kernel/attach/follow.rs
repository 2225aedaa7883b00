//! Moves the pins of renamed interfaces to their present names, by which every command looks for them.

use crate::{
    error::Result,
    host::interface,
    kernel::{
        attach::{links::ingress_link, state},
        pins::Pins,
    },
    output::complain,
};

/// The pins of an active filter whose interface has another name by now.
#[derive(Debug)]
pub(crate) struct Renamed {
    pins: Pins,
    from: String,
    to: String,
}

/// The pins that are still under the former name of their interface, by the index and the program of their link. Pins that cannot be read are left
/// to the command that uses them.
pub(crate) fn renamed(pins: &Pins) -> Result<Vec<Renamed>> {
    let mut renamed = Vec::new();
    if pins.interfaces_of_all()?.is_empty() {
        return Ok(renamed);
    }
    let here = interface::all()?;
    for of_abi in pins.all()? {
        for from in of_abi.interfaces()? {
            let Ok(Some(link)) = ingress_link(&of_abi, &from) else { continue };
            let Some(interface) = here.iter().find(|interface| interface.index == link.ifindex) else { continue };
            // The index alone may be that of an interface in another network namespace.
            if interface.name != from && state::is_at_work(&link, interface).unwrap_or(false) {
                renamed.push(Renamed { pins: of_abi.clone(), from, to: interface.name.clone() });
            }
        }
    }
    Ok(renamed)
}

/// Move them, also where interfaces have exchanged their names. The caller holds the lock. Leftovers under the new name get the former one. The pins
/// of an active filter in another network namespace keep their name, and so does the filter that needs it here.
pub(crate) fn follow(pins: &Pins) -> Result<()> {
    let mut due = renamed(pins)?;
    while let Some(Renamed { pins, from, to }) = due.pop() {
        let is_taken = ingress_link(&pins, &to)?.is_some_and(|link| link.ifindex != 0);
        let mut moves_on = due.iter_mut().filter(|other| other.pins == pins && other.from == to).peekable();
        if is_taken && moves_on.peek().is_none() {
            continue;
        }
        pins.rename(&from, &to)?;
        complain(&format!("note: {to} was renamed and stays filtered; its pins, named {from}, are now named {to}"));
        moves_on.for_each(|other| other.from.clone_from(&from));
        due.retain(|other| other.from != other.to);
    }
    Ok(())
}
