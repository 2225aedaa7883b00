//! The egress program: a TCX link if the kernel has it (6.6), otherwise a filter of the clsact qdisc.

use aya::{
    Ebpf,
    programs::{
        LinkOrder, ProgramError, SchedClassifier, TcAttachType,
        links::{FdLink, PinnedLink},
        tc::{self, NlOptions, SchedClassifierLink, TcAttachOptions, TcHandle},
    },
    util::KernelVersion,
};

use crate::{
    error::{Error, KernelError, Result},
    host::interface::Interface,
    kernel::{
        attach::{clsact, links},
        meta::Egress,
        object,
        pins::Pins,
    },
};

/// Our priority among the clsact filters, the same in every ABI. It is fixed, so that our filter is found again, and the first: a filter that accepts
/// a packet ends the list, and replies to untracked packets would be dropped. Ours passes every packet on.
const PRIORITY: u16 = 1;
/// The handle that identifies our filter among BPF filters of that priority.
const HANDLE: TcHandle = TcHandle::new(0, 0xf1e0);

/// Which hook to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hook {
    /// TCX from kernel 6.6 on, clsact before.
    #[default]
    Auto,
    /// clsact on any kernel.
    Clsact,
}

/// The name of the program for an interface, with Ethernet headers or without.
pub(super) fn program(interface: &Interface) -> &'static str {
    if interface.is_bare() { object::EGRESS_L3 } else { object::EGRESS }
}

/// The program itself, loaded into the kernel if necessary.
pub(super) fn load_for<'a>(ebpf: &'a mut Ebpf, interface: &Interface) -> Result<&'a mut SchedClassifier> {
    object::load_classifier(ebpf, program(interface))
}

/// The hook that a program would be attached to. For clsact this checks whether the qdisc exists already.
pub fn choose(interface: &Interface, hook: Hook) -> Result<Egress> {
    if hook == Hook::Auto && object::kernel_version()? >= KernelVersion::new(6, 6, 0) {
        return Ok(Egress::Tcx);
    }
    Ok(Egress::Clsact { own_qdisc: !clsact::is_there(interface)? })
}

/// Attach a loaded program if none of ours is attached.
pub fn attach(program: &mut SchedClassifier, pins: &Pins, interface: &Interface, egress: Egress) -> Result<()> {
    let name = &interface.name;
    let failed = |error: Box<dyn std::error::Error + Send + Sync>| {
        Error::Kernel(KernelError::NoEgress { name: name.clone(), source: error })
    };
    let own_qdisc = match egress {
        Egress::None => return Ok(()),
        Egress::Clsact { own_qdisc } => own_qdisc,
        Egress::Tcx => {
            // First for the same reason as with clsact.
            let order = TcAttachOptions::TcxOrder(LinkOrder::first());
            let link = program
                .attach_with_options(name, TcAttachType::Egress, order)
                .and_then(|id| program.take_link(id))
                .map_err(|error| failed(error.into()))?;
            let link = FdLink::try_from(link).map_err(|error| failed(error.into()))?;
            return link.pin(pins.egress_link(name)).map(drop).map_err(|error| failed(error.into()));
        }
    };
    if let Some(kind) = clsact::in_the_way(interface, PRIORITY)? {
        return Err(Error::Kernel(KernelError::EgressTaken { name: name.clone(), kind }));
    }
    if own_qdisc {
        tc::qdisc_add_clsact(name).map_err(|error| failed(error.into()))?;
    }
    let options = NlOptions { priority: PRIORITY, handle: HANDLE, ..NlOptions::default() };
    let link = program
        .attach_with_options(name, TcAttachType::Egress, TcAttachOptions::Netlink(options))
        .and_then(|id| program.take_link(id));
    match link {
        Ok(link) => keep(link),
        Err(error) => {
            if own_qdisc {
                // Report the first failure.
                let _unused = clsact::remove_empty(interface);
            }
            return Err(failed(error.into()));
        }
    }
    Ok(())
}

/// A netlink attachment lives in the kernel, but dropping aya's handle would end it.
fn keep(link: SchedClassifierLink) {
    std::mem::forget(link);
}

/// Replace the attached program with a loaded one, with no packet in between. A removed clsact filter is attached again. Returns what a detach must
/// take off.
pub fn replace(program: &mut SchedClassifier, pins: &Pins, interface: &Interface, egress: Egress) -> Result<Egress> {
    let name = &interface.name;
    let failed = |error: ProgramError| Error::refused(format!("replacing the egress program of {name}"), error);
    match egress {
        Egress::None => {}
        Egress::Tcx => {
            let path = pins.egress_link(name);
            let bad = |error: aya::programs::links::LinkError| {
                Error::Kernel(KernelError::BadPin { path: path.clone(), source: error.into() })
            };
            let pinned = PinnedLink::from_pin(&path).map_err(bad)?;
            let link = SchedClassifierLink::try_from(FdLink::from(pinned)).map_err(bad)?;
            program.attach_to_link(link).map_err(failed)?;
        }
        Egress::Clsact { .. } if has_clsact_filter(interface)? => {
            let id = program.attach_to_link(clsact_link(name)?).map_err(failed)?;
            keep(program.take_link(id).map_err(failed)?);
        }
        Egress::Clsact { own_qdisc: before } => {
            let own_qdisc = !clsact::is_there(interface)?;
            attach(program, pins, interface, Egress::Clsact { own_qdisc })?;
            return Ok(Egress::Clsact { own_qdisc: before || own_qdisc });
        }
    }
    Ok(egress)
}

/// Whether our clsact filter is on the interface.
pub(crate) fn has_clsact_filter(interface: &Interface) -> Result<bool> {
    clsact::has_egress_filter(interface, PRIORITY, HANDLE)
}

fn clsact_link(interface: &str) -> Result<SchedClassifierLink> {
    SchedClassifierLink::attached(interface, TcAttachType::Egress, PRIORITY, HANDLE, None)
        .map_err(|error| Error::refused(format!("finding the egress filter of {interface}"), error))
}

/// Which of our egress programs is attached to an interface, whichever version attached it.
pub(crate) fn found(pins: &Pins, interface: &Interface) -> Result<Egress> {
    if links::egress_link(pins, &interface.name)?.is_some_and(|link| link.ifindex != 0) {
        Ok(Egress::Tcx)
    } else if has_clsact_filter(interface)? {
        // It is unknown who created the qdisc. An empty one that is left over does nothing.
        Ok(Egress::Clsact { own_qdisc: true })
    } else {
        Ok(Egress::None)
    }
}

/// Take off a clsact filter. It is gone with its interface or its qdisc. If it is unknown what was attached (`None`), look for it.
pub fn detach_clsact(interface: &Interface, egress: Option<Egress>) -> Result<()> {
    let own_qdisc = match egress {
        Some(Egress::Clsact { own_qdisc }) => own_qdisc,
        None => has_clsact_filter(interface)?,
        Some(Egress::None | Egress::Tcx) => return Ok(()),
    };
    let name = &interface.name;
    if has_clsact_filter(interface)? {
        let failed = |error: ProgramError| Error::refused(format!("removing the egress filter of {name}"), error);
        aya::programs::Link::detach(clsact_link(name)?).map_err(failed)?;
    }
    if own_qdisc {
        clsact::remove_empty(interface)?;
    }
    Ok(())
}
