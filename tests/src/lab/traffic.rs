//! Traffic that goes on while something is done to the filter.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, ensure};

use super::{LAN4, Lab, PI4, Server, Transport, client::receives, wait};

/// A server at a port that the filter lets in, and one at a port that it does not.
#[derive(Debug)]
pub struct Traffic<'a> {
    lab: &'a Lab,
    open: Server,
    closed: Server,
}

/// The port that must stay open, as a rule.
pub const OPEN: &str = "8080/udp";

impl<'a> Traffic<'a> {
    /// Both servers, reached once while no filter is there yet.
    ///
    /// # Errors
    /// They cannot be reached.
    pub fn without_filter(lab: &'a Lab) -> Result<Self> {
        lab.pi.open_input()?;
        let (open, closed) = (lab.pi.serve_udp(8080)?, lab.pi.serve_udp(9123)?);
        for server in [(&open, 8080), (&closed, 9123)] {
            lab.lan.reaches(server.0, Transport::Udp, PI4, server.1).context("without the filter")?;
        }
        Ok(Self { lab, open, closed })
    }

    /// Do something while every question to the open port must be answered, and nothing may reach the closed one.
    ///
    /// # Errors
    /// An answer is missing, something reached the closed port, or the work itself failed.
    pub fn during<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let before = self.closed.reached();
        let done = AtomicBool::new(false);
        let count = AtomicUsize::new(0);
        let result = thread::scope(|scope| {
            let traffic = scope.spawn(|| -> Result<()> {
                let client = self.lab.lan.udp_socket(0, LAN4)?;
                let scanner = self.lab.lan.udp_socket(0, LAN4)?;
                while !done.load(Ordering::Acquire) {
                    scanner.send_to(b"knock", SocketAddr::new(PI4, 9123))?;
                    client.send_to(b"question", SocketAddr::new(PI4, 8080))?;
                    ensure!(receives(&client, Duration::from_secs(5))?, "question {count:?} was lost");
                    count.fetch_add(1, Ordering::AcqRel);
                }
                Ok(())
            });
            let goes_on = || {
                let before = count.load(Ordering::Acquire);
                wait::until("traffic", || {
                    Ok((traffic.is_finished() || count.load(Ordering::Acquire) > before + 10).then_some(()))
                })
            };
            let result = goes_on().and_then(|()| work()).and_then(|result| goes_on().map(|()| result));
            done.store(true, Ordering::Release);
            traffic.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)).and(result)
        })?;
        ensure!(self.closed.reached() == before, "{} packets reached the closed port", self.closed.reached() - before);
        Ok(result)
    }

    /// The closed port is so, judged by the counters.
    ///
    /// # Errors
    /// It is open.
    pub fn is_filtered(&self) -> Result<()> {
        self.lab.is_closed(&self.closed, Transport::Udp, PI4, 9123)
    }

    /// Nothing filters any more.
    ///
    /// # Errors
    /// The port that was closed cannot be reached.
    pub fn is_unfiltered(&self) -> Result<()> {
        for (server, port) in [(&self.open, 8080), (&self.closed, 9123)] {
            self.lab.lan.reaches(server, Transport::Udp, PI4, port)?;
        }
        Ok(())
    }
}
