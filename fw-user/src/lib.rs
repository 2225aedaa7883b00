//! The user side of `fw`: it loads the programs, keeps their pins, writes policies and reads counters.
//!
//! The order of things is that of a command: [`cli`] is what was typed, [`config`] what is in files, [`spec`] and [`interface`] turn it
//! into a plan without changing anything, [`bpf`] carries it out, [`report`] says what came of it.

pub mod bpf;
pub mod cli;
pub mod commands;
pub mod config;
pub mod connections;
pub mod doctor;
pub mod error;
pub mod exposed;
pub mod interface;
pub mod lockout;
#[cfg(feature = "metrics")]
pub mod metrics;
mod netlink;
mod network;
pub mod output;
mod output_file;
pub mod packet;
pub mod placement;
mod printable;
pub mod privilege;
pub mod processes;
pub mod report;
#[cfg(feature = "screen")]
pub mod screen;
pub mod spec;
pub mod systemd;
pub mod targets;

pub use bpf::object::OBJECT;
pub use error::{Error, Result};
