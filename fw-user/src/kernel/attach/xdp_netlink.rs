//! XDP programs through netlink, without a link: detaches programs that nobody holds, and gets a driver's reason for a refusal.

use std::os::fd::{AsFd, AsRawFd};

use aya::programs::XdpMode;
use netlink_sys::protocols::NETLINK_ROUTE;
use rtnetlink::{
    LinkUnspec,
    packet_route::{
        RouteNetlinkMessage,
        link::{LinkAttribute, LinkXdp, XdpAttached},
    },
};

use crate::host::{
    interface::Interface,
    netlink::{self, Refusal},
};

// XDP_FLAGS_* of include/uapi/linux/if_link.h.
const ONLY_IF_NONE: u32 = 1;
const GENERIC: u32 = 1 << 1;
const NATIVE: u32 = 1 << 2;
const HARDWARE: u32 = 1 << 3;
/// Replace only a certain program (kernel 5.7).
const REPLACE: u32 = 1 << 4;

/// Set no program, in the mode of the current one.
pub(crate) fn clear(interface: &Interface) -> Result<(), Refusal> {
    let flags = match interface.xdp_attached {
        XdpAttached::SocketBuffer => GENERIC,
        XdpAttached::Driver => NATIVE,
        XdpAttached::Hardware => HARDWARE,
        // With several modes the kernel detaches one at a time, and refuses our program while others remain.
        _ => 0,
    };
    set(interface, vec![LinkXdp::Fd(-1), LinkXdp::Flags(flags)])
}

/// Why an interface refuses a program that it has just refused through a link: a link gets only a number, netlink a message. A refusal changes
/// nothing. If the program is accepted meanwhile, it is detached again, and there is no message.
pub(crate) fn why_not(program: impl AsFd, interface: &Interface, mode: XdpMode) -> Option<String> {
    let program = program.as_fd().as_raw_fd();
    let mode = if mode == XdpMode::Driver { NATIVE } else { GENERIC };
    if let Err(refusal) = set(interface, vec![LinkXdp::Fd(program), LinkXdp::Flags(ONLY_IF_NONE | mode)]) {
        return refusal.words;
    }
    let expected = LinkXdp::ExpectedFd(u32::try_from(program).ok()?);
    // A program that somebody else attached since is not detached.
    let _unused = set(interface, vec![LinkXdp::Fd(-1), LinkXdp::Flags(mode | REPLACE), expected]);
    None
}

fn set(interface: &Interface, xdp: Vec<LinkXdp>) -> Result<(), Refusal> {
    let message = LinkUnspec::new_with_index(interface.index).append_extra_attribute(LinkAttribute::Xdp(xdp)).build();
    netlink::change(NETLINK_ROUTE, RouteNetlinkMessage::SetLink(message))
}
