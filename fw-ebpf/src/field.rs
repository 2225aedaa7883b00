//! The fields of a socket buffer.

/// A field of a socket buffer. The compiler makes one load of it: a reference to the buffer would let it join the loads of several fields, which
/// the verifier refuses.
macro_rules! field {
    ($ctx:expr, $field:ident) => {{
        let ctx: &aya_ebpf::programs::TcContext = $ctx;
        // SAFETY: the kernel lends the program its context, whose fields are integers.
        unsafe { (*ctx.skb.skb).$field }
    }};
}
pub(crate) use field;
