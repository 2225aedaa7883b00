//! The hole that this project closes: a published port is reached past the input chain, and no longer once the filter is on.

use anyhow::Result;
use fw_tests::{
    lab::{
        Lab, Mode, PI4, PI6, Server, Transport,
        netfilter::{CLOSED_TARGET, OPEN_TARGET},
    },
    tests,
};

tests! {
    netfilter_alone_leaves_the_published_port_open;
}

tests! { in every mode:
    the_published_port_is_closed_and_the_intended_one_open;
    detach_opens_again_and_leaves_nothing_behind;
}

struct Servers {
    /// On the host, where the input chain protects it.
    host: Server,
    /// In the container, published on 9125.
    closed: Server,
    /// In the container, published on 80.
    open: Server,
}

impl Servers {
    fn start(lab: &Lab, transport: Transport) -> Result<Self> {
        Ok(Self {
            host: lab.pi.serve(transport, 9123)?,
            closed: lab.container(0).serve(transport, CLOSED_TARGET)?,
            open: lab.container(0).serve(transport, OPEN_TARGET)?,
        })
    }

    /// The open ports for a LAN host with only nftables.
    fn show_the_hole(&self, lab: &Lab, transport: Transport) -> Result<()> {
        for address in [PI4, PI6] {
            lab.is_refused_by_input(&self.host, transport, address, 9123)?;
            lab.lan.reaches(&self.closed, transport, address, 9125)?;
            lab.lan.reaches(&self.open, transport, address, 80)?;
        }
        Ok(())
    }
}

fn netfilter_alone_leaves_the_published_port_open() -> Result<()> {
    let lab = Lab::new()?;
    for transport in Transport::ALL {
        Servers::start(&lab, transport)?.show_the_hole(&lab, transport)?;
    }
    Ok(())
}

fn the_published_port_is_closed_and_the_intended_one_open(mode: Mode) -> Result<()> {
    for transport in Transport::ALL {
        let lab = Lab::new()?;
        let servers = Servers::start(&lab, transport)?;
        servers.show_the_hole(&lab, transport)?;
        lab.attach(mode, "22,80,443")?;
        assert_eq!(lab.stats("eth0")?.mode, mode.to_string());
        for address in [PI4, PI6] {
            lab.is_closed(&servers.closed, transport, address, 9125)?;
            lab.is_closed(&servers.host, transport, address, 9123)?;
            lab.lan.reaches(&servers.open, transport, address, 80)?;
        }
    }
    Ok(())
}

fn detach_opens_again_and_leaves_nothing_behind(mode: Mode) -> Result<()> {
    let lab = Lab::new()?;
    let server = lab.container(0).serve_tcp(CLOSED_TARGET)?;
    lab.nothing_is_left_behind()?;
    lab.attach(mode, "22,80,443")?;
    lab.is_closed(&server, Transport::Tcp, PI4, 9125)?;
    assert!(lab.nothing_is_left_behind().is_err(), "what is attached must be seen");
    lab.fw(&["detach", "eth0"])?;
    lab.lan.reaches(&server, Transport::Tcp, PI4, 9125)?;
    lab.lan.reaches(&server, Transport::Tcp, PI6, 9125)?;
    lab.nothing_is_left_behind()
}
