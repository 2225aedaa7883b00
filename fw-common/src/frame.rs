//! The only way to look at a packet.

/// A link-layer frame that can be asked for bytes it may not have.
///
/// In the kernel this is the XDP or TC context, on the host a byte slice.
pub trait Frame {
    /// The frame's length in bytes, from the first byte of the Ethernet header. It may be more than
    /// [`read`](Self::read) can reach: the kernel keeps the tail of large packets elsewhere.
    fn len(&self) -> usize;

    /// The `N` bytes from offset `at`, or `None` if the frame (or its readable part) ends before them. `N` is a multiple of four. `at` is two more
    /// than a multiple of four, as for every header after the Ethernet header.
    fn read<const N: usize>(&self, at: usize) -> Option<[u8; N]>;

    /// The `N` words from offset `at`, each as in the packet: a number in it needs [`from_be`](u32::from_be). The offset is as for
    /// [`read`](Self::read).
    fn words<const N: usize>(&self, at: usize) -> Option<[u32; N]>;

    /// The first `N` bytes.
    fn head<const N: usize>(&self) -> Option<[u8; N]> {
        self.read(0)
    }

    /// The two bytes from any offset.
    fn pair(&self, at: usize) -> Option<[u8; 2]>;

    /// The same value, of which the kernel's verifier knows nothing any more except that it has 64 bits. Where many paths meet, the verifier then
    /// follows only one of them.
    #[inline(always)]
    fn forget(&self, value: u64) -> u64 {
        value
    }

    /// An offset without a bit outside `mask`. The verifier knows nothing else of the result.
    #[inline(always)]
    fn masked(&self, offset: usize, mask: usize) -> usize {
        self.forget(offset as u64) as usize & mask
    }

    /// Whether the frame holds no byte at all.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Frame for [u8] {
    fn len(&self) -> usize {
        <[u8]>::len(self)
    }

    fn read<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.get(at..at.checked_add(N)?)?.try_into().ok()
    }

    fn words<const N: usize>(&self, at: usize) -> Option<[u32; N]> {
        let (bytes, _) = self.get(at..at.checked_add(4 * N)?)?.as_chunks();
        let mut words = [0; N];
        words.iter_mut().zip(bytes).for_each(|(word, &bytes)| *word = u32::from_ne_bytes(bytes));
        Some(words)
    }

    fn pair(&self, at: usize) -> Option<[u8; 2]> {
        self.read(at)
    }
}
