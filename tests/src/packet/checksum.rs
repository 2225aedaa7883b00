//! Checksums: the Internet's (RFC 1071) and SCTP's `CRC32c` (RFC 9260, appendix A).

use std::net::{Ipv4Addr, Ipv6Addr};

use crc::{CRC_32_ISCSI, Crc};
use etherparse::checksum::Sum16BitWords;

/// The addresses that a transport's checksum covers.
#[derive(Clone, Copy, Debug)]
pub enum Pseudo {
    /// RFC 9293, 3.1.
    V4(Ipv4Addr, Ipv4Addr),
    /// RFC 8200, 8.1.
    V6(Ipv6Addr, Ipv6Addr),
}

/// The Internet checksum of some bytes.
pub(super) fn internet(bytes: &[u8]) -> [u8; 2] {
    Sum16BitWords::new().add_slice(bytes).ones_complement().to_ne_bytes()
}

/// The Internet checksum of a transport's header and payload; `covered` bytes of them from the start.
pub(super) fn transport(bytes: &[u8], covered: usize, protocol: u8, pseudo: Option<Pseudo>) -> [u8; 2] {
    let len = (bytes.len() as u32).to_be_bytes();
    let mut sum = Sum16BitWords::new();
    match pseudo {
        Some(Pseudo::V4(source, destination)) => {
            sum = sum.add_slice(&source.octets()).add_slice(&destination.octets());
        }
        Some(Pseudo::V6(source, destination)) => {
            sum = sum.add_slice(&source.octets()).add_slice(&destination.octets());
        }
        None => {}
    }
    sum.add_slice(&len)
        .add_2bytes([0, protocol])
        .add_slice(&bytes[..covered])
        .to_ones_complement_with_no_zero()
        .to_ne_bytes()
}

/// SCTP's checksum, as its bytes stand in the header.
pub(super) fn crc32c(bytes: &[u8]) -> [u8; 4] {
    Crc::<u32>::new(&CRC_32_ISCSI).checksum(bytes).to_le_bytes()
}
