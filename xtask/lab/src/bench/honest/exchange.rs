//! Requests and their responses, one after the other.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;
use fw_tests::lab::{LAN4, PI4, wait::PATIENCE};

use crate::bench::{filters::OPEN, measure::pin, stand::Stand};

/// The address of the host's own server.
const EXCHANGE_PORT: u16 = OPEN[0];
/// How long one sample takes.
const WINDOW: Duration = Duration::from_millis(250);

/// The client, the server and the request.
#[derive(Clone, Copy)]
pub(super) struct Exchange {
    pub(super) kind: Kind,
    /// The LAN's machine asks the host, or the other way round.
    pub(super) inbound: bool,
}

/// The unit of the count.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// A byte for a byte, over a connection that stays.
    Request,
    /// A connection, with a byte for a byte.
    Connection,
}

impl Exchange {
    pub(super) fn name(self) -> &'static str {
        match (self.kind, self.inbound) {
            (Kind::Request, true) => "requests to host",
            (Kind::Request, false) => "requests from host",
            (Kind::Connection, true) => "connections to host",
            (Kind::Connection, false) => "connections from host",
        }
    }

    /// How many in a second.
    pub(super) fn run(self, stand: &Stand) -> Result<f64> {
        let lan = (&stand.lab.lan, stand.cpus.lan, LAN4);
        let host = (&stand.lab.pi, stand.cpus.host, PI4);
        let (client, server) = if self.inbound { (lan, host) } else { (host, lan) };
        let listener = server.0.enter(|| TcpListener::bind((Ipv4Addr::UNSPECIFIED, EXCHANGE_PORT)))?;
        thread::scope(|scope| {
            let serving = scope.spawn(|| pin(0, server.1).and_then(|()| serve(&listener)));
            let asking = scope.spawn(|| {
                client.0.enter(|| pin(0, client.1).and_then(|()| ask(self.kind, (server.2, EXCHANGE_PORT).into())))
            });
            let rate = asking.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            serving.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            Ok(rate)
        })
    }
}

/// Ask for a while. A connection without a word is the last.
fn ask(kind: Kind, to: SocketAddr) -> Result<f64> {
    let mut open: Option<TcpStream> = None;
    let mut count = 0;
    let start = Instant::now();
    while start.elapsed() < WINDOW {
        let mut stream = match open.take() {
            Some(stream) => stream,
            None => connect(to)?,
        };
        stream.write_all(b"?")?;
        stream.read_exact(&mut [0])?;
        count += 1;
        open = Some(stream).filter(|_| matches!(kind, Kind::Request));
    }
    let rate = f64::from(count) / start.elapsed().as_secs_f64();
    drop(open);
    connect(to).map(|_| rate)
}

fn connect(to: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&to, PATIENCE)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// One connection after the other, until one says nothing.
fn serve(listener: &TcpListener) -> Result<()> {
    loop {
        let (mut stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        let mut byte = [0];
        let mut asked = false;
        while stream.read(&mut byte)? == 1 {
            stream.write_all(b"!")?;
            asked = true;
        }
        if !asked {
            return Ok(());
        }
    }
}
