//! The first bytes of a packet, copied from where they can be read directly.

use fw_common::{Frame as _, record::CAPTURED};

use crate::frame::Packet;

/// The same at these offsets. Written out, since offsets that the compiler knows are what the verifier likes best.
macro_rules! capture {
    ($packet:expr, $bytes:expr, $($at:literal)*) => {'captured: {
        $(if let Some(word) = $packet.read::<4>($at) {
            $bytes[$at..$at + 4].copy_from_slice(&word);
        } else {
            break 'captured capture_tail($packet, $bytes, $at);
        })*
        CAPTURED
    }};
}

/// Copy the first bytes of a frame, and say how many.
#[inline(always)]
pub(crate) fn capture(packet: &Packet, bytes: &mut [u8; CAPTURED]) -> usize {
    // Every frame has its Ethernet header.
    capture!(packet, bytes, 0 4 8 12 16 20 24 28 32 36 40 44 48 52 56 60 64 68 72 76 80 84 88 92)
}

/// Up to three bytes of a short frame.
#[inline(always)]
fn capture_tail(packet: &Packet, bytes: &mut [u8; CAPTURED], mut at: usize) -> usize {
    if let Some(pair) = packet.pair(at) {
        bytes[at..at + 2].copy_from_slice(&pair);
        at += 2;
    }
    if let Some([_, last]) = packet.pair(at.wrapping_sub(1)) {
        bytes[at] = last;
        at += 1;
    }
    at
}
