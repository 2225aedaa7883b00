//! The list of programs at TC ingress (TCX, Linux 6.6). Each program sees the packets that the ones before it pass on. A program that accepts a
//! packet hides it from those after it.

use std::fmt;

use aya::{
    programs::{
        LinkOrder, SchedClassifier, TcAttachType,
        links::{FdLink, PinnedLink},
        loaded_programs,
        tc::{SchedClassifierLink, TcAttachOptions},
    },
    util::KernelVersion,
};

use crate::{
    error::{Error, Result},
    host::interface::Interface,
    kernel::{object, pinned::LinkFacts, sys},
};

/// Whether the kernel has such lists. A clsact qdisc is no place for a filter, because the filter ends with the qdisc.
pub(crate) fn is_there() -> Result<bool> {
    Ok(object::kernel_version()? >= KernelVersion::new(6, 6, 0))
}

/// A program of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    /// Its ID.
    pub(crate) id: u32,
    /// Its name.
    pub(crate) name: String,
}

impl fmt::Display for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name.as_str() {
            "" => write!(f, "id {}", self.id),
            name => write!(f, "`{name}` (id {})", self.id),
        }
    }
}

/// The programs at an interface's ingress, the first one first. None if the kernel has no list, or does not tell.
pub(crate) fn ingress(interface: &Interface) -> Vec<Listed> {
    let ids =
        if is_there().unwrap_or(false) { sys::tcx_ingress(interface.index).unwrap_or_default() } else { Vec::new() };
    // Names need CAP_SYS_ADMIN.
    let name = |id| {
        let found = loaded_programs().filter_map(Result::ok).find(|program| program.id() == id);
        found.and_then(|program| program.name_as_str().map(ToOwned::to_owned)).unwrap_or_default()
    };
    ids.into_iter().map(|id| Listed { id, name: name(id) }).collect()
}

/// Whether a link holds a program in the list of this interface. The link's index alone is not enough: it may belong to another network namespace.
pub(crate) fn holds(link: &LinkFacts, interface: &Interface) -> Result<bool> {
    if link.kind != "tcx" || link.ifindex != interface.index {
        return Ok(false);
    }
    match sys::tcx_ingress(interface.index) {
        Ok(ids) => Ok(ids.contains(&link.program)),
        // It has gone meanwhile.
        Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(false),
        // If the list cannot be read, fail: otherwise the program of our own link would count as foreign.
        Err(error) => Err(failed("asking for the programs of", interface, error)),
    }
}

/// Insert a loaded program at the start of the list.
pub(super) fn attach(program: &mut SchedClassifier, interface: &Interface) -> Result<FdLink> {
    let order = TcAttachOptions::TcxOrder(LinkOrder::first());
    let link = program
        .attach_with_options(&interface.name, TcAttachType::Ingress, order)
        .and_then(|id| program.take_link(id))
        .map_err(|error| failed("attaching to", interface, error))?;
    FdLink::try_from(link).map_err(|error| failed("attaching to", interface, error))
}

/// Replace the program of a link with a loaded one, with no packet in between.
pub(super) fn replace(program: &mut SchedClassifier, link: PinnedLink, interface: &Interface) -> Result<()> {
    const WHAT: &str = "replacing the filter of";
    let link = SchedClassifierLink::try_from(FdLink::from(link)).map_err(|error| failed(WHAT, interface, error))?;
    program.attach_to_link(link).map(drop).map_err(|error| failed(WHAT, interface, error))
}

fn failed(what: &str, interface: &Interface, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::refused(format!("{what} {}", interface.name), error)
}
