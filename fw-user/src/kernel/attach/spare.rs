//! Programs that the kernel has verified before an interface needs them: verification takes most of the time of an attachment.

use std::{
    fs,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use aya::{Ebpf, maps::MapData};
use fw_common::abi::map;

use crate::{
    error::{Error, KernelError, Result},
    kernel::{
        attach::tcx,
        object::{self, Globals},
        pins::Pins,
        shape::Shapes,
    },
};

/// The number of sets. Some adapters bring two interfaces.
const INTERFACES: usize = 2;

/// Sets of programs, each with the pinned shared maps and maps of its own for a future interface.
#[derive(Clone, Debug, Default)]
pub struct Spare(Arc<Mutex<Vec<Loaded>>>);

/// An interface that has just appeared.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// Programs that may be loaded already.
    pub spare: Spare,
    /// Whether it has no address, and so no connections to cut.
    pub is_fresh: bool,
}

#[derive(Debug)]
struct Loaded {
    ebpf: Ebpf,
    /// The IDs of its shared maps.
    shared: Vec<u32>,
}

impl Spare {
    /// Whether every set is loaded.
    pub(crate) fn is_full(&self) -> bool {
        self.sets().len() >= INTERFACES
    }

    /// Load the missing sets, if an interface has a filter already: otherwise the shared maps would be left without an interface. Other threads may
    /// take sets meanwhile.
    pub(crate) fn prepare(&self, pins: &Pins) -> Result<()> {
        while !self.is_full() {
            let Some(loaded) = load(pins)? else { break };
            self.sets().push(loaded);
        }
        Ok(())
    }

    /// Take a set for an interface whose folder exists, and pin its maps there. `None` if no set is ready, the shared maps have changed, or the
    /// interface has maps.
    pub(crate) fn take(&self, pins: &Pins, interface: &str) -> Result<Option<Ebpf>> {
        let paths = map::PER_INTERFACE.map(|name| (name, pins.map(interface, name)));
        if paths.iter().any(|(_, path)| fs::symlink_metadata(path).is_ok()) {
            return Ok(None);
        }
        let around = shared(pins).ok();
        let mut sets = self.sets();
        sets.retain(|loaded| Some(&loaded.shared) == around.as_ref());
        let taken = sets.pop();
        drop(sets);
        let Some(Loaded { ebpf, .. }) = taken else { return Ok(None) };
        for (name, path) in paths {
            let Some(map) = ebpf.map(name) else { unreachable!("the embedded object has the map") };
            map.pin(&path).map_err(|error| Error::Kernel(KernelError::BadPin { path, source: error.into() }))?;
        }
        Ok(Some(ebpf))
    }

    fn sets(&self) -> MutexGuard<'_, Vec<Loaded>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One set, for an interface with Ethernet headers or without. `None` if no shared maps are pinned.
fn load(pins: &Pins) -> Result<Option<Loaded>> {
    let globals = Globals { debug: false, skipped: 0 };
    // No command creates or removes shared maps meanwhile. Verification, which takes long, needs no lock.
    let lock = pins.lock()?;
    let (Some(_), Ok(shared)) = (&lock, shared(pins)) else { return Ok(None) };
    let mut ebpf = object::load_around(pins, "an interface to come", &map::SHARED, Shapes::here(pins)?, globals)?;
    drop(lock);
    object::load_xdp(&mut ebpf, object::INGRESS)?;
    object::load_classifier(&mut ebpf, object::EGRESS)?;
    if tcx::is_there()? {
        object::load_classifier(&mut ebpf, object::INGRESS_TC)?;
        object::load_classifier(&mut ebpf, object::INGRESS_L3)?;
        object::load_classifier(&mut ebpf, object::EGRESS_L3)?;
    }
    Ok(Some(Loaded { ebpf, shared }))
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
