//! The XDP link: inbound packets, before or after Linux has a socket buffer for them.

use aya::{
    Ebpf,
    programs::{
        ProgramError, Xdp, XdpMode,
        links::{FdLink, PinnedLink},
        xdp::{XdpError, XdpLink},
    },
};
use nix::errno::Errno;

use crate::{
    error::{Error, KernelError, Result},
    host::interface::{self, Interface},
    kernel::{
        attach::{foreign, native::NotNative, xdp_netlink},
        object,
    },
};

/// The driver has no native XDP (EOPNOTSUPP), or not with this MTU, these offloads or these queues (any of these errors). A problem that also affects
/// generic mode appears there again.
const DRIVER_REFUSES: [Errno; 5] = [Errno::EOPNOTSUPP, Errno::EINVAL, Errno::ERANGE, Errno::ENOMEM, Errno::ENOSPC];

/// The programs for a kind of frames.
#[derive(Clone, Copy)]
struct Programs {
    filter: &'static str,
    /// Passes everything.
    probe: &'static str,
}

/// For frames in one piece, which every kernel and driver has.
const WHOLE: Programs = Programs { filter: object::INGRESS, probe: object::PROBE };
/// For frames that may have fragments. Drivers that refuse large MTUs otherwise take these.
const FRAGS: Programs = Programs { filter: object::INGRESS_FRAG, probe: object::PROBE_FRAG };

/// The name of the XDP program for the kind of frames that an interface's active program takes.
pub(super) fn program(interface: &Interface) -> &'static str {
    let active = interface.xdp_program.and_then(foreign::program);
    let takes_frags = active.is_some_and(|program| program.name_as_str() == Some(FRAGS.filter));
    if takes_frags { FRAGS.filter } else { WHOLE.filter }
}

/// The link of a driver that takes programs. So far its program passes everything.
pub(super) struct Probed {
    link: XdpLink,
    programs: Programs,
}

impl Probed {
    /// The name of the filter for the kind of frames that the driver takes.
    pub(super) const fn filter(&self) -> &'static str {
        self.programs.filter
    }

    /// Replace the program by the filter, with no packet in between.
    pub(super) fn attach(self, ebpf: &mut Ebpf, interface: &Interface) -> Result<FdLink> {
        let what = || format!("attaching to {}", interface.name);
        let program = object::load_xdp(ebpf, self.programs.filter)?;
        let link = program
            .attach_to_link(self.link)
            .and_then(|id| program.take_link(id))
            .map_err(|error| Error::refused(what(), error))?;
        FdLink::try_from(link).map_err(|error| Error::refused(what(), error))
    }
}

/// Ask the driver whether it takes programs, or return why it refuses. The filter is not verified for that: it takes most of the time of an
/// attachment, and would be in vain.
pub(super) fn probe(ebpf: &mut Ebpf, interface: &Interface) -> Result<Result<Probed, NotNative>> {
    match probe_with(ebpf, interface, WHOLE)? {
        Err(NotNative::Refused { .. }) if object::has_xdp_frags()? => probe_with(ebpf, interface, FRAGS),
        probed => Ok(probed),
    }
}

fn probe_with(ebpf: &mut Ebpf, interface: &Interface, programs: Programs) -> Result<Result<Probed, NotNative>> {
    let probe = object::load_xdp(ebpf, programs.probe)?;
    let link = match try_mode(probe, interface, XdpMode::Driver) {
        Ok(link) => link,
        Err(error) => {
            let refused = errno(&error).filter(|errno| DRIVER_REFUSES.contains(errno));
            let refused = refused.ok_or_else(|| failed(probe, interface, XdpMode::Driver, error))?;
            return Ok(Err(NotNative::new(interface, refused.into(), words(probe, interface, XdpMode::Driver))));
        }
    };
    match XdpLink::try_from(link) {
        Ok(link) => Ok(Ok(Probed { link, programs })),
        Err(error) => Err(Error::refused(format!("attaching to {}", interface.name), error)),
    }
}

/// Attach in the network stack.
pub(super) fn attach_generic(ebpf: &mut Ebpf, interface: &Interface) -> Result<FdLink> {
    let program = object::load_xdp(ebpf, WHOLE.filter)?;
    try_mode(program, interface, XdpMode::Skb).map_err(|error| failed(program, interface, XdpMode::Skb, error))
}

/// Replace the program of a link with a loaded one, with no packet in between.
pub(super) fn replace(program: &mut Xdp, link: PinnedLink, interface: &Interface) -> Result<()> {
    let what = || format!("replacing the filter of {}", interface.name);
    let link = XdpLink::try_from(FdLink::from(link)).map_err(|error| Error::refused(what(), error))?;
    program.attach_to_link(link).map(drop).map_err(|error| Error::refused(what(), error))
}

fn try_mode(program: &mut Xdp, interface: &Interface, mode: XdpMode) -> Result<FdLink, ProgramError> {
    let id = program.attach_to_if_index(interface.index, mode)?;
    let link = program.take_link(id)?;
    // aya falls back to a netlink attachment, which cannot be pinned: dropping it detaches again.
    FdLink::try_from(link).map_err(|_| {
        ProgramError::SyscallError(aya::sys::SyscallError { call: "bpf_link_create", io_error: Errno::EINVAL.into() })
    })
}

/// The meaning of a refusal that comes from the kernel, not the driver.
fn failed(program: &Xdp, interface: &Interface, mode: XdpMode, error: ProgramError) -> Error {
    /// `dev_xdp_attach`, net/core/dev.c.
    const ABOVE: &str = "upper device already has a program";
    let name = interface.name.clone();
    match errno(&error) {
        Some(Errno::EBUSY | Errno::EEXIST)
            if words(program, interface, mode).is_some_and(|words| words.contains(ABOVE)) =>
        {
            let name_of = |index| Some(interface::all().ok()?.into_iter().find(|one| one.index == index)?.name);
            let above = interface.master.and_then(name_of);
            Error::Kernel(KernelError::TakenAbove { name, above })
        }
        // Somebody attached a program since the check.
        Some(Errno::EBUSY | Errno::EEXIST) => {
            Error::Kernel(KernelError::Taken { name, program: "attached this moment".to_owned() })
        }
        _ => Error::refused(format!("attaching to {name}"), error),
    }
}

fn words(program: &Xdp, interface: &Interface, mode: XdpMode) -> Option<String> {
    xdp_netlink::why_not(program.fd().ok()?, interface, mode)
}

/// The number of the kernel's error. If a link is refused with EINVAL, aya tries netlink, and returns that error.
fn errno(error: &ProgramError) -> Option<Errno> {
    match error {
        ProgramError::SyscallError(error) => error.io_error.raw_os_error().map(Errno::from_raw),
        ProgramError::XdpError(XdpError::NetlinkError(error)) => error.raw_os_error().map(Errno::from_raw),
        _ => None,
    }
}
