//! The CPU and the values of maps that a program uses while it runs.

use aya_ebpf::{
    helpers::generated::bpf_get_smp_processor_id,
    maps::{Array, LruHashMap},
};

/// Call a helper that takes no argument.
macro_rules! ask {
    ($helper:ident) => {{
        // SAFETY: the helper takes no argument, so it reads and writes no memory of the program.
        unsafe { $helper() }
    }};
}
pub(crate) use ask;

/// The number of the CPU that the program runs on, from its first instruction to its last.
#[inline(always)]
pub(crate) fn cpu() -> u32 {
    ask!(bpf_get_smp_processor_id)
}

/// A value of an array. Only this CPU uses it, or every CPU writes the same bytes.
#[inline(always)]
pub(crate) fn slot<T>(map: &Array<T>, index: u32) -> Option<&'static mut T> {
    let value = map.get_ptr_mut(index)?;
    // SAFETY: the kernel keeps the map's memory while the program runs, and nothing else runs on this CPU meanwhile.
    Some(unsafe { &mut *value })
}

/// The value of a key in a hash. Other CPUs may use it at the same time, and the kernel may reuse it for another key meanwhile. At worst one of two
/// writes is lost, or changes the other key's value: hashes have no locks.
#[inline(always)]
pub(crate) fn entry<K, V>(map: &LruHashMap<K, V>, key: &K) -> Option<&'static mut V> {
    let value = map.get_ptr_mut(key)?;
    // SAFETY: the kernel keeps the element's memory while the program runs.
    Some(unsafe { &mut *value })
}
