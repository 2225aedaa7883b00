//! The code that the kernel and the user side of `fw` share: the wire parser, the policy and flow types, and [`decide()`], the one function that
//! decides on a packet.
//!
//! The crate is `no_std` and has no unsafe code. It reads a frame only through [`Frame::read`], which checks the length, and the kernel's maps only
//! through a few look-ups ([`Lookups`]). So the same code runs in the XDP program and, over a byte slice and plain collections, in tests and fuzzers.
#![no_std]
#![deny(unsafe_code)]

#[cfg(feature = "std")]
extern crate std;

pub mod abi;
#[cfg(feature = "std")]
pub mod actions;
pub mod active;
pub mod address;
pub mod admission;
pub mod answer;
pub mod bans;
#[cfg(feature = "std")]
pub mod compiled;
pub mod decide;
pub mod decision;
pub mod discovery;
#[cfg(feature = "std")]
pub mod entry;
pub mod flow;
#[cfg(feature = "std")]
pub mod forward;
pub mod frame;
#[cfg(feature = "std")]
pub mod grammar;
#[cfg(feature = "std")]
pub mod limit;
pub mod lookups;
#[cfg(feature = "std")]
pub mod policy;
pub mod protocol;
#[cfg(feature = "std")]
pub mod ranges;
pub mod rate;
pub mod reason;
pub mod record;
#[cfg(feature = "std")]
pub mod refuse;
#[cfg(feature = "std")]
pub mod senders;
#[cfg(feature = "std")]
pub mod source;
#[cfg(feature = "std")]
mod subsets;
pub mod timeouts;
pub mod track;
pub mod wire;

pub use decide::{
    answers_many, concluded, decide, decide_located, decide_packet, decide_plain, judge_located, settle, withhold,
};
pub use decision::{Decision, Onward};
pub use frame::Frame;
pub use lookups::{AddressLookups, Lookups};
pub use protocol::PortProtocol;
pub use reason::{Reason, Verdict};
pub use track::{Noted, is_answer_forwarded, note_located, track, track_located, track_packet, track_plain};
