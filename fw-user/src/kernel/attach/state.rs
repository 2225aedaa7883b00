//! The state of an interface, by its pins and the kernel's data.

use std::{fmt, path::PathBuf};

use fw_common::abi::map;
use rtnetlink::packet_route::link::XdpAttached;

use crate::{
    error::Result,
    host::interface::Interface,
    kernel::{
        attach::{
            egress,
            links::ingress_link,
            remove,
            tcx::{self, Listed},
        },
        meta::{AttachmentRecord, Egress, Mode},
        object,
        pinned::{self, LinkFacts, Pinned},
        pins::Pins,
        shape::Shapes,
    },
};

/// The state of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Neither program nor pins.
    Free,
    /// Our filter, active.
    Ours,
    /// Our filter, active, but with missing or wrong pins beside its link.
    Damaged,
    /// The active filter of another version, whose pins have this ABI.
    OtherAbi(u32),
    /// Pins of ours whose program is not on the interface (any more).
    Stale(Stale),
    /// The ID of an XDP program, or of one of ours at TC, that no pin of ours holds. Pins of ours beside it are stale.
    Foreign(u32),
}

/// Why pins do not belong to an active filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stale {
    /// The interface is gone.
    Gone,
    /// There is another interface of this name.
    Recreated,
    /// The program was detached.
    TakenOff,
    /// There is no link: the attachment was not completed, or its link was removed by hand.
    NoLink,
    /// The link's program is active on an interface with another name here: it was renamed, or is in another network namespace.
    Elsewhere,
}

impl State {
    /// In words.
    #[must_use]
    pub(crate) fn words(self) -> String {
        match self {
            Self::Free => "free".to_owned(),
            Self::Ours => "active".to_owned(),
            Self::Damaged => "active, but damaged".to_owned(),
            Self::OtherAbi(abi) => format!("attached by another version (ABI {abi})"),
            Self::Stale(Stale::Gone) => "interface is gone".to_owned(),
            Self::Stale(Stale::Recreated) => "not attached any more, the interface was recreated".to_owned(),
            Self::Stale(Stale::TakenOff) => "not attached any more".to_owned(),
            Self::Stale(Stale::NoLink) => "not attached, only leftovers are here".to_owned(),
            Self::Stale(Stale::Elsewhere) => {
                "attached to an interface that has another name here, or is in another network namespace".to_owned()
            }
            Self::Foreign(id) => format!("not attached any more, another program is there (id {id})"),
        }
    }

    /// The fix, if one is needed.
    #[must_use]
    pub(crate) fn fix(self, name: &str) -> Option<String> {
        match self {
            Self::Free | Self::Ours => None,
            Self::Damaged => Some(format!(
                "`fw-user attach {name} --allow PORTS` repairs it without a gap; `fw-user detach {name}` removes it"
            )),
            Self::OtherAbi(_) => Some(format!(
                "`fw-user attach {name} --allow PORTS` replaces it without a gap; `fw-user detach {name}` removes it"
            )),
            Self::Stale(Stale::Gone) => Some(format!("`fw-user detach {name}` cleans up")),
            Self::Stale(Stale::Elsewhere) => Some(format!("`fw-user detach {name}` removes it, wherever it is")),
            Self::Stale(Stale::Recreated | Stale::TakenOff | Stale::NoLink) => {
                Some(format!("`fw-user attach {name} --allow PORTS` attaches again; `fw-user detach {name}` cleans up"))
            }
            Self::Foreign(_) => {
                Some(format!("`fw-user detach {name}` removes our pins; `fw-user doctor {name}` names the program"))
            }
        }
    }
}

/// The state of an interface. `None` for an interface that is gone.
pub(crate) fn of(pins: &Pins, name: &str, interface: Option<&Interface>) -> Result<State> {
    if let Some(interface) = interface {
        for of_abi in pins.all()? {
            if let Some(link) = ingress_link(&of_abi, name)?
                && is_at_work(&link, interface)?
            {
                return Ok(if of_abi != *pins {
                    State::OtherAbi(of_abi.abi())
                } else if damages(pins, interface)?.is_empty() {
                    State::Ours
                } else {
                    State::Damaged
                });
            }
        }
        let unpinned = || tcx::ingress(interface).into_iter().find(|listed| is_ours(&listed.name));
        if let Some(id) = interface.xdp_program.or_else(|| unpinned().map(|listed| listed.id)) {
            return Ok(State::Foreign(id));
        }
    }
    if pins.interfaces_of_all()?.iter().any(|with_pins| with_pins == name) {
        return stale(pins, name, interface).map(State::Stale);
    }
    Ok(State::Free)
}

fn stale(pins: &Pins, name: &str, interface: Option<&Interface>) -> Result<Stale> {
    let mut link = None;
    for of_abi in pins.all()? {
        link = link.or(ingress_link(&of_abi, name)?);
    }
    Ok(match (link, interface) {
        (Some(link), _) if link.ifindex != 0 => Stale::Elsewhere,
        (_, None) => Stale::Gone,
        (None, Some(_)) => Stale::NoLink,
        (Some(_), Some(interface)) => match AttachmentRecord::read(pins, name) {
            Ok(record) if record.ifindex != interface.index => Stale::Recreated,
            _ => Stale::TakenOff,
        },
    })
}

/// The other name under which our pins hold the program of an interface that was renamed.
pub(crate) fn former_name(pins: &Pins, interface: &Interface) -> Result<Option<String>> {
    for of_abi in pins.all()? {
        for name in of_abi.interfaces()?.into_iter().filter(|name| *name != interface.name) {
            if let Some(link) = ingress_link(&of_abi, &name)?
                && is_at_work(&link, interface)?
            {
                return Ok(Some(name));
            }
        }
    }
    Ok(None)
}

/// Whether a pinned ingress link holds the active program of an interface.
pub(crate) fn is_at_work(link: &LinkFacts, interface: &Interface) -> Result<bool> {
    match link.kind.as_str() {
        "xdp" => Ok(interface.xdp_program == Some(link.program)),
        _ => tcx::holds(link, interface),
    }
}

/// Whether a program has the name of one of our ingress programs.
pub(crate) fn is_ours(program: &str) -> bool {
    [object::INGRESS, object::INGRESS_FRAG, object::INGRESS_TC, object::INGRESS_L3].contains(&program)
}

/// The mode of the filter on an interface.
#[must_use]
pub(crate) fn mode(pins: &Pins, interface: &Interface) -> Mode {
    let pinned = |of_abi: &Pins| {
        ingress_link(of_abi, &interface.name).ok()?.filter(|link| is_at_work(link, interface).unwrap_or(false))
    };
    let is_tc = match pins.all().unwrap_or_default().iter().find_map(pinned) {
        Some(link) => link.kind == "tcx",
        None => interface.xdp_program.is_none(),
    };
    match interface.xdp_attached {
        _ if is_tc => Mode::Tc,
        XdpAttached::SocketBuffer => Mode::Generic,
        _ => Mode::Native,
    }
}

/// The programs that see packets before our pinned filter in TC mode, in words: packets that they accept or redirect are not filtered.
pub(crate) fn ahead(pins: &Pins, interface: &Interface) -> Result<Vec<String>> {
    let mut words = listed_ahead(pins, interface)?
        .iter()
        .map(|listed| {
            format!("the program {listed} sees packets first at TC ingress: packets that it accepts are not filtered")
        })
        .collect::<Vec<_>>();
    if let (Mode::Tc, Some(id)) = (mode(pins, interface), interface.xdp_program) {
        words.push(format!("an XDP program (id {id}) sees packets first: packets that it redirects are not filtered"));
    }
    Ok(words)
}

/// The programs before the filter in the list of TC ingress.
pub(crate) fn listed_ahead(pins: &Pins, interface: &Interface) -> Result<Vec<Listed>> {
    let Some(link) = ingress_link(pins, &interface.name)? else { return Ok(Vec::new()) };
    if !tcx::holds(&link, interface)? {
        return Ok(Vec::new());
    }
    Ok(tcx::ingress(interface).into_iter().take_while(|listed| listed.id != link.program).collect())
}

/// A problem with something beside the ingress link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Damage {
    /// The pin, or the object without a pin.
    pub place: String,
    /// The problem.
    pub what: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// The problems of an interface's pins of this ABI and of its egress program, without the ingress link.
pub(crate) fn damages(pins: &Pins, interface: &Interface) -> Result<Vec<Damage>> {
    let name = &interface.name;
    let damage = |path: PathBuf, what| Damage { place: path.display().to_string(), what };
    let shapes = Shapes::here(pins)?;
    let maps = map::PER_INTERFACE
        .into_iter()
        .map(|map| (map, pins.map(name, map)))
        .chain(map::SHARED.into_iter().map(|map| (map, pins.shared_map(map))));
    let mut damages = Vec::new();
    for (map, path) in maps {
        let what = match pinned::look(&path)? {
            Pinned::Map(facts) => match shapes.difference(map, facts) {
                Some(difference) => difference,
                None => continue,
            },
            Pinned::Nothing => "it is missing".to_owned(),
            other => format!("it is {}, not a map", other.words()),
        };
        damages.push(damage(path, what));
    }
    let egress = AttachmentRecord::read(pins, name).map_or(Egress::None, |record| record.egress);
    if matches!(egress, Egress::Clsact { .. }) && !egress::has_clsact_filter(interface)? {
        damages.push(Damage { place: format!("the clsact filter of {name}"), what: "it is missing".to_owned() });
    }
    if egress == Egress::Tcx {
        let what = match pinned::look(&pins.egress_link(name))? {
            Pinned::Link(link) if link.kind == "tcx" && link.ifindex != 0 => None,
            Pinned::Link(link) if link.kind == "tcx" => Some("its program was taken off".to_owned()),
            Pinned::Nothing => Some("it is missing".to_owned()),
            other => Some(format!("it is {}, not a TCX link", other.words())),
        };
        damages.extend(what.map(|what| damage(pins.egress_link(name), what)));
    }
    Ok(damages)
}

/// The paths among these where a foreign file is in the place of a pin.
pub(crate) fn in_our_way(pins: &Pins, name: &str) -> Result<Vec<PathBuf>> {
    let is_ours = |path: &PathBuf| {
        remove::links(pins, name).contains(path) || map::PER_INTERFACE.iter().any(|map| *path == pins.map(name, map))
    };
    let mut paths: Vec<PathBuf> = remove::strangers(pins, name)?.into_iter().filter(is_ours).collect();
    for map in map::SHARED {
        let path = pins.shared_map(map);
        if matches!(pinned::look(&path)?, Pinned::Stranger(_)) {
            paths.push(path);
        }
    }
    Ok(paths)
}
