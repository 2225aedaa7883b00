//! Fill the flow tables with what is open already, so that `attach` cuts nothing that was opened from here.

use std::net::SocketAddr;

use aya::maps::{Array, HashMap, Map, MapData, MapError};
use fw_common::{
    abi::{SentPage, map, page_of, slot_of},
    address::{Address, V4, V6},
    flow::{FlowEntry, FlowKey4, FlowKey6, FlowKind, Tracked},
    wire::{Addresses, transport::Ports},
};
use nix::time::{ClockId, clock_gettime};

use crate::{
    error::{Error, KernelError, Result},
    host::connections::{self, connection::Connection},
    kernel::{pins::Pins, plain::Plain},
};

/// Note everything that is open outward, as if it had just been used.
pub(crate) fn seed(pins: &Pins) -> Result<()> {
    let failed = |error: nix::Error| Error::refused("reading the clock", error);
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map_err(failed)?;
    let last_seen = u64::try_from(std::time::Duration::from(now).as_nanos()).unwrap_or(u64::MAX);
    Tables::open(pins)?
        .fill(FlowEntry { last_seen })
        .map_err(|error| Error::refused("noting what is open already", error))
}

struct Tables {
    flows4: HashMap<MapData, Plain<FlowKey4>, Plain<FlowEntry>>,
    flows6: HashMap<MapData, Plain<FlowKey6>, Plain<FlowEntry>>,
    sent: Array<MapData, Plain<SentPage>>,
}

impl Tables {
    fn open(pins: &Pins) -> Result<Self> {
        let bad = |name| {
            move |error: MapError| {
                Error::Kernel(KernelError::BadPin { path: pins.shared_map(name), source: error.into() })
            }
        };
        let data = |name| MapData::from_pin(pins.shared_map(name)).map_err(bad(name));
        Ok(Self {
            flows4: Map::LruHashMap(data(map::FLOWS4)?).try_into().map_err(bad(map::FLOWS4))?,
            flows6: Map::LruHashMap(data(map::FLOWS6)?).try_into().map_err(bad(map::FLOWS6))?,
            sent: Map::Array(data(map::SENT)?).try_into().map_err(bad(map::SENT))?,
        })
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
                    self.flows4.insert(Plain(key), Plain(entry), 0)?;
                }
                (SocketAddr::V6(remote), SocketAddr::V6(local)) => {
                    let addresses = Addresses {
                        source: V6::from_bytes(remote.ip().octets()),
                        destination: V6::from_bytes(local.ip().octets()),
                    };
                    let key = V6::reply_key(&addresses, protocol.number(), &ports, FlowKind::Unicast);
                    self.flows6.insert(Plain(key), Plain(entry), 0)?;
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
