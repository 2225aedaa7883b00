//! The XDP link: inbound packets, before or after Linux has a socket buffer for them.

use aya::{
    Ebpf,
    programs::{
        ProgramError, Xdp, XdpMode,
        links::{FdLink, PinnedLink},
        xdp::{XdpError, XdpLink},
    },
};
use nix::{errno::Errno, net::if_::if_indextoname};

use crate::{
    error::{Error, KernelError, Result},
    host::interface::Interface,
    kernel::{
        attach::{native::NotNative, xdp_netlink},
        object,
    },
};

/// The driver has no native XDP (EOPNOTSUPP), or not with this MTU, these offloads or these queues (any of these errors). A problem that also affects
/// generic mode appears there again.
const DRIVER_REFUSES: [Errno; 5] = [Errno::EOPNOTSUPP, Errno::EINVAL, Errno::ERANGE, Errno::ENOMEM, Errno::ENOSPC];

/// The XDP program of a loaded object, loaded into the kernel if necessary.
pub(super) fn load(ebpf: &mut Ebpf) -> Result<&mut Xdp> {
    load_named(ebpf, object::INGRESS)
}

fn load_named<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut Xdp> {
    let program = ebpf.program_mut(name).map(<&mut Xdp>::try_from);
    let Some(Ok(program)) = program else { unreachable!("the embedded object has the program") };
    object::load_program(|| program.load()).map_err(|error| Error::refused("loading the ingress program", error))?;
    Ok(program)
}

/// Attach in the driver, or return why it refuses. A program that passes everything is tried first: verifying the filter takes most of the time of an
/// attachment, and would be in vain.
pub(super) fn attach_native(ebpf: &mut Ebpf, interface: &Interface) -> Result<Result<FdLink, NotNative>> {
    let probe = load_named(ebpf, object::PROBE)?;
    let link = match try_mode(probe, interface, XdpMode::Driver) {
        Ok(link) => link,
        Err(error) => {
            let refused = errno(&error).filter(|errno| DRIVER_REFUSES.contains(errno));
            let refused = refused.ok_or_else(|| failed(probe, interface, XdpMode::Driver, error))?;
            return Ok(Err(NotNative::new(interface, refused.into(), words(probe, interface, XdpMode::Driver))));
        }
    };
    let what = || format!("attaching to {}", interface.name);
    let link = XdpLink::try_from(link).map_err(|error| Error::refused(what(), error))?;
    let program = load(ebpf)?;
    let link = program
        .attach_to_link(link)
        .and_then(|id| program.take_link(id))
        .map_err(|error| Error::refused(what(), error))?;
    FdLink::try_from(link).map(Ok).map_err(|error| Error::refused(what(), error))
}

/// Attach in the network stack.
pub(super) fn attach_generic(ebpf: &mut Ebpf, interface: &Interface) -> Result<FdLink> {
    let program = load(ebpf)?;
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
            let above = interface.master.and_then(|index| if_indextoname(index).ok()?.into_string().ok());
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
