//! The machine at the other end of the guest's cables, which never stops to knock.

use std::{
    io::Write,
    net::{IpAddr, TcpListener, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::Result;

use crate::lab::{LAN4, Namespace, PI4, SECOND_LAN4, SECOND_PI4};

/// A cable between a network card of the guest and the peer.
#[derive(Debug)]
pub struct Cable {
    /// The interface at the peer's end. It is also what the datagrams say that come through the cable.
    pub name: &'static str,
    /// The guest's Ethernet address.
    pub mac: &'static str,
    /// The guest's address.
    guest: IpAddr,
    /// The peer's address.
    peer: IpAddr,
}

/// To the card that is there from the start.
pub const LAN: Cable = Cable { name: "tap0", mac: "52:54:00:00:00:01", guest: PI4, peer: LAN4 };
/// To the card that [`Machine::plug_in`](super::Machine::plug_in) plugs in.
pub const LATER: Cable = Cable { name: "tap1", mac: "52:54:00:00:00:02", guest: SECOND_PI4, peer: SECOND_LAN4 };

/// The port that nobody allowed.
pub const CLOSED: u16 = 9123;
/// The port that is allowed.
pub const OPEN: u16 = 22;

/// How often a datagram goes to either port.
pub const PERIOD: Duration = Duration::from_millis(5);

/// A namespace with both cables to the guest, and a thread that sends datagrams through them to both ports from the start to the end,
/// whether the guest is on or off.
#[derive(Debug)]
pub struct Peer {
    /// The namespace.
    pub place: Namespace,
    stop: Arc<AtomicBool>,
    sender: Option<JoinHandle<()>>,
}

impl Peer {
    /// Lay the cables, and begin to send.
    ///
    /// # Errors
    /// No `/dev/net/tun`.
    pub fn new() -> Result<Self> {
        let place = Namespace::new()?;
        let mut sockets = Vec::new();
        for cable in [LAN, LATER] {
            let Cable { name, mac, guest, peer } = cable;
            place.run(&format!("ip tuntap add dev {name} mode tap"))?;
            place.set_address(name, &[&format!("{peer}/24")])?;
            // Datagrams go out also while nobody is there to say whose address it is.
            place.run(&format!("ip neighbour add {guest} lladdr {mac} dev {name} nud permanent"))?;
            sockets.push((place.enter(|| UdpSocket::bind((peer, 0)))?, guest, format!("{name}\n")));
        }
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let sender = thread::spawn(move || {
            while !told.load(Ordering::Relaxed) {
                for (socket, guest, text) in &sockets {
                    for port in [CLOSED, OPEN] {
                        // The cable has no end yet, or its queue is full: so be it.
                        let _unused = socket.send_to(text.as_bytes(), (*guest, port));
                    }
                }
                thread::sleep(PERIOD);
            }
        });
        Ok(Self { place, stop, sender: Some(sender) })
    }

    /// Offer a file to the guest, which connects once. Returns the command line that writes it to `path` there.
    ///
    /// # Errors
    /// No port is free.
    pub fn offer(&self, contents: Vec<u8>, path: &str) -> Result<String> {
        let listener = self.place.enter(|| TcpListener::bind((LAN.peer, 0)))?;
        let address = listener.local_addr()?;
        // A guest that gets too little does not install it.
        let _sender = thread::spawn(move || listener.accept()?.0.write_all(&contents));
        Ok(format!("socat -u TCP4:{address} CREATE:{path}"))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.sender.take().map(JoinHandle::join);
        assert!(matches!(ended, Some(Ok(()))) || thread::panicking(), "the sending thread panicked");
    }
}
