//! Bans: the ledger that keeps them over reboots, and how a change of it reaches the kernel.

pub(crate) mod ledger;
pub(crate) mod moment;
pub(crate) mod store;
