//! Frames outside the kernel: built, read from captures, and told to people.

pub(crate) mod build;
pub(crate) mod capture;
pub mod headers;
pub(crate) mod pcapng;
