//! XDP programs, and filters of ours in any mode, that no pin of ours holds: finds their owners, and takes them off.

use std::{
    collections::BTreeSet,
    fmt, fs,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use aya::{
    maps::MapInfo,
    programs::{ProgramInfo, links::LinkType, loaded_links, loaded_programs},
};
use fw_common::abi::map;

use crate::{
    error::{Error, Result},
    host::interface::Interface,
    kernel::{
        attach::{
            egress,
            state::{self, State},
            tcx, xdp_netlink,
        },
        object,
        pinned::{self, LinkFacts, Pinned},
        pins::Pins,
        sys,
    },
    printable::printable,
};

/// How a program is attached.
#[derive(Debug)]
enum Attachment {
    /// By a link: it stays as long as somebody holds the link.
    Link(OwnedFd),
    /// By netlink: it stays without a holder.
    Netlink,
    /// The kernel does not say.
    Unknown(std::io::Error),
}

/// An XDP program on an interface, and its owner.
#[derive(Debug)]
pub(crate) struct Holder {
    id: u32,
    name: Option<String>,
    attachment: Attachment,
    processes: Vec<String>,
    pins: Vec<PathBuf>,
}

/// Examine the XDP program of an interface.
#[must_use]
pub(crate) fn examine(interface: &Interface, id: u32) -> Holder {
    Holder {
        id,
        name: program(id).and_then(|program| program.name_as_str().map(ToOwned::to_owned)),
        attachment: attachment(interface, id),
        processes: processes(id),
        pins: pins(id),
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "`{name}` (id {})", self.id)?,
            None => write!(f, "id {}", self.id)?,
        }
        match &self.attachment {
            Attachment::Link(_) => write!(f, ", attached by a link")?,
            Attachment::Netlink => write!(f, ", attached by netlink")?,
            Attachment::Unknown(_) => {}
        }
        if !self.pins.is_empty() {
            let paths: Vec<String> = self.pins.iter().map(|path| path.display().to_string()).collect();
            write!(f, ", pinned at {}", paths.join(" and "))?;
        }
        if !self.processes.is_empty() {
            write!(f, ", held by {}", self.processes.join(" and "))?;
        }
        if self.name.as_deref().is_some_and(state::is_ours) && matches!(self.attachment, Attachment::Link(_)) {
            write!(f, ": a filter of fw-user whose pins are not here (another --bpffs, or one mounted over it)")?;
        }
        Ok(())
    }
}

impl Holder {
    /// Take the program off the interface.
    pub(crate) fn take_off(self, interface: &Interface) -> Result<()> {
        let what = format!("taking {self} off {}", interface.name);
        match self.attachment {
            Attachment::Link(link) => sys::detach_link(link).map_err(|error| Error::refused(what, error)),
            Attachment::Netlink => xdp_netlink::clear(interface).map_err(|error| Error::refused(what, error)),
            Attachment::Unknown(error) => Err(Error::refused(what, error)),
        }
    }
}

/// Whether the interface has a filter of ours that no pin below our folder holds, under any name. Ours are always attached by a link.
#[must_use]
pub(crate) fn is_unpinned_filter(pins: &Pins, interface: &Interface) -> bool {
    let is_foreign = matches!(state::of(pins, &interface.name, Some(interface)), Ok(State::Foreign(_)));
    is_foreign
        && filter(interface).is_some_and(|id| matches!(attachment(interface, id), Attachment::Link(_)))
        && matches!(state::former_name(pins, interface), Ok(None))
}

/// The ID of our ingress program, pinned or not.
pub(crate) fn filter(interface: &Interface) -> Option<u32> {
    let at_tc = tcx::ingress(interface).into_iter().map(|listed| listed.id);
    let is_ours =
        |program: &ProgramInfo| program.name_as_str().is_some_and(state::is_ours) && !own_maps(program).is_empty();
    interface.xdp_program.into_iter().chain(at_tc).find(|&id| program(id).is_some_and(|program| is_ours(&program)))
}

/// Pin the links of a filter of ours that no pin here holds. Other missing pins can be created again.
pub(super) fn adopt(pins: &Pins, interface: &Interface) -> Result<()> {
    let name = &interface.name;
    let failed = |error| Error::refused(format!("pinning the filter of {name}"), error);
    let Some(id) = filter(interface) else { return Ok(()) };
    pins.prepare(name)?;
    for link in egress_links(interface, id).map_err(failed)? {
        sys::pin(link, &pins.egress_link(name)).map_err(failed)?;
    }
    for link in links(id, interface).map_err(failed)? {
        sys::pin(link, &pins.ingress_link(name)).map_err(failed)?;
    }
    Ok(())
}

/// Take off a filter of ours that no pin here holds, including the egress program.
pub(crate) fn take_off_filter(interface: &Interface) -> Result<()> {
    let failed = |error| Error::refused(format!("taking the egress program off {}", interface.name), error);
    let Some(id) = filter(interface) else { return Ok(()) };
    for link in egress_links(interface, id).map_err(failed)? {
        sys::detach_link(link).map_err(failed)?;
    }
    examine(interface, id).take_off(interface)?;
    egress::detach_clsact(interface, None)
}

/// The TCX links of the egress program that belongs to an ingress program of ours: the policy's maps are the interface's own.
fn egress_links(interface: &Interface, ingress: u32) -> std::io::Result<Vec<OwnedFd>> {
    let maps = program(ingress).map(|program| own_maps(&program)).unwrap_or_default();
    let mut found = Vec::new();
    for leaving in loaded_programs().filter_map(Result::ok) {
        let is_egress = [object::EGRESS, object::EGRESS_L3].map(Some).contains(&leaving.name_as_str());
        if is_egress && !own_maps(&leaving).is_disjoint(&maps) {
            found.extend(links(leaving.id(), interface)?);
        }
    }
    Ok(found)
}

/// The IDs of the maps of a program that hold an interface's policy.
fn own_maps(program: &ProgramInfo) -> BTreeSet<u32> {
    let ids = program.map_ids().ok().flatten().unwrap_or_default();
    ids.into_iter()
        .filter(|&id| MapInfo::from_id(id).is_ok_and(|info| info.name_as_str() == Some(map::ACTIVE)))
        .collect()
}

/// A program in the kernel.
pub(super) fn program(id: u32) -> Option<ProgramInfo> {
    loaded_programs().filter_map(Result::ok).find(|program| program.id() == id)
}

fn attachment(interface: &Interface, id: u32) -> Attachment {
    match links(id, interface) {
        Ok(mut links) => links.pop().map_or(Attachment::Netlink, Attachment::Link),
        Err(error) => Attachment::Unknown(error),
    }
}

/// The links that hold a program on an interface.
fn links(program: u32, interface: &Interface) -> std::io::Result<Vec<OwnedFd>> {
    let is_ours = |kind| matches!(kind, LinkType::Xdp | LinkType::Tcx);
    let mut found = Vec::new();
    for link in loaded_links() {
        let link = match link {
            // The list is of the whole machine: others come and go while it is read.
            Err(error) if is_gone(&error) => continue,
            other => other.map_err(std::io::Error::other)?,
        };
        if link.program_id() == program && link.link_type().is_ok_and(is_ours) {
            let link_fd = match sys::open_link(link.id()) {
                Err(error) if is_gone(&error) => continue,
                other => other?,
            };
            if let Pinned::Link(LinkFacts { ifindex, .. }) = pinned::facts(&link_fd)?
                && ifindex == interface.index
            {
                found.push(link_fd);
            }
        }
    }
    Ok(found)
}

/// Whether the kernel knows no object of this number any more.
fn is_gone(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source()).any(|error| {
        error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::NotFound)
    })
}

/// Other processes that hold a program, or a link of it, by name and number.
fn processes(id: u32) -> Vec<String> {
    let wanted = format!("prog_id:\t{id}");
    let holds = |folder: &Path| {
        fs::read_dir(folder.join("fdinfo")).is_ok_and(|descriptors| {
            descriptors.filter_map(Result::ok).any(|descriptor| {
                fs::read_to_string(descriptor.path()).is_ok_and(|facts| facts.lines().any(|line| line == wanted))
            })
        })
    };
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let mut found = Vec::new();
    for process in processes.filter_map(Result::ok) {
        let number = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok());
        if let Some(number) = number.filter(|&number| number != std::process::id())
            && holds(&process.path())
        {
            let name = fs::read(process.path().join("comm")).unwrap_or_default();
            found.push(format!("{} (process {number})", printable(String::from_utf8_lossy(&name).trim())));
        }
    }
    found.sort_unstable();
    found
}

/// Where a program, or a link of it, is pinned on the visible BPF file systems.
fn pins(id: u32) -> Vec<PathBuf> {
    fn walk(folder: &Path, id: u32, found: &mut BTreeSet<PathBuf>) {
        let Ok(entries) = fs::read_dir(folder) else { return };
        for entry in entries.filter_map(Result::ok) {
            let path = entry.path();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                walk(&path, id, found);
            } else {
                match pinned::look_at_any(&path) {
                    Ok(Pinned::Program(program) | Pinned::Link(LinkFacts { program, .. })) if program == id => {
                        found.insert(path);
                    }
                    _ => {}
                }
            }
        }
    }
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mut found = BTreeSet::new();
    for mount in mounts.lines() {
        let mut fields = mount.split(' ').skip(1);
        if let (Some(folder), Some("bpf")) = (fields.next(), fields.next()) {
            walk(Path::new(folder), id, &mut found);
        }
    }
    found.into_iter().collect()
}
