//! What people and programs get to read. Nothing here asks the kernel.

pub(crate) mod change;
pub(crate) mod difference;
pub(crate) mod lockout;
pub mod reasons;
pub(crate) mod table;
