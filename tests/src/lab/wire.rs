//! Raw frames: sent as they are, and seen as they pass an interface.
//!
//! A packet socket sees what comes in only after XDP, native or generic, has let it through. That makes it the witness for
//! packets that no listener would ever report, such as a lone FIN.

use std::os::fd::{AsRawFd, OwnedFd};

use anyhow::{Context, Result, ensure};
use nix::{
    errno::Errno,
    ifaddrs::getifaddrs,
    libc::PACKET_OUTGOING,
    sched::{CpuSet, sched_getcpu, sched_setaffinity},
    sys::socket::{AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, bind, recvfrom, send, socket},
    unistd::Pid,
};
use socket2::SockRef;

use super::{namespace::Namespace, wait};

/// Room for what arrives while nobody looks, in bytes.
const QUEUE: usize = 8 << 20;

/// A packet socket on one interface.
#[derive(Debug)]
pub struct Wire {
    socket: OwnedFd,
    address: [u8; 6],
}

/// Keep this thread on the processor that it is on. What it sends then arrives in that order: each processor has a backlog of
/// its own for packets between network namespaces.
///
/// # Errors
/// The kernel's.
pub fn stay_in_order() -> Result<()> {
    let mut processors = CpuSet::new();
    processors.set(sched_getcpu()?)?;
    Ok(sched_setaffinity(Pid::from_raw(0), &processors)?)
}

impl Namespace {
    /// Send and watch on an interface from now on.
    ///
    /// # Errors
    /// There is no such interface.
    pub fn wire(&self, interface: &str) -> Result<Wire> {
        self.enter(|| {
            let link = link_address(interface)?;
            let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
            let socket = socket(AddressFamily::Packet, SockType::Raw, flags, SockProtocol::EthAll)?;
            SockRef::from(&socket).set_recv_buffer_size(QUEUE)?;
            // Until it is bound, the socket hears every interface of the namespace.
            bind(socket.as_raw_fd(), &link)?;
            let wire = Wire { socket, address: link.addr().context("an interface without an address")? };
            wire.received()?;
            Ok(wire)
        })
    }

    /// The MAC address of an interface.
    ///
    /// # Errors
    /// There is no such interface.
    pub fn mac(&self, interface: &str) -> Result<[u8; 6]> {
        self.enter(|| link_address(interface))?.addr().context("an interface without an address")
    }
}

fn link_address(interface: &str) -> Result<LinkAddr> {
    getifaddrs()?
        .filter(|entry| entry.interface_name == interface)
        .find_map(|entry| entry.address?.as_link_addr().copied())
        .with_context(|| format!("no interface {interface}"))
}

impl Wire {
    /// The interface's MAC address.
    #[must_use]
    pub const fn mac(&self) -> [u8; 6] {
        self.address
    }

    /// Put a frame on the wire as it is, without a checksum being filled in.
    ///
    /// # Errors
    /// The interface is down, or the frame too long for it.
    pub fn send(&self, frame: &[u8]) -> Result<()> {
        let sent = send(self.socket.as_raw_fd(), frame, MsgFlags::empty()).context("cannot send a frame")?;
        ensure!(sent == frame.len(), "{sent} of {} bytes were sent", frame.len());
        Ok(())
    }

    /// The frames that came in since the last look. VLAN tags are no part of them: Linux keeps those apart.
    ///
    /// # Errors
    /// The interface is gone.
    pub fn received(&self) -> Result<Vec<Vec<u8>>> {
        let mut frames = Vec::new();
        let mut buffer = vec![0; 65_536];
        loop {
            match recvfrom::<LinkAddr>(self.socket.as_raw_fd(), &mut buffer) {
                Ok((_, Some(from))) if i32::from(from.pkttype()) == i32::from(PACKET_OUTGOING) => {}
                Ok((length, _)) => frames.push(buffer[..length].to_vec()),
                Err(Errno::EAGAIN) => return Ok(frames),
                Err(error) => return Err(error).context("cannot receive frames"),
            }
        }
    }

    /// Wait for a frame that fits, and return it with those that came before it.
    ///
    /// # Errors
    /// It does not come.
    pub fn await_frame(&self, what: &str, fits: impl Fn(&[u8]) -> bool) -> Result<Vec<Vec<u8>>> {
        let mut seen = Vec::new();
        wait::until(what, || {
            seen.extend(self.received()?);
            Ok(seen.iter().any(|frame| fits(frame)).then_some(()))
        })?;
        Ok(seen)
    }
}
