//! Fills the flow tables with the open connections, so that `attach` cuts no outbound ones.

use std::net::SocketAddr;

use fw_common::{
    abi::{page_of, slot_of},
    address::{Address, V4, V6},
    flow::{FlowEntry, FlowKind, Tracked},
    wire::{Addresses, transport::Ports},
};

use crate::{
    error::{Error, Result},
    host::connections::{self, connection::Connection},
    kernel::{
        clock,
        maps::flows::{Sent, Tables},
        pins::Pins,
    },
};

/// Record all open outbound connections, as if they had just been answered.
pub(crate) fn seed(pins: &Pins) -> Result<()> {
    let entry = FlowEntry::new(clock::now()?, true);
    let (mut flows, mut sent) = (Tables::open(pins)?, Sent::open(pins)?);
    fill(&mut flows, &mut sent, entry).map_err(|error| Error::refused("noting what is open already", error))
}

fn fill(flows: &mut Tables, sent: &mut Sent, entry: FlowEntry) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    for Connection { protocol, remote, local } in connections::outward()? {
        let ports = Ports::new(remote.port(), local.port());
        match (remote, local) {
            (SocketAddr::V4(remote), SocketAddr::V4(local)) => {
                let addresses = Addresses {
                    source: V4::from_bytes(remote.ip().octets()),
                    destination: V4::from_bytes(local.ip().octets()),
                };
                let key = V4::reply_key(&addresses, protocol.number(), &ports, FlowKind::Unicast);
                flows.v4.insert(&key, entry)?;
            }
            (SocketAddr::V6(remote), SocketAddr::V6(local)) => {
                let addresses = Addresses {
                    source: V6::from_bytes(remote.ip().octets()),
                    destination: V6::from_bytes(local.ip().octets()),
                };
                let key = V6::reply_key(&addresses, protocol.number(), &ports, FlowKind::Unicast);
                flows.v6.insert(&key, entry)?;
            }
            _ => continue,
        }
        sent.change(page_of(protocol, local.port()), |page| page[slot_of(local.port())].unicast = 1)?;
    }
    Ok(())
}
