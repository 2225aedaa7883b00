//! Headers upon headers, and how they become bytes.

use std::{fmt::Debug, str::FromStr};

use super::checksum::Pseudo;

/// The address that a test writes.
pub(super) fn address<A: FromStr<Err: Debug>>(text: &str) -> A {
    text.parse().expect("an address of this family")
}

/// The numbers by which the header in front of a layer can name it.
#[derive(Clone, Copy, Debug)]
pub struct Named {
    /// For a link layer or GRE.
    pub ether_type: u16,
    /// For IPv4, or IPv6 and its extension headers.
    pub protocol: u8,
}

/// The context of a layer: its neighbours.
#[derive(Clone, Copy, Debug)]
pub struct Around {
    /// The layer that follows, if it has a name.
    pub next: Option<Named>,
    /// The addresses of the IP header in front, for checksums.
    pub pseudo: Option<Pseudo>,
}

impl Around {
    /// The IP protocol number of what follows; "no next header" where nothing does.
    #[must_use]
    pub fn next_protocol(&self) -> u8 {
        self.next.map_or(fw_common::protocol::number::NO_NEXT_HEADER, |named| named.protocol)
    }

    /// The `EtherType` of what follows; the first of those for local experiments where nothing does.
    #[must_use]
    pub fn next_ether_type(&self) -> u16 {
        self.next.map_or(0x88b5, |named| named.ether_type)
    }
}

/// One header of a frame.
pub trait Layer: 'static {
    /// How the header in front names this one; `None` for a mere payload.
    fn named(&self) -> Option<Named>;

    /// The header, and the payload behind it.
    fn write(&self, payload: Vec<u8>, around: &Around) -> Vec<u8>;

    /// For IP headers: what the checksums behind them cover.
    fn pseudo(&self) -> Option<Pseudo> {
        None
    }
}

impl Layer for Box<dyn Layer> {
    fn named(&self) -> Option<Named> {
        self.as_ref().named()
    }

    fn write(&self, payload: Vec<u8>, around: &Around) -> Vec<u8> {
        self.as_ref().write(payload, around)
    }

    fn pseudo(&self) -> Option<Pseudo> {
        self.as_ref().pseudo()
    }
}

/// A frame so far: `layer` is the header that was named last, to which further words refer.
pub struct Stack<L> {
    below: Vec<Part>,
    pub(super) layer: L,
    keep: Option<usize>,
}

struct Part {
    layer: Box<dyn Layer>,
    keep: Option<usize>,
}

impl<L: Layer> Stack<L> {
    pub(super) fn of(layer: L) -> Self {
        Self { below: Vec::new(), layer, keep: None }
    }

    /// Put another header behind this one.
    #[must_use]
    pub fn then<M: Layer>(self, layer: M) -> Stack<M> {
        let Self { mut below, layer: last, keep } = self;
        below.push(Part { layer: Box::new(last), keep });
        Stack { below, layer, keep: None }
    }

    /// The same frame, with a type that no longer says which header was named last.
    #[must_use]
    pub fn erased(self) -> Stack<Box<dyn Layer>> {
        Stack { below: self.below, layer: Box::new(self.layer), keep: self.keep }
    }

    /// Keep the first `len` bytes of this header and what is behind it. The headers in front tell the truth about it.
    #[must_use]
    pub fn only(mut self, len: usize) -> Self {
        self.keep = Some(len);
        self
    }

    /// Data behind the last header.
    #[must_use]
    pub fn payload(self, bytes: &[u8]) -> Stack<Payload> {
        self.then(Payload(bytes.to_vec()))
    }

    /// The frame's bytes.
    ///
    /// # Panics
    /// When [`only`](Self::only) was to keep more than there is.
    #[must_use]
    pub fn build(self) -> Vec<u8> {
        let mut parts = self.below;
        parts.push(Part { layer: Box::new(self.layer), keep: self.keep });
        let mut bytes = Vec::new();
        let mut next = None;
        while let Some(Part { layer, keep }) = parts.pop() {
            let pseudo = parts.iter().rev().find_map(|part| part.layer.pseudo());
            bytes = layer.write(bytes, &Around { next, pseudo });
            next = layer.named();
            if let Some(len) = keep {
                assert!(len <= bytes.len(), "`only({len})` of {} bytes", bytes.len());
                bytes.truncate(len);
            }
        }
        bytes
    }

    /// The frame's first `len` bytes: its headers lie about the rest.
    ///
    /// # Panics
    /// When the frame is not longer than that.
    #[must_use]
    pub fn cut(self, len: usize) -> Vec<u8> {
        let mut bytes = self.build();
        assert!(len < bytes.len(), "`cut({len})` of a frame of {} bytes", bytes.len());
        bytes.truncate(len);
        bytes
    }

    /// The frame with bytes behind it that no header speaks of, as Ethernet pads its frames.
    #[must_use]
    pub fn trailer(self, bytes: &[u8]) -> Vec<u8> {
        [self.build(), bytes.to_vec()].concat()
    }
}

impl<L: Layer> From<Stack<L>> for Vec<u8> {
    fn from(stack: Stack<L>) -> Self {
        stack.build()
    }
}

/// Data behind the last header.
pub struct Payload(Vec<u8>);

impl Layer for Payload {
    fn named(&self) -> Option<Named> {
        None
    }

    fn write(&self, payload: Vec<u8>, _around: &Around) -> Vec<u8> {
        [self.0.clone(), payload].concat()
    }
}
