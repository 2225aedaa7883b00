//! The contents of the maps: policies, counters, flows, drops and their senders.

pub mod bans;
pub mod batch;
pub mod counters;
pub(crate) mod drops;
pub mod flows;
pub mod policy_map;
pub mod sources;
mod typed_rules;
pub mod uppers;
