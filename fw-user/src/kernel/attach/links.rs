//! The links that are pinned for an interface.

use crate::{
    error::Result,
    kernel::{
        pinned::{self, LinkFacts, Pinned},
        pins::Pins,
    },
};

/// The ingress link that is pinned for an interface, if it is one: XDP, or TCX.
pub fn ingress_link(pins: &Pins, name: &str) -> Result<Option<LinkFacts>> {
    Ok(match pinned::look(&pins.ingress_link(name))? {
        Pinned::Link(link) if ["xdp", "tcx"].contains(&link.kind.as_str()) => Some(link),
        _ => None,
    })
}

/// The TCX link that is pinned for an interface, if it is one.
pub(crate) fn egress_link(pins: &Pins, name: &str) -> Result<Option<LinkFacts>> {
    Ok(pinned::look(&pins.egress_link(name))?.link("tcx"))
}
