//! A real tun of the Pi, an interface without Ethernet headers, or a tap, one with them, whose other end is this process.

use std::{
    fs::{File, OpenOptions},
    io::{IoSlice, Read as _, Write as _},
    os::fd::AsRawFd as _,
};

use anyhow::{Context as _, Result, ensure};
use nix::libc;

use super::{Namespace, wait};

/// `struct ifreq` as far as `TUNSETIFF` reads it, filled up to its size.
#[repr(C)]
struct Request {
    name: [u8; 16],
    flags: u16,
    rest: [u8; 22],
}

const TUNSETIFF: libc::c_ulong = 0x4004_54ca;
const IFF_TUN: u16 = 1;
const IFF_TAP: u16 = 2;
const IFF_NAPI: u16 = 0x10;
const IFF_NAPI_FRAGS: u16 = 0x20;
const IFF_NO_PI: u16 = 0x1000;

/// Its other end. The interface goes with it.
#[derive(Debug)]
pub struct Tun(File);

impl Tun {
    /// Make one with addresses, and set it up.
    ///
    /// # Errors
    /// The kernel has no tun, or refuses it.
    pub fn new(namespace: &Namespace, name: &str, addresses: &[&str]) -> Result<Self> {
        Self::open(namespace, name, IFF_TUN, addresses)
    }

    /// The same with Ethernet headers. The kernel keeps all but the [first bytes](Self::send_in_pages) of a packet in pages, as many
    /// drivers of network cards do.
    ///
    /// # Errors
    /// As [`Tun::new`].
    pub fn with_pages(namespace: &Namespace, name: &str, addresses: &[&str]) -> Result<Self> {
        Self::open(namespace, name, IFF_TAP | IFF_NAPI | IFF_NAPI_FRAGS, addresses)
    }

    fn open(namespace: &Namespace, name: &str, kind: u16, addresses: &[&str]) -> Result<Self> {
        let mut request = Request { name: [0; 16], flags: kind | IFF_NO_PI, rest: [0; 22] };
        ensure!(name.len() < request.name.len(), "{name} is too long");
        request.name[..name.len()].copy_from_slice(name.as_bytes());
        let open = || {
            let options = &mut OpenOptions::new();
            let file = options.read(true).write(true).open("/dev/net/tun").context("opening /dev/net/tun")?;
            // SAFETY: the request is as large as the kernel reads and writes, and lives until the call returns.
            let made = unsafe { libc::ioctl(file.as_raw_fd(), TUNSETIFF, &raw mut request) };
            ensure!(made == 0, "no tun: {}", std::io::Error::last_os_error());
            Ok(file)
        };
        let file = namespace.enter(open)?;
        for address in addresses {
            namespace.run(&format!("ip addr add {address} dev {name}"))?;
        }
        namespace.run(&format!("ip link set {name} up"))?;
        Ok(Self(file))
    }

    /// Have a packet come in.
    ///
    /// # Errors
    /// The kernel does not take it.
    pub fn send(&self, packet: &[u8]) -> Result<()> {
        Ok((&self.0).write_all(packet)?)
    }

    /// Have a packet come in of which the kernel keeps the first bytes in its buffer, and the others in pages.
    ///
    /// # Errors
    /// The kernel does not take it.
    pub fn send_in_pages(&self, packet: &[u8], first: usize) -> Result<()> {
        let (head, pages) = packet.split_at(first);
        let sent = (&self.0).write_vectored(&[IoSlice::new(head), IoSlice::new(pages)])?;
        ensure!(sent == packet.len(), "{sent} bytes of {} were taken", packet.len());
        Ok(())
    }

    /// Wait for a packet that leaves and is wanted.
    ///
    /// # Errors
    /// None comes.
    pub fn await_packet(&self, what: &str, wanted: impl Fn(&[u8]) -> bool) -> Result<Vec<u8>> {
        let mut buffer = [0; 2048];
        wait::until(what, || {
            let length = (&self.0).read(&mut buffer)?;
            Ok(wanted(&buffer[..length]).then(|| buffer[..length].to_vec()))
        })
    }
}
