//! The ingress program: its mode, and the link that holds it.

use std::fs;

use aya::{
    Ebpf,
    programs::{
        Xdp,
        links::{FdLink, LinkError, PinnedLink},
    },
};

use crate::{
    error::{Error, HostError, KernelError, Result},
    host::interface::Interface,
    kernel::{
        attach::{native::NotNative, remove, tcx, xdp},
        meta::Mode,
        object,
        pins::Pins,
        sys,
    },
};

/// The mode to attach in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum ModeChoice {
    /// Native if the driver supports it, else tc (Linux 6.6), else generic.
    #[default]
    Auto,
    /// In the driver, or not at all.
    Native,
    /// At TC ingress (Linux 6.6), or not at all.
    Tc,
    /// In the network stack, before its first step.
    Generic,
}

/// An XDP program of a loaded object, by its name, loaded into the kernel if necessary.
pub fn load<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut Xdp> {
    xdp::load(ebpf, name)
}

/// Load the program for a mode into the kernel, if necessary.
pub(super) fn load_for(ebpf: &mut Ebpf, interface: &Interface, mode: Mode) -> Result<()> {
    match mode {
        Mode::Native | Mode::Generic => load(ebpf, xdp_program(interface)).map(drop),
        Mode::Tc => object::load_classifier(ebpf, tc_program(interface), "ingress").map(drop),
    }
}

/// The name of the XDP program for an interface.
#[must_use]
pub(crate) fn xdp_program(interface: &Interface) -> &'static str {
    xdp::program(interface)
}

/// The name of the TC program for an interface.
#[must_use]
pub(crate) fn tc_program(interface: &Interface) -> &'static str {
    if interface.is_bare() { object::INGRESS_L3 } else { object::INGRESS_TC }
}

/// Refuse an interface whose packets no program can read, and a mode that does not work there.
pub(super) fn check(interface: &Interface, choice: ModeChoice) -> Result<()> {
    interface.check_can_be_filtered()?;
    let refused = interface.is_bare() && matches!(choice, ModeChoice::Native | ModeChoice::Generic);
    let lacks = (interface.is_bare() || choice == ModeChoice::Tc) && !tcx::is_there()?;
    if refused || lacks {
        return Err(Error::Kernel(KernelError::NeedsTc {
            name: interface.name.clone(),
            is_bare: interface.is_bare(),
            lacks,
        }));
    }
    Ok(())
}

/// The mode of a filter after it is attached again.
pub(super) fn mode_after(interface: &Interface, current: Mode, choice: ModeChoice) -> Result<Mode> {
    let wanted = match choice {
        // The mode that older versions used for lack of a better one.
        ModeChoice::Auto if current == Mode::Generic && tcx::is_there()? => Mode::Tc,
        ModeChoice::Auto => current,
        ModeChoice::Native => Mode::Native,
        ModeChoice::Tc => Mode::Tc,
        ModeChoice::Generic => Mode::Generic,
    };
    // The kernel accepts no programs in both modes (`dev_xdp_attach`, net/core/dev.c), so there would be a gap.
    if wanted != current && wanted != Mode::Tc && current != Mode::Tc {
        return Err(Error::Kernel(KernelError::OtherMode { name: interface.name.clone(), current: current.name() }));
    }
    Ok(wanted)
}

/// Attach the program of a loaded object to an interface without one, and pin the link. The filter is live when this returns. Returns the mode, and
/// why native mode failed if it was tried.
pub(super) fn attach(
    ebpf: &mut Ebpf,
    pins: &Pins,
    interface: &Interface,
    choice: ModeChoice,
) -> Result<(Mode, Option<NotNative>)> {
    let mut not_native = None;
    let native = match choice {
        ModeChoice::Auto if interface.is_bare() => None,
        ModeChoice::Auto if interface.kind.as_deref() == Some("bond") => {
            not_native = Some(NotNative::Bond);
            None
        }
        ModeChoice::Auto => xdp::attach_native(ebpf, interface)?.map_err(|why| not_native = Some(why)).ok(),
        ModeChoice::Native => Some(native(ebpf, interface)?),
        ModeChoice::Tc | ModeChoice::Generic => None,
    };
    let is_tc = choice == ModeChoice::Tc || choice == ModeChoice::Auto && tcx::is_there()?;
    let (link, mode) = match native {
        Some(link) => (link, Mode::Native),
        None if is_tc => (attach_in(ebpf, interface, Mode::Tc)?, Mode::Tc),
        None => (attach_in(ebpf, interface, Mode::Generic)?, Mode::Generic),
    };
    pin(link, pins, interface, Pins::ingress_link)?;
    Ok((mode, not_native))
}

fn native(ebpf: &mut Ebpf, interface: &Interface) -> Result<FdLink> {
    xdp::attach_native(ebpf, interface)?
        .map_err(|why| Error::Kernel(KernelError::NoNativeMode { name: interface.name.clone(), why: why.to_string() }))
}

fn attach_in(ebpf: &mut Ebpf, interface: &Interface, mode: Mode) -> Result<FdLink> {
    match mode {
        Mode::Native => native(ebpf, interface),
        Mode::Generic => xdp::attach_generic(ebpf, interface),
        Mode::Tc => tcx::attach(object::load_classifier(ebpf, tc_program(interface), "ingress")?, interface),
    }
}

fn pin(link: FdLink, pins: &Pins, interface: &Interface, at: fn(&Pins, &str) -> std::path::PathBuf) -> Result<()> {
    let name = &interface.name;
    link.pin(at(pins, name)).map(drop).map_err(|error| Error::refused(format!("pinning the filter of {name}"), error))
}

/// Replace the program of a pinned link, in the same mode, with that of a loaded object, with no packet in between.
pub(super) fn replace(ebpf: &mut Ebpf, pins: &Pins, interface: &Interface, mode: Mode) -> Result<()> {
    let path = pins.ingress_link(&interface.name);
    let link = PinnedLink::from_pin(&path)
        .map_err(|error: LinkError| Error::Kernel(KernelError::BadPin { path, source: error.into() }))?;
    match mode {
        Mode::Native | Mode::Generic => xdp::replace(load(ebpf, xdp_program(interface))?, link, interface),
        Mode::Tc => tcx::replace(object::load_classifier(ebpf, tc_program(interface), "ingress")?, link, interface),
    }
}

/// The first half of a change of mode, or of a move to the first place of TC's list: attach the program of a loaded object beside the active one.
/// Both use the same maps.
pub(super) fn step(ebpf: &mut Ebpf, pins: &Pins, interface: &Interface, mode: Mode) -> Result<()> {
    take_back(pins, interface)?;
    pin(attach_in(ebpf, interface, mode)?, pins, interface, Pins::next_link)
}

/// Undo the first half, even that of a killed command.
pub(super) fn take_back(pins: &Pins, interface: &Interface) -> Result<()> {
    remove::remove_link(&pins.next_link(&interface.name))
}

/// The second half: replace the link in `from` with the new one, and take the old program off. If the command is killed in between, the kernel takes
/// it off, because nothing holds it any more.
pub(super) fn finish_step(from: &Pins, pins: &Pins, interface: &Interface) -> Result<()> {
    let name = &interface.name;
    let (next, place) = (pins.next_link(name), pins.ingress_link(name));
    let old = sys::open_pin(&from.ingress_link(name)).ok();
    fs::rename(&next, &place)
        .map_err(|source| Error::Host(HostError::File { what: "moving the pin", path: next, source }))?;
    if let Some(old) = old {
        sys::detach_link(&old)
            .map_err(|error| Error::refused(format!("taking the former filter off {name}"), error))?;
    }
    if from == pins { Ok(()) } else { remove::remove_file(&from.ingress_link(name)) }
}
