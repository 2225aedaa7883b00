//! The XDP link: what comes in.

use aya::{
    Ebpf,
    programs::{
        ProgramError, Xdp, XdpMode,
        links::{FdLink, LinkError, PinnedLink},
        xdp::{XdpError, XdpLink},
    },
};
use nix::{errno::Errno, net::if_::if_indextoname};

use crate::{
    error::{Error, KernelError, Result},
    host::interface::Interface,
    kernel::{
        attach::{native::NotNative, xdp_netlink},
        meta::Mode,
        object,
        pins::Pins,
    },
};

/// Which mode to attach in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum ModeChoice {
    /// Native where the driver takes it, else generic.
    #[default]
    Auto,
    /// In the driver, or not at all.
    Native,
    /// In the network stack.
    Generic,
}

/// The XDP program of a loaded object, handed to the kernel unless it has been before.
pub fn load(ebpf: &mut Ebpf) -> Result<&mut Xdp> {
    let program = ebpf.program_mut(object::INGRESS).map(<&mut Xdp>::try_from);
    let Some(Ok(program)) = program else { unreachable!("the embedded object has the program") };
    object::load_program(|| program.load()).map_err(|error| Error::refused("loading the ingress program", error))?;
    Ok(program)
}

/// Attach a loaded program where none is, and pin the link. The filter is live when this returns. Says in which mode, and why not in native
/// mode where that was tried in vain.
pub fn attach(
    program: &mut Xdp,
    pins: &Pins,
    interface: &Interface,
    choice: ModeChoice,
) -> Result<(Mode, Option<NotNative>)> {
    let name = &interface.name;
    let mut not_native = None;
    let native = match choice {
        ModeChoice::Generic => None,
        ModeChoice::Auto | ModeChoice::Native => match try_mode(program, interface, XdpMode::Driver) {
            Ok(link) => Some(link),
            Err(error) => {
                let refused = errno(&error).filter(|errno| DRIVER_REFUSES.contains(errno));
                let refused = refused.ok_or_else(|| failed(program, interface, XdpMode::Driver, error))?;
                let why = NotNative::new(interface, refused.into(), words(program, interface, XdpMode::Driver));
                if choice == ModeChoice::Native {
                    return Err(Error::Kernel(KernelError::NoNativeMode { name: name.clone(), why: why.to_string() }));
                }
                not_native = Some(why);
                None
            }
        },
    };
    let (link, mode) = match native {
        Some(link) => (link, Mode::Native),
        None => match try_mode(program, interface, XdpMode::Skb) {
            Ok(link) => (link, Mode::Generic),
            Err(error) => return Err(failed(program, interface, XdpMode::Skb, error)),
        },
    };
    link.pin(pins.ingress_link(name))
        .map_err(|error| Error::refused(format!("pinning the filter of {name}"), error))?;
    Ok((mode, not_native))
}

/// The driver knows no native XDP (EOPNOTSUPP), or not with this MTU, these offloads or these queues (any of them). Whatever would hinder
/// generic mode as well shows there once more.
const DRIVER_REFUSES: [Errno; 5] = [Errno::EOPNOTSUPP, Errno::EINVAL, Errno::ERANGE, Errno::ENOMEM, Errno::ENOSPC];

fn try_mode(program: &mut Xdp, interface: &Interface, mode: XdpMode) -> Result<FdLink, ProgramError> {
    let id = program.attach_to_if_index(interface.index, mode)?;
    let link = program.take_link(id)?;
    // aya falls back to a netlink attachment on its own, which no file system can hold: dropping it detaches again.
    FdLink::try_from(link).map_err(|_| {
        ProgramError::SyscallError(aya::sys::SyscallError { call: "bpf_link_create", io_error: Errno::EINVAL.into() })
    })
}

/// What the kernel's refusal means where it is not the driver's.
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
        // Attached by somebody since it was looked at.
        Some(Errno::EBUSY | Errno::EEXIST) => {
            Error::Kernel(KernelError::Taken { name, program: "attached this moment".to_owned() })
        }
        _ => Error::refused(format!("attaching to {name}"), error),
    }
}

fn words(program: &Xdp, interface: &Interface, mode: XdpMode) -> Option<String> {
    xdp_netlink::why_not(program.fd().ok()?, interface, mode)
}

/// The number of the kernel's error. Where a link is refused with EINVAL, aya tries netlink, and tells of that.
fn errno(error: &ProgramError) -> Option<Errno> {
    match error {
        ProgramError::SyscallError(error) => error.io_error.raw_os_error().map(Errno::from_raw),
        ProgramError::XdpError(XdpError::NetlinkError(error)) => error.raw_os_error().map(Errno::from_raw),
        _ => None,
    }
}

/// Put a loaded program in the place of the one that a pinned link holds, with no packet between them.
pub fn replace(program: &mut Xdp, pins: &Pins, interface: &str) -> Result<()> {
    let link = XdpLink::try_from(FdLink::from(open(pins, interface)?)).map_err(|error| {
        Error::Kernel(KernelError::BadPin { path: pins.ingress_link(interface), source: error.into() })
    })?;
    program
        .attach_to_link(link)
        .map(|_| ())
        .map_err(|error| Error::refused(format!("replacing the filter of {interface}"), error))
}

fn open(pins: &Pins, interface: &str) -> Result<PinnedLink> {
    let path = pins.ingress_link(interface);
    PinnedLink::from_pin(&path)
        .map_err(|error: LinkError| Error::Kernel(KernelError::BadPin { path, source: error.into() }))
}
