//! The smallest web there is: a page on a port, and somebody who asks for it.

use std::{
    fmt,
    io::{self, BufRead as _, BufReader, ErrorKind, Read as _, Write as _},
    net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};
use fw_tests::lab::Namespace;

/// How long the laptop waits. Everything is on one machine, and answers in less than a hundredth of it.
const PATIENCE: Duration = Duration::from_secs(2);

/// The result of a request for a page.
pub(super) enum Answer {
    /// The page.
    Page(String),
    /// No answer.
    Silence,
    /// The machine said no: a closed port without a firewall.
    Refused,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Page(text) => write!(f, "\"{text}\""),
            Self::Silence => f.write_str("no answer"),
            Self::Refused => f.write_str("connection refused"),
        }
    }
}

/// Serve a page on a port of a machine, as long as this process lives.
pub(super) fn serve(machine: &Namespace, port: u16, page: &'static str) -> Result<()> {
    let listener = machine.enter(|| TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)));
    let listener = listener.with_context(|| format!("cannot listen on port {port}"))?;
    thread::spawn(move || {
        for visitor in listener.incoming().flatten() {
            // A client that only connects is gone by now, and the next one must still be served.
            if let Err(error) = give(&visitor, page) {
                debug_assert_ne!(error.kind(), ErrorKind::InvalidInput, "{error}");
            }
        }
    });
    Ok(())
}

fn give(mut visitor: &TcpStream, page: &str) -> io::Result<()> {
    visitor.set_read_timeout(Some(PATIENCE))?;
    let mut request = String::new();
    BufReader::new(visitor).read_line(&mut request)?;
    write!(visitor, "HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n{page}", page.len())
}

/// Ask for the page on a port, from a machine.
pub(super) fn get(machine: &Namespace, from: SocketAddr) -> Result<Answer> {
    let mut server = match machine.enter(|| TcpStream::connect_timeout(&from, PATIENCE)) {
        Ok(server) => server,
        Err(error) if error.kind() == ErrorKind::TimedOut => return Ok(Answer::Silence),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => return Ok(Answer::Refused),
        Err(error) => return Err(error).with_context(|| format!("cannot connect to {from}")),
    };
    server.set_read_timeout(Some(PATIENCE))?;
    server.write_all(b"GET / HTTP/1.0\r\n")?;
    let mut answer = String::new();
    server.read_to_string(&mut answer).with_context(|| format!("{from} does not finish its answer"))?;
    let (_, page) = answer.split_once("\r\n\r\n").with_context(|| format!("{from} answers {answer:?}"))?;
    Ok(Answer::Page(page.into()))
}
