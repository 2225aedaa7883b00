//! The links that are pinned for an interface.

use crate::{
    error::Result,
    kernel::{
        pinned::{self, LinkFacts},
        pins::Pins,
    },
};

/// The XDP link that is pinned for an interface, if it is one.
pub(crate) fn ingress_link(pins: &Pins, name: &str) -> Result<Option<LinkFacts>> {
    Ok(pinned::look(&pins.ingress_link(name))?.link("xdp"))
}

/// The TCX link that is pinned for an interface, if it is one.
pub(crate) fn egress_link(pins: &Pins, name: &str) -> Result<Option<LinkFacts>> {
    Ok(pinned::look(&pins.egress_link(name))?.link("tcx"))
}
