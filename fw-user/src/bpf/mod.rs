//! Everything that talks to the kernel's BPF side.

pub mod attachment;
pub mod batch;
mod clsact;
pub mod counters;
pub mod deadline;
pub mod detach;
pub mod drops;
pub mod egress;
pub mod flows;
pub mod foreign;
pub mod ingress;
pub mod knocks;
pub mod lock;
pub mod meta;
pub mod object;
pub mod pinned;
pub mod pins;
pub mod plain;
pub mod policy_map;
mod rebuild;
pub mod remove;
pub mod seed;
pub mod shape;
pub mod state;
mod sys;
pub mod twin;
