//! How many packets a network interface handles as one.

use std::os::fd::AsRawFd as _;

use anyhow::{Context as _, Result, bail};
use nix::{
    errno::Errno,
    net::if_::if_nametoindex,
    sys::socket::{AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket},
};

use super::Namespace;

/// `RTM_NEWLINK`, `NLM_F_REQUEST | NLM_F_ACK`, `NLMSG_ERROR` of `include/uapi/linux/{rtnetlink,netlink}.h`.
const NEW_LINK: u16 = 16;
const REQUEST_AND_ACK: u16 = 5;
const ERROR: u16 = 2;
/// `IFLA_GSO_MAX_SIZE` and `IFLA_GSO_IPV4_MAX_SIZE` (Linux 6.3) of `include/uapi/linux/if_link.h`, which `ip` of Debian 12 does not know.
const SIZES: [u16; 2] = [41, 63];

impl Namespace {
    /// Have an interface send so many bytes of a TCP connection as one packet, which may be more than a length in its header can say (BIG TCP).
    ///
    /// # Errors
    /// The kernel or the driver cannot.
    pub fn send_as_one(&self, interface: &str, bytes: u32) -> Result<()> {
        let ask = || -> Result<()> {
            let index = if_nametoindex(interface)?;
            let size = |kind: u16| [&8_u16.to_ne_bytes()[..], &kind.to_ne_bytes(), &bytes.to_ne_bytes()].concat();
            // `struct ifinfomsg`, and an attribute for each family.
            let body = [&[0; 4][..], &index.to_ne_bytes(), &[0; 8], &SIZES.map(size).concat()].concat();
            let length = u32::try_from(16 + body.len())?;
            let header = [&length.to_ne_bytes()[..], &NEW_LINK.to_ne_bytes(), &REQUEST_AND_ACK.to_ne_bytes(), &[0; 8]];
            let socket = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::empty(), SockProtocol::NetlinkRoute)?;
            sendto(socket.as_raw_fd(), &[header.concat(), body].concat(), &NetlinkAddr::new(0, 0), MsgFlags::empty())?;
            let mut answer = [0; 256];
            let length = recv(socket.as_raw_fd(), &mut answer, MsgFlags::empty())?;
            let kind = u16::from_ne_bytes([answer[4], answer[5]]);
            let code = answer[..length].get(16..20).and_then(|code| code.try_into().ok()).map(i32::from_ne_bytes);
            match code.filter(|_| kind == ERROR).context("an answer of another kind")? {
                0 => Ok(()),
                code => bail!("packets of {bytes} bytes on {interface}: {}", Errno::from_raw(-code)),
            }
        };
        self.enter(ask)
    }
}
