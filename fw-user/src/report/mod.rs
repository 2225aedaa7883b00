//! Output for people and programs. Nothing here asks the kernel.

pub(crate) mod change;
pub(crate) mod difference;
pub(crate) mod lockout;
pub mod reasons;
pub(crate) mod table;
pub(crate) mod user;
