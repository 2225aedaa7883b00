//! Code that every verb of `cargo xtask` uses: cargo, Debian's packages, the BPF build, and the count of tests.

pub mod architecture;
pub mod command;
pub mod crates;
pub mod debian;
pub mod ebpf;
pub mod linked;
pub mod product;
pub mod qemu;
pub mod root;
pub mod tally;
pub mod toolchain;
pub mod verbs;
pub mod workspace;
