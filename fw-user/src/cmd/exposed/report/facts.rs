//! The facts to print.

use crate::{
    cmd::exposed::{beside::Beside, exposure::Exposure},
    host::{netfilter::Netfilter, targets::Targets},
};

/// The exposure of all ports.
pub(crate) struct Facts<'a> {
    pub(crate) exposure: &'a Exposure,
    pub(crate) targets: &'a Targets,
    pub(crate) netfilter: &'a Netfilter,
    /// What netfilter does for each port; `None` if it has no rules, or they cannot be read.
    pub(crate) beside: &'a [Option<Beside>],
}
