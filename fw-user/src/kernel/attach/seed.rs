//! Fill the flow tables with what is open already, so that `attach` cuts nothing that was opened from here.

use std::net::SocketAddr;

use aya::maps::{Array, Map, MapData, MapError};
use fw_common::{
    abi::{SentPage, map, page_of, slot_of},
    address::{Address, V4, V6},
    flow::{FlowEntry, FlowKind, Tracked},
    wire::{Addresses, transport::Ports},
};

use crate::{
    error::{Error, KernelError, Result},
    host::connections::{self, connection::Connection},
    kernel::{clock, maps::flows, pins::Pins, plain::Plain},
};

/// Note everything that is open outward, as if it had just been answered.
pub(crate) fn seed(pins: &Pins) -> Result<()> {
    let entry = FlowEntry::new(clock::now()?, true);
    Tables::open(pins)?.fill(entry).map_err(|error| Error::refused("noting what is open already", error))
}

struct Tables {
    flows: flows::Tables,
    sent: Array<MapData, Plain<SentPage>>,
}

impl Tables {
    fn open(pins: &Pins) -> Result<Self> {
        let path = pins.shared_map(map::SENT);
        let bad = |error: MapError| Error::Kernel(KernelError::BadPin { path: path.clone(), source: error.into() });
        let sent = Map::Array(MapData::from_pin(&path).map_err(bad)?).try_into().map_err(bad)?;
        Ok(Self { flows: flows::Tables::open(pins)?, sent })
    }

    fn fill(&mut self, entry: FlowEntry) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        for Connection { protocol, remote, local } in connections::outward()? {
            let ports = Ports::new(remote.port(), local.port());
            match (remote, local) {
                (SocketAddr::V4(remote), SocketAddr::V4(local)) => {
                    let addresses = Addresses {
                        source: V4::from_bytes(remote.ip().octets()),
                        destination: V4::from_bytes(local.ip().octets()),
                    };
                    let key = V4::reply_key(&addresses, protocol.number(), &ports, FlowKind::Unicast);
                    self.flows.v4.insert(&key, entry)?;
                }
                (SocketAddr::V6(remote), SocketAddr::V6(local)) => {
                    let addresses = Addresses {
                        source: V6::from_bytes(remote.ip().octets()),
                        destination: V6::from_bytes(local.ip().octets()),
                    };
                    let key = V6::reply_key(&addresses, protocol.number(), &ports, FlowKind::Unicast);
                    self.flows.v6.insert(&key, entry)?;
                }
                _ => continue,
            }
            let page = page_of(protocol, local.port());
            let mut sent = self.sent.get(&page, 0)?;
            let mark = &mut sent.0[slot_of(local.port())].unicast;
            // Written only where it changes something: the programs of other interfaces mark the same page.
            if *mark == 0 {
                *mark = 1;
                self.sent.set(page, sent, 0)?;
            }
        }
        Ok(())
    }
}
