//! The filter on an interface: attach, inspect, rebuild and detach.

pub mod attachment;
pub(crate) mod clsact;
pub(crate) mod detach;
pub mod egress;
pub(crate) mod follow;
pub(crate) mod foreign;
pub mod ingress;
pub mod links;
pub(crate) mod native;
pub mod plan;
pub(crate) mod rebuild;
pub(crate) mod remove;
pub(crate) mod seed;
pub mod spare;
pub(crate) mod state;
pub(crate) mod tcx;
pub(crate) mod xdp;
pub(crate) mod xdp_netlink;
