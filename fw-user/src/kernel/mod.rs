//! Everything that talks to the kernel's BPF side.

pub(crate) mod attach;
pub mod bpffs;
pub(crate) mod clock;
pub(crate) mod deadline;
pub mod dry_run;
pub(crate) mod lock;
pub(crate) mod maps;
pub mod meta;
pub mod mount;
pub mod object;
pub(crate) mod pinned;
pub mod pins;
pub mod plain;
pub mod shape;
pub(crate) mod sys;
pub(crate) mod trust;
pub(crate) mod turn;
