//! Maps of the loaded object.

use anyhow::{Context as _, Result};
use aya::{Ebpf, maps::Map};

/// Take a map out of the object; the programs keep theirs.
pub(super) fn take(ebpf: &mut Ebpf, name: &str) -> Result<Map> {
    ebpf.take_map(name).with_context(|| format!("no map {name}"))
}

/// Whether every byte of a value is 0. Most pages are; looking at bytes is much quicker than at each port.
pub(super) fn is_zero<T: bytemuck::Pod>(value: &T) -> bool {
    const ZEROS: [u8; 4096] = [0; 4096];
    bytemuck::bytes_of(value) == &ZEROS[..size_of::<T>()]
}
