//! Maps of the loaded object.

use anyhow::{Context as _, Result};
use aya::{Ebpf, maps::Map};

/// Take a map out of the object; the programs keep theirs.
pub(super) fn take(ebpf: &mut Ebpf, name: &str) -> Result<Map> {
    ebpf.take_map(name).with_context(|| format!("no map {name}"))
}
