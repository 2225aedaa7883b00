//! The live screen of `fw-user stats`: what is shown, and how. Nothing here reads the kernel or the keyboard.
//!
//! A [`model`] is fed one reading after another and the keys that are pressed; the [`view`] draws it. Both are plain values, so that tests
//! play any scene without a terminal.

pub mod busiest;
pub mod history;
pub mod look;
pub mod model;
pub mod rate;
pub mod reading;
pub mod view;
