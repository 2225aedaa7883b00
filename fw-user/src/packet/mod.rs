//! Frames outside the kernel: built, read from captures, and told to people.

pub mod build;
pub mod capture;
pub mod headers;
pub mod pcapng;
