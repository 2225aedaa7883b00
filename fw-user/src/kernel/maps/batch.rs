//! Maps that are read in batches, which aya cannot do: one system call instead of one or two for each entry (kernel 5.6).

use std::{
    io,
    marker::PhantomData,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use aya::maps::MapType;

use crate::{
    error::{Error, KernelError, Result},
    kernel::{
        pinned::{self, Pinned},
        sys,
    },
};

/// A pinned array or hash, kept open.
pub struct BatchMap<K, V> {
    path: PathBuf,
    map: OwnedFd,
    capacity: u32,
    types: PhantomData<(K, V)>,
}

impl<K: bytemuck::Pod, V: bytemuck::Pod> BatchMap<K, V> {
    /// Open a pin.
    pub fn open(path: &Path) -> Result<Self> {
        let bad =
            |source: io::Error| Error::Kernel(KernelError::BadPin { path: path.to_owned(), source: source.into() });
        let map = sys::open_pin(path).map_err(bad)?;
        match pinned::facts(&map).map_err(bad)? {
            Pinned::Map(facts)
                if [MapType::Array, MapType::Hash, MapType::LruHash].iter().any(|&kind| kind as u32 == facts.kind)
                    && (facts.key, facts.value) == (size_of::<K>(), size_of::<V>()) =>
            {
                Ok(Self { path: path.to_owned(), map, capacity: facts.entries, types: PhantomData })
            }
            _ => Err(bad(io::Error::other("it is not the map that its name says"))),
        }
    }

    /// The number of entries that fit.
    pub(crate) const fn capacity(&self) -> u32 {
        self.capacity
    }

    /// Read as many entries as fit, from the first one or from where an earlier call ended. Returns how many were read, and where to continue; `None`
    /// at the end of the map.
    pub(crate) fn read(&self, after: Option<u32>, keys: &mut [K], values: &mut [V]) -> Result<(usize, Option<u32>)> {
        // SAFETY: it was looked at when it was opened: it is an array or a hash, with keys and values of these sizes.
        unsafe { sys::lookup_batch(&self.map, after, keys, values) }
            .map_err(|source| Error::Kernel(KernelError::BadPin { path: self.path.clone(), source: source.into() }))
    }
}

impl<V: bytemuck::Pod> BatchMap<u32, V> {
    /// Fill `values` from an array, starting at an index. Values past its end are zeros.
    pub fn read_from(&self, first: u32, values: &mut [V]) -> Result<()> {
        let mut keys = vec![0; values.len()];
        let mut read = 0;
        while read < values.len() {
            let before = (first + read as u32).checked_sub(1);
            let (count, _) = self.read(before, &mut keys[read..], &mut values[read..])?;
            if count == 0 {
                values[read..].fill(V::zeroed());
                break;
            }
            read += count;
        }
        Ok(())
    }
}
