//! The machine at the other end of the guest's cable, which never stops to knock.

use std::{
    net::UdpSocket,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::Result;

use crate::lab::{LAN4, Namespace, PI4};

/// The guest's Ethernet address.
pub const MAC: &str = "52:54:00:00:00:01";

/// The port that nobody allowed.
pub const CLOSED: u16 = 9123;
/// The port that is allowed.
pub const OPEN: u16 = 22;

/// How often a datagram goes to either port.
pub const PERIOD: Duration = Duration::from_millis(5);

/// A namespace with a cable to the guest, and a thread that sends datagrams to both ports from the start to the end, whether the guest
/// is on or off.
#[derive(Debug)]
pub struct Peer {
    /// The namespace.
    pub place: Namespace,
    stop: Arc<AtomicBool>,
    sender: Option<JoinHandle<()>>,
}

impl Peer {
    /// The cable's name.
    pub const CABLE: &'static str = "tap0";

    /// Lay the cable, and begin to send.
    ///
    /// # Errors
    /// No `/dev/net/tun`.
    pub fn new() -> Result<Self> {
        let cable = Self::CABLE;
        let place = Namespace::new()?;
        place.run(&format!("ip tuntap add dev {cable} mode tap"))?;
        place.set_address(cable, &[&format!("{LAN4}/24")])?;
        // Datagrams go out also while nobody is there to say whose address it is.
        place.run(&format!("ip neighbour add {PI4} lladdr {MAC} dev {cable} nud permanent"))?;
        let socket = place.enter(|| UdpSocket::bind((LAN4, 0)))?;
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let sender = thread::spawn(move || {
            while !told.load(Ordering::Relaxed) {
                for port in [CLOSED, OPEN] {
                    // The cable has no end yet, or its queue is full: so be it.
                    let _unused = socket.send_to(b"knock\n", (PI4, port));
                }
                thread::sleep(PERIOD);
            }
        });
        Ok(Self { place, stop, sender: Some(sender) })
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.sender.take().map(JoinHandle::join);
        assert!(matches!(ended, Some(Ok(()))) || thread::panicking(), "the sending thread panicked");
    }
}
