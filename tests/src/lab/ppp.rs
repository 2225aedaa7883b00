//! A PPP interface over a `PPPoE` session (RFC 2516) whose two ends agreed on its number beforehand: all that `pppd` sets up in the kernel, without
//! the protocols by which it negotiates.

use std::{
    fs::{File, OpenOptions},
    io,
    os::fd::AsRawFd,
};

use anyhow::{Context as _, Result, ensure};
use nix::libc;
use socket2::{Domain, Protocol, Socket, Type};

use super::Namespace;

const AF_PPPOX: libc::c_int = 24;
const PX_PROTO_OE: libc::c_int = 0;

// `include/uapi/linux/ppp-ioctl.h`, as `_IOC` puts them together on most architectures, arm64 and x86-64 among them.
const PPPIOCGCHAN: libc::c_ulong = 0x8004_7437;
const PPPIOCATTCHAN: libc::c_ulong = 0x4004_7438;
const PPPIOCCONNECT: libc::c_ulong = 0x4004_743a;
const PPPIOCNEWUNIT: libc::c_ulong = 0xc004_743e;

/// One end of a session. Its interface goes with it.
#[derive(Debug)]
pub struct Ppp {
    _session: Socket,
    _channel: File,
    _unit: File,
    name: String,
}

impl Ppp {
    /// An end of a session over an Ethernet interface, with addresses, set up.
    ///
    /// # Errors
    /// The kernel has no `PPPoE`, or refuses it.
    pub fn new(place: &Namespace, below: &str, peer: [u8; 6], session: u16, addresses: &[String]) -> Result<Self> {
        let ppp = place.enter(|| Self::open(below, peer, session))?;
        for address in addresses {
            place.run(&format!("ip address add {address} dev {}", ppp.name))?;
        }
        place.run(&format!("ip link set {} up", ppp.name))?;
        Ok(ppp)
    }

    fn open(below: &str, peer: [u8; 6], number: u16) -> Result<Self> {
        let session = Socket::new(Domain::from(AF_PPPOX), Type::STREAM, Some(Protocol::from(PX_PROTO_OE)));
        let session = session.context("no PPPoE")?;
        connect(&session, below, peer, number)?;
        let mut number = 0;
        let attach = || OpenOptions::new().read(true).write(true).open("/dev/ppp").context("opening /dev/ppp");
        ask(&session, PPPIOCGCHAN, &mut number).context("asking for the channel")?;
        let channel = attach()?;
        ask(&channel, PPPIOCATTCHAN, &mut number).context("attaching to the channel")?;
        let unit = attach()?;
        // The kernel chooses the number.
        number = -1;
        ask(&unit, PPPIOCNEWUNIT, &mut number).context("making the interface")?;
        ask(&channel, PPPIOCCONNECT, &mut number).context("connecting the interface")?;
        Ok(Self { _session: session, _channel: channel, _unit: unit, name: format!("ppp{number}") })
    }

    /// The interface's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Connect a socket to `struct sockaddr_pppox` (`include/uapi/linux/if_pppox.h`), which is packed: family, protocol, session in network byte order,
/// MAC address, and the interface's name in 16 bytes.
fn connect(session: &Socket, below: &str, peer: [u8; 6], number: u16) -> Result<()> {
    const LENGTH: usize = 30;
    let mut bytes = [0_u8; LENGTH];
    ensure!(below.len() < 16, "{below} is too long");
    bytes[..2].copy_from_slice(&(AF_PPPOX as libc::sa_family_t).to_ne_bytes());
    bytes[2..6].copy_from_slice(&PX_PROTO_OE.to_ne_bytes());
    bytes[6..8].copy_from_slice(&number.to_be_bytes());
    bytes[8..14].copy_from_slice(&peer);
    bytes[14..14 + below.len()].copy_from_slice(below.as_bytes());
    // SAFETY: `bytes` are a whole address of this family, and live until the call returns.
    let connected = unsafe { libc::connect(session.as_raw_fd(), bytes.as_ptr().cast(), LENGTH as libc::socklen_t) };
    ensure!(connected == 0, "connecting the PPPoE session: {}", io::Error::last_os_error());
    Ok(())
}

/// A request that takes or returns a number.
fn ask(file: &impl AsRawFd, request: libc::c_ulong, number: &mut libc::c_int) -> Result<()> {
    // SAFETY: the requests above read or write one number, which lives until the call returns.
    let asked = unsafe { libc::ioctl(file.as_raw_fd(), request, std::ptr::from_mut(number)) };
    ensure!(asked == 0, "{}", io::Error::last_os_error());
    Ok(())
}
