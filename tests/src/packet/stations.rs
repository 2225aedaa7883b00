//! Frames from one station of the world to another.

use super::{
    link::eth,
    stack::{Layer, Stack},
};
use crate::world::{Family, Station};

impl Family {
    /// A frame from one station to another, as far as its IP header.
    #[must_use]
    pub fn between(self, from: Station, to: Station) -> Stack<Box<dyn Layer>> {
        self.on(eth().from(from.mac).to(to.mac), from, to)
    }

    /// The IP header of a packet from one station to another, behind other headers.
    #[must_use]
    pub fn on<L: Layer>(self, stack: Stack<L>, from: Station, to: Station) -> Stack<Box<dyn Layer>> {
        match self {
            Self::V4 => stack.ipv4().from(from.v4).to(to.v4).erased(),
            Self::V6 => stack.ipv6().from(from.v6).to(to.v6).erased(),
        }
    }
}
