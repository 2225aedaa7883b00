//! The user side of `fw`.

/// The BPF object: both programs and their maps, made by `cargo xtask build-ebpf` from `fw-ebpf`.
pub static OBJECT: &[u8] = aya::include_bytes_aligned!("../bpf/fw.bpf.o");
