//! Frames outside the kernel: builds them, reads them from captures, and describes them.

pub(crate) mod build;
pub(crate) mod capture;
pub mod headers;
pub(crate) mod pcapng;
