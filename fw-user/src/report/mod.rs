//! What people and programs get to read. Nothing here asks the kernel.

pub(crate) mod lockout;
pub(crate) mod output;
pub(crate) mod printable;
pub mod reasons;
pub(crate) mod table;
