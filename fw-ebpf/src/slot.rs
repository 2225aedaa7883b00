//! What the kernel lends a program while it runs: a CPU, and the values of maps.

use aya_ebpf::{
    helpers::generated::bpf_get_smp_processor_id,
    maps::{Array, LruHashMap},
};

/// The number of the CPU that the program runs on, from its first instruction to its last.
#[inline(always)]
pub(crate) fn cpu() -> u32 {
    // SAFETY: the helper takes no argument.
    unsafe { bpf_get_smp_processor_id() }
}

/// A value of an array. It is this CPU's alone, or of bytes to which every CPU writes the same.
#[inline(always)]
pub(crate) fn slot<T>(map: &Array<T>, index: u32) -> Option<&'static mut T> {
    let value = map.get_ptr_mut(index)?;
    // SAFETY: the kernel keeps the map's memory while the program runs, and nothing else runs on this CPU meanwhile.
    Some(unsafe { &mut *value })
}

/// The value of a key in a hash. Each CPU may have it at the same time, and the kernel may give it to another key meanwhile: the worst is
/// that of two writes one is lost, or hits the other key's value, which is what a hash without locks promises.
#[inline(always)]
pub(crate) fn entry<K, V>(map: &LruHashMap<K, V>, key: &K) -> Option<&'static mut V> {
    let value = map.get_ptr_mut(key)?;
    // SAFETY: the kernel keeps the element's memory while the program runs.
    Some(unsafe { &mut *value })
}
