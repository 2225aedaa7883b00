//! What there is to tell.

use crate::{
    cmd::exposed::{beside::Beside, exposure::Exposure},
    host::{netfilter::Netfilter, targets::Targets},
};

/// Of all ports.
pub(crate) struct Facts<'a> {
    pub(crate) exposure: &'a Exposure,
    pub(crate) targets: &'a Targets,
    pub(crate) netfilter: &'a Netfilter,
    /// Of each port, what netfilter makes of it; nothing where it has no rules, or they cannot be read.
    pub(crate) beside: &'a [Option<Beside>],
}
