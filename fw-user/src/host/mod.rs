//! The machine: its interfaces and addresses, its processes and connections, systemd, netfilter and Docker.

pub(crate) mod bridge_ports;
pub(crate) mod class;
pub(crate) mod connections;
pub(crate) mod input_file;
pub mod interface;
pub(crate) mod ipsec;
pub(crate) mod netfilter;
pub(crate) mod netlink;
pub(crate) mod network;
pub(crate) mod output_file;
pub(crate) mod pppoe;
pub(crate) mod privilege;
pub(crate) mod processes;
pub(crate) mod routes;
pub(crate) mod systemd;
pub(crate) mod targets;
