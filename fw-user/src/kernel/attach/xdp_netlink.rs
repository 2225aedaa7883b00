//! XDP programs by netlink, which takes no link: what nobody holds is taken off this way, and a driver says why it takes none.

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
/// Only in the place of a certain program (kernel 5.7).
const REPLACE: u32 = 1 << 4;

/// Set no program, in the mode that there is one in.
pub(crate) fn clear(interface: &Interface) -> Result<(), Refusal> {
    let flags = match interface.xdp_attached {
        XdpAttached::SocketBuffer => GENERIC,
        XdpAttached::Driver => NATIVE,
        XdpAttached::Hardware => HARDWARE,
        // More than one: the kernel takes them one by one, and the rest is refused when ours is attached.
        _ => 0,
    };
    set(interface, vec![LinkXdp::Fd(-1), LinkXdp::Flags(flags)])
}

/// Why an interface does not take a program that it has just refused by a link: that is answered with a number, this with words. What is
/// refused changes nothing. A program that is taken all the same, since something has changed meanwhile, is taken off again, and there
/// are no words.
pub(crate) fn why_not(program: impl AsFd, interface: &Interface, mode: XdpMode) -> Option<String> {
    let program = program.as_fd().as_raw_fd();
    let mode = if mode == XdpMode::Driver { NATIVE } else { GENERIC };
    if let Err(refusal) = set(interface, vec![LinkXdp::Fd(program), LinkXdp::Flags(ONLY_IF_NONE | mode)]) {
        return refusal.words;
    }
    let expected = LinkXdp::ExpectedFd(u32::try_from(program).ok()?);
    // What somebody else has put in its place since is not taken off.
    let _unused = set(interface, vec![LinkXdp::Fd(-1), LinkXdp::Flags(mode | REPLACE), expected]);
    None
}

fn set(interface: &Interface, xdp: Vec<LinkXdp>) -> Result<(), Refusal> {
    let message = LinkUnspec::new_with_index(interface.index).append_extra_attribute(LinkAttribute::Xdp(xdp)).build();
    netlink::change(NETLINK_ROUTE, RouteNetlinkMessage::SetLink(message))
}
