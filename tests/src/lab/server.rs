//! Servers that echo what they are sent and keep account of what reached them: a test judges a port by what arrived at
//! the listener, never by a missing answer alone.

use std::{
    io::{Read, Write},
    net::{Ipv6Addr, Shutdown, SocketAddr, SocketAddrV6, TcpListener, TcpStream, UdpSocket},
    os::fd::{AsFd, AsRawFd as _, OwnedFd},
    sync::{
        Arc, Condvar, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use anyhow::{Result, ensure};
use nix::sys::socket::{SockaddrIn6, recvfrom};
use socket2::SockRef;

use super::{
    namespace::Namespace,
    wait::{self, PATIENCE},
};

/// An echo server on one port, TCP or UDP, IPv4 and IPv6. It stops when dropped.
#[derive(Debug)]
pub struct Server {
    port: u16,
    state: Arc<State>,
    socket: OwnedFd,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct State {
    /// The senders of the connections or datagrams that arrived.
    arrivals: Mutex<Vec<SocketAddr>>,
    more_arrived: Condvar,
    stopping: AtomicBool,
}

impl State {
    fn arrivals(&self) -> MutexGuard<'_, Vec<SocketAddr>> {
        self.arrivals.lock().expect("no thread panics while it holds the lock")
    }

    fn count(&self, sender: SocketAddr) {
        self.arrivals().push(SocketAddr::new(sender.ip().to_canonical(), sender.port()));
        self.more_arrived.notify_all();
    }
}

impl Namespace {
    /// Serve TCP on a port of every address.
    ///
    /// # Errors
    /// The port is taken.
    pub fn serve_tcp(&self, port: u16) -> Result<Server> {
        let address = (Ipv6Addr::UNSPECIFIED, port);
        let listener = self.enter(|| wait::bind(format!("TCP port {port}"), || TcpListener::bind(address)))?;
        let socket = listener.as_fd().try_clone_to_owned()?;
        Ok(Server::start(port, socket, move |state| accept(&listener, state)))
    }

    /// Serve UDP on a port of every address.
    ///
    /// # Errors
    /// The port is taken.
    pub fn serve_udp(&self, port: u16) -> Result<Server> {
        let address = (Ipv6Addr::UNSPECIFIED, port);
        let datagrams = self.enter(|| wait::bind(format!("UDP port {port}"), || UdpSocket::bind(address)))?;
        let socket = datagrams.as_fd().try_clone_to_owned()?;
        Ok(Server::start(port, socket, move |state| answer(&datagrams, state)))
    }
}

impl Server {
    fn start(port: u16, socket: OwnedFd, serve: impl FnOnce(&State) + Send + 'static) -> Self {
        let state = Arc::<State>::default();
        let thread = thread::spawn({
            let state = Arc::clone(&state);
            move || serve(&state)
        });
        Self { port, state, socket, thread: Some(thread) }
    }

    /// How many connections were accepted, or datagrams received.
    #[must_use]
    pub fn reached(&self) -> usize {
        self.state.arrivals().len()
    }

    /// The senders, in the order of arrival.
    #[must_use]
    pub fn senders(&self) -> Vec<SocketAddr> {
        self.state.arrivals().clone()
    }

    /// Wait for at least `count` connections or datagrams since the start.
    ///
    /// # Errors
    /// [`PATIENCE`] ran out.
    pub fn await_reached(&self, count: usize) -> Result<()> {
        let waited =
            self.state.more_arrived.wait_timeout_while(self.state.arrivals(), PATIENCE, |all| all.len() < count);
        let (arrivals, _) = waited.unwrap_or_else(std::sync::PoisonError::into_inner);
        ensure!(arrivals.len() >= count, "{} instead of {count} reached port {}", arrivals.len(), self.port);
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.state.stopping.store(true, Ordering::Release);
        // Wakes the thread. A UDP socket without a peer is woken as well, and then says that it had none to shut down.
        let _not_connected = SockRef::from(&self.socket).shutdown(Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || thread::panicking(), "the server on port {} panicked", self.port);
        }
    }
}

fn accept(listener: &TcpListener, state: &State) {
    thread::scope(|scope| {
        let mut open: Vec<TcpStream> = Vec::new();
        while let Ok((stream, peer)) = listener.accept() {
            state.count(peer);
            if let Ok(copy) = stream.try_clone() {
                open.push(copy);
            }
            scope.spawn(move || echo(stream));
        }
        for stream in open {
            // One that the client has closed is what is wanted.
            let _closed = stream.shutdown(Shutdown::Both);
        }
    });
}

/// Until either side closes or fails: the client sees it.
fn echo(mut stream: TcpStream) {
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        if stream.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
}

fn answer(datagrams: &UdpSocket, state: &State) {
    let mut buffer = [0; 9000];
    // Not the standard library's: it panics where a socket that was shut down answers without an address, as in Linux 6.1.
    while let Ok((length, Some(peer))) = recvfrom::<SockaddrIn6>(datagrams.as_raw_fd(), &mut buffer) {
        if state.stopping.load(Ordering::Acquire) {
            break;
        }
        let peer = SocketAddrV6::from(peer).into();
        state.count(peer);
        // A client that does not wait for its answer answers ours with ICMP: no concern of the server.
        let _unreachable = datagrams.send_to(&buffer[..length], peer);
    }
}
