//! The machine that a guest of `cargo xtask test --vm` is.

pub mod cards;
