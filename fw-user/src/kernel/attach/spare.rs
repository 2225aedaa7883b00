//! Programs that the kernel has verified before an interface needs them: verification takes most of the time of an attachment.

use std::sync::{Arc, Mutex, PoisonError};

use aya::{Ebpf, maps::MapData};
use fw_common::abi::map;

use crate::{
    error::{Error, KernelError, Result},
    kernel::{
        attach::{ingress, tcx},
        object::{self, Globals},
        pins::Pins,
        shape::Shapes,
    },
};

/// At most one set of programs, with the pinned shared maps and maps of its own for a future interface.
#[derive(Clone, Debug, Default)]
pub struct Spare(Arc<Mutex<Option<Loaded>>>);

#[derive(Debug)]
struct Loaded {
    ebpf: Ebpf,
    /// The IDs of its shared maps.
    shared: Vec<u32>,
}

impl Spare {
    /// Load a set, if an interface has a filter already: otherwise the shared maps would be left without an interface.
    pub(crate) fn prepare(&self, pins: &Pins) -> Result<()> {
        let is_attached = !pins.interfaces()?.is_empty();
        let mut place = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if place.is_some() || !is_attached {
            return Ok(());
        }
        let globals = Globals { debug: false, skipped: 0 };
        let mut ebpf = object::load_around(pins, "an interface to come", &map::SHARED, Shapes::here(pins)?, globals)?;
        ingress::load(&mut ebpf)?;
        object::load_classifier(&mut ebpf, object::EGRESS, "egress")?;
        if tcx::is_there()? {
            object::load_classifier(&mut ebpf, object::INGRESS_TC, "ingress")?;
        }
        *place = Some(Loaded { ebpf, shared: shared(pins)? });
        Ok(())
    }

    /// Take the set for an interface whose folder exists, and pin its maps there. `None` if no set is ready, or the shared maps have changed.
    pub(crate) fn take(&self, pins: &Pins, interface: &str) -> Result<Option<Ebpf>> {
        let taken = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Loaded { ebpf, shared: around }) = taken else { return Ok(None) };
        if shared(pins).ok().as_ref() != Some(&around) {
            return Ok(None);
        }
        for name in map::PER_INTERFACE {
            let path = pins.map(interface, name);
            let Some(map) = ebpf.map(name) else { unreachable!("the embedded object has the map") };
            map.pin(&path).map_err(|error| Error::Kernel(KernelError::BadPin { path, source: error.into() }))?;
        }
        Ok(Some(ebpf))
    }
}

/// The IDs of the pinned shared maps.
fn shared(pins: &Pins) -> Result<Vec<u32>> {
    let id = |name| {
        let path = pins.shared_map(name);
        let id = MapData::from_pin(&path).and_then(|map| map.info()).map(|info| info.id());
        id.map_err(|error| Error::Kernel(KernelError::BadPin { path, source: error.into() }))
    };
    map::SHARED.into_iter().map(id).collect()
}
