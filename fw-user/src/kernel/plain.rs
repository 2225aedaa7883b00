//! aya's marker for types that may be copied to and from the kernel.

use aya::Pod;
use fw_common::abi::CounterPage;

/// A value of a map. bytemuck has checked that the type is plain; aya needs its own marker.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub struct Plain<T>(pub T);

// SAFETY: the wrapper has the layout of `T`, and `bytemuck::Pod` promises what aya's `Pod` asks for: every bit pattern is a value and no
// byte is padding.
unsafe impl<T: bytemuck::Pod> Pod for Plain<T> {}

/// The largest value that is read one by one, a page of counters, stays far below a thread's stack.
const _: () = assert!(size_of::<CounterPage>() <= 4096);
