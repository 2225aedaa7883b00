//! Whether a port can be reached, judged by what arrives at the server behind it.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result, ensure};

use super::{Lab, Namespace, Server, transport::Transport, wait};

impl Namespace {
    /// Serve a port over TCP or UDP.
    ///
    /// # Errors
    /// The port is taken.
    pub fn serve(&self, transport: Transport, port: u16) -> Result<Server> {
        match transport {
            Transport::Tcp => self.serve_tcp(port),
            Transport::Udp => self.serve_udp(port),
        }
    }

    /// Talk to an echo server.
    ///
    /// # Errors
    /// No echo.
    pub fn echo(&self, transport: Transport, to: SocketAddr) -> Result<()> {
        match transport {
            Transport::Tcp => self.echo_tcp(to),
            Transport::Udp => self.echo_udp(to),
        }
    }

    /// Reach a server: the echo comes back, and one connection or datagram has arrived.
    ///
    /// # Errors
    /// It cannot be reached, or something else is there.
    pub fn reaches(&self, server: &Server, transport: Transport, address: IpAddr, port: u16) -> Result<()> {
        let before = server.reached();
        self.echo(transport, SocketAddr::new(address, port))?;
        server.await_reached(before + 1)?;
        ensure!(server.reached() == before + 1, "the server saw more than was sent to {port}/{transport} at {address}");
        Ok(())
    }
}

impl Lab {
    /// Knock from the LAN at a port that the filter must keep closed: the filter counts the drop, and nothing reaches the server that
    /// is there.
    ///
    /// # Errors
    /// The filter did not drop it, or it arrived.
    pub fn is_closed(&self, server: &Server, transport: Transport, address: IpAddr, port: u16) -> Result<()> {
        self.is_closed_on("eth0", server, transport, address, port)
    }

    /// The same on any interface.
    ///
    /// # Errors
    /// As [`Lab::is_closed`].
    pub fn is_closed_on(
        &self,
        interface: &str,
        server: &Server,
        transport: Transport,
        address: IpAddr,
        port: u16,
    ) -> Result<()> {
        let name = transport.to_string();
        let dropped = || anyhow::Ok(self.stats(interface)?.dropped_at(&name, port));
        let before = (dropped()?, server.reached());
        let _knocking = self.knock(transport, SocketAddr::new(address, port))?;
        wait::until(format!("a drop at {port}/{name} of {address}"), || Ok((dropped()? > before.0).then_some(())))?;
        ensure!(server.reached() == before.1, "{port}/{name} of {address} is counted as dropped, and yet it arrived");
        Ok(())
    }

    /// Knock from the LAN at a port that netfilter's input chain drops.
    ///
    /// # Errors
    /// It did not drop it, or it arrived.
    pub fn is_refused_by_input(&self, server: &Server, transport: Transport, address: IpAddr, port: u16) -> Result<()> {
        let before = (self.pi.refused_by_input()?, server.reached());
        let _knocking = self.knock(transport, SocketAddr::new(address, port))?;
        self.pi.await_refused_by_input(before.0).with_context(|| format!("{port}/{transport} of {address}"))?;
        ensure!(server.reached() == before.1, "{port}/{transport} of {address} was refused, and yet it arrived");
        Ok(())
    }

    /// Send the first packet; a TCP client keeps on trying as long as what is returned lives.
    fn knock(&self, transport: Transport, to: SocketAddr) -> Result<Option<socket2::Socket>> {
        match transport {
            Transport::Tcp => self.lan.try_tcp(to).map(Some),
            Transport::Udp => self.lan.send_udp_from(0, to, b"knock").map(|()| None),
        }
    }
}
