//! The ingress program: its mode, and the link that holds it.

use std::fs;

use aya::{
    Ebpf,
    programs::links::{FdLink, LinkError, PinnedLink},
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

/// The program for a mode on an interface, by its name.
pub(super) fn program(interface: &Interface, mode: Mode) -> &'static str {
    match mode {
        Mode::Native | Mode::Generic => xdp_program(interface),
        Mode::Tc => tc_program(interface),
    }
}

/// Where the program of an interface without one will be attached.
pub(super) enum Place {
    /// In the driver, which has the link already.
    Native(xdp::Probed),
    /// At TC ingress.
    Tc,
    /// In the network stack.
    Generic,
}

impl Place {
    /// Choose it. This asks the driver, if native mode is wanted. Returns why native mode failed, if it was tried.
    pub(super) fn choose(
        ebpf: &mut Ebpf,
        interface: &Interface,
        choice: ModeChoice,
    ) -> Result<(Self, Option<NotNative>)> {
        let is_bond = interface.kind.as_deref() == Some("bond");
        let not_native = match choice {
            ModeChoice::Native => return Ok((Self::native(ebpf, interface)?, None)),
            ModeChoice::Tc => return Ok((Self::Tc, None)),
            ModeChoice::Generic => return Ok((Self::Generic, None)),
            ModeChoice::Auto if interface.is_bare() => None,
            ModeChoice::Auto if is_bond => Some(NotNative::Bond),
            ModeChoice::Auto => match xdp::probe(ebpf, interface)? {
                Ok(probed) => return Ok((Self::Native(probed), None)),
                Err(why) => Some(why),
            },
        };
        Ok((if tcx::is_there()? { Self::Tc } else { Self::Generic }, not_native))
    }

    fn native(ebpf: &mut Ebpf, interface: &Interface) -> Result<Self> {
        xdp::probe(ebpf, interface)?.map(Self::Native).map_err(|why| {
            Error::Kernel(KernelError::NoNativeMode { name: interface.name.clone(), why: why.to_string() })
        })
    }

    fn of(mode: Mode, ebpf: &mut Ebpf, interface: &Interface) -> Result<Self> {
        match mode {
            Mode::Native => Self::native(ebpf, interface),
            Mode::Tc => Ok(Self::Tc),
            Mode::Generic => Ok(Self::Generic),
        }
    }

    /// The program for it, by its name.
    pub(super) fn program(&self, interface: &Interface) -> &'static str {
        match self {
            Self::Native(probed) => probed.filter(),
            Self::Tc => program(interface, Mode::Tc),
            Self::Generic => program(interface, Mode::Generic),
        }
    }

    const fn mode(&self) -> Mode {
        match self {
            Self::Native(_) => Mode::Native,
            Self::Tc => Mode::Tc,
            Self::Generic => Mode::Generic,
        }
    }

    fn attach(self, ebpf: &mut Ebpf, interface: &Interface) -> Result<FdLink> {
        match self {
            Self::Native(probed) => probed.attach(ebpf, interface),
            Self::Tc => tcx::attach(object::load_classifier(ebpf, tc_program(interface))?, interface),
            Self::Generic => xdp::attach_generic(ebpf, interface),
        }
    }
}

/// Attach the program of a loaded object, and pin the link. The filter is live when this returns. Returns the mode.
pub(super) fn attach(ebpf: &mut Ebpf, pins: &Pins, interface: &Interface, place: Place) -> Result<Mode> {
    let mode = place.mode();
    pin(place.attach(ebpf, interface)?, pins, interface, Pins::ingress_link)?;
    Ok(mode)
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
        Mode::Native | Mode::Generic => xdp::replace(object::load_xdp(ebpf, xdp_program(interface))?, link, interface),
        Mode::Tc => tcx::replace(object::load_classifier(ebpf, tc_program(interface))?, link, interface),
    }
}

/// The first half of a change of mode, or of a move to the first place of TC's list: attach the program of a loaded object beside the active one.
/// Both use the same maps.
pub(super) fn step(ebpf: &mut Ebpf, pins: &Pins, interface: &Interface, mode: Mode) -> Result<()> {
    take_back(pins, interface)?;
    pin(Place::of(mode, ebpf, interface)?.attach(ebpf, interface)?, pins, interface, Pins::next_link)
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
