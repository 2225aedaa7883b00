//! The possible defects of a frame.

use proptest::{
    collection::vec,
    prelude::{Just, Strategy, any as whatever, prop_oneof},
    sample::{Index, select},
};

/// A thing that is done to the bytes of a frame.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// A bit is another.
    Flip(Index, u8),
    /// A byte near the start of the network header says something else: a length, an offset, a protocol.
    Lie(usize, u8),
    /// The frame ends early.
    Cut(Index),
    /// The frame ends a few bytes early.
    Shorten(usize),
    /// More bytes follow.
    Pad(Vec<u8>),
}

impl Fault {
    /// Do it to a frame whose network header starts at `network`.
    pub(super) fn happen(&self, frame: &mut Vec<u8>, network: usize) {
        match self {
            Self::Flip(at, bit) if !frame.is_empty() => {
                let at = at.index(frame.len());
                frame[at] ^= 1 << bit;
            }
            Self::Lie(at, value) => {
                if let Some(byte) = frame.get_mut(network + at) {
                    *byte = *value;
                }
            }
            Self::Cut(at) if !frame.is_empty() => frame.truncate(at.index(frame.len())),
            Self::Shorten(by) => frame.truncate(frame.len().saturating_sub(*by)),
            Self::Pad(bytes) => frame.extend(bytes),
            Self::Flip(..) | Self::Cut(_) => {}
        }
    }
}

/// In most frames nothing is wrong.
pub(super) fn some() -> impl Strategy<Value = Vec<Fault>> {
    let value = prop_oneof![
        2 => whatever::<u8>(),
        // Numbers of protocols and of extension headers, header lengths, and what is next to nothing or everything.
        3 => select(&[0, 1, 4, 6, 17, 20, 43, 44, 50, 51, 58, 59, 60, 132, 135, 136, 0x40, 0x44, 0x45, 0x46, 0x4f, 0x60, 255][..]),
    ];
    let fault = prop_oneof![
        3 => (whatever::<Index>(), 0..8_u8).prop_map(|(at, bit)| Fault::Flip(at, bit)),
        // As far as a TCP header behind an IPv6 header.
        4 => (0..60_usize, value).prop_map(|(at, value)| Fault::Lie(at, value)),
        1 => whatever::<Index>().prop_map(Fault::Cut),
        1 => (1..24_usize).prop_map(Fault::Shorten),
        1 => vec(whatever::<u8>(), 1..32).prop_map(Fault::Pad),
    ];
    prop_oneof![4 => Just(Vec::new()), 3 => vec(fault, 1..4)]
}
