//! A small Debian that really boots, in qemu, with its network card in a namespace of the test. Without KVM, so that it works on any
//! machine.

mod control;
pub mod disk;
pub mod image;
pub mod machine;
mod monitor;
mod patience;
pub mod peer;
pub mod platform;
mod watch;

pub use self::{
    disk::{Disk, Tree},
    machine::Machine,
    patience::PATIENCE,
    peer::Peer,
    platform::{PLATFORM, Platform},
};
