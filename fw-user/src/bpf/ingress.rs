//! The XDP link: what comes in.

use aya::{
    Ebpf,
    programs::{
        ProgramError, Xdp, XdpMode,
        links::{FdLink, LinkError, PinnedLink},
        xdp::XdpLink,
    },
};
use nix::errno::Errno;

use super::{meta::Mode, object, pins::Pins};
use crate::{Error, Result, interface::Interface};

/// Which mode to attach in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum ModeChoice {
    /// Native where the driver has it, else generic.
    #[default]
    Auto,
    /// In the driver, or not at all.
    Native,
    /// In the network stack.
    Generic,
}

/// The XDP program of a loaded object, handed to the kernel unless it has been before.
///
/// # Errors
/// [`Error::Kernel`] with the verifier's words.
pub fn load(ebpf: &mut Ebpf) -> Result<&mut Xdp> {
    let program = ebpf.program_mut(object::INGRESS).map(<&mut Xdp>::try_from);
    let Some(Ok(program)) = program else { unreachable!("the embedded object has the program") };
    object::load_program(|| program.load()).map_err(|error| Error::kernel("loading the ingress program", error))?;
    Ok(program)
}

/// Attach a loaded program where none is, and pin the link. The filter is live when this returns.
///
/// # Errors
/// [`Error::NoNativeMode`], [`Error::Taken`], [`Error::Kernel`].
pub fn attach(program: &mut Xdp, pins: &Pins, interface: &Interface, choice: ModeChoice) -> Result<Mode> {
    let failed = |error: ProgramError| match errno(&error) {
        // Attached by somebody since it was looked at.
        Some(Errno::EBUSY | Errno::EEXIST) => {
            Error::Taken { name: interface.name.clone(), program: "attached this moment".to_owned() }
        }
        _ => Error::kernel(format!("attaching to {}", interface.name), error),
    };
    let (link, mode) = match choice {
        ModeChoice::Generic => (try_mode(program, interface, XdpMode::Skb), Mode::Generic),
        ModeChoice::Native => match try_mode(program, interface, XdpMode::Driver) {
            Err(error) if lacks_native(&error) => {
                return Err(Error::NoNativeMode { name: interface.name.clone(), source: error.into() });
            }
            tried => (tried, Mode::Native),
        },
        ModeChoice::Auto => match try_mode(program, interface, XdpMode::Driver) {
            Err(error) if lacks_native(&error) => (try_mode(program, interface, XdpMode::Skb), Mode::Generic),
            tried => (tried, Mode::Native),
        },
    };
    let link = link.map_err(failed)?;
    link.pin(pins.ingress_link(&interface.name))
        .map_err(|error| Error::kernel(format!("pinning the filter of {}", interface.name), error))?;
    Ok(mode)
}

fn try_mode(program: &mut Xdp, interface: &Interface, mode: XdpMode) -> Result<FdLink, ProgramError> {
    let id = program.attach_to_if_index(interface.index, mode)?;
    let link = program.take_link(id)?;
    // aya falls back to a netlink attachment on its own, which no file system can hold: dropping it detaches again.
    FdLink::try_from(link).map_err(|_| {
        ProgramError::SyscallError(aya::sys::SyscallError { call: "bpf_link_create", io_error: Errno::EINVAL.into() })
    })
}

/// The driver knows no native XDP (EOPNOTSUPP), or not with this MTU, these offloads or these queues (EINVAL and others of its own).
/// Whatever would hinder generic mode as well shows there once more.
fn lacks_native(error: &ProgramError) -> bool {
    matches!(errno(error), Some(Errno::EOPNOTSUPP | Errno::EINVAL | Errno::ERANGE | Errno::ENOMEM | Errno::ENOSPC))
}

fn errno(error: &ProgramError) -> Option<Errno> {
    match error {
        ProgramError::SyscallError(error) => error.io_error.raw_os_error().map(Errno::from_raw),
        _ => None,
    }
}

/// Put a loaded program in the place of the one that a pinned link holds, with no packet between them.
///
/// # Errors
/// [`Error::BadPin`], [`Error::Kernel`].
pub fn replace(program: &mut Xdp, pins: &Pins, interface: &str) -> Result<()> {
    let link = XdpLink::try_from(FdLink::from(open(pins, interface)?))
        .map_err(|error| Error::BadPin { path: pins.ingress_link(interface), source: error.into() })?;
    program
        .attach_to_link(link)
        .map(|_| ())
        .map_err(|error| Error::kernel(format!("replacing the filter of {interface}"), error))
}

fn open(pins: &Pins, interface: &str) -> Result<PinnedLink> {
    let path = pins.ingress_link(interface);
    PinnedLink::from_pin(&path).map_err(|error: LinkError| Error::BadPin { path, source: error.into() })
}
