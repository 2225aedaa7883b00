//! Answers to packets at closed ports, as a host without a filter gives them: a TCP reset, or "port unreachable".
//!
//! Headers are words as in the packet. Only plain packets get an answer: no IP options, no extension headers, no fragments.

use crate::{
    address::{Address, V4, V6},
    protocol::number,
};

/// Words of an IPv4 header without options.
pub const IPV4: usize = 5;
/// Words of an IPv6 header without extensions.
pub const IPV6: usize = 10;
/// Words of a TCP header without options.
pub const TCP: usize = 5;
/// Words of a UDP header, and of the part of a transport header that an ICMP error quotes (RFC 792; Linux needs no more for `ICMPv6`).
pub const UDP: usize = 2;
/// Words of the header of an ICMP error.
pub const ICMP: usize = 2;
/// Answers are written by so many words. Zeros behind the IP packet fill the last piece up, as in a short Ethernet frame.
pub const PIECE: usize = 5;
/// The pieces of the longest answer.
pub const PIECES: usize = (IPV6 + ICMP + IPV6 + UDP).div_ceil(PIECE);
/// The shortest Ethernet frame, in bytes, without its checksum.
pub const SHORTEST_FRAME: usize = 60;

/// The hops that an answer may take. Its receiver is on the link.
const HOPS: u8 = 64;
/// The IPv4 flag against fragmentation, in its half word.
const DO_NOT_FRAGMENT: u16 = 0x4000;
/// Bits of the half word that only fragments have.
const FRAGMENT: u16 = 0x3fff;
const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

/// The IP headers that an answer can follow.
pub trait Header<const N: usize>: Copy {
    /// The family's addresses.
    type Address: Address;

    /// The header itself.
    fn words(self) -> [u32; N];
    /// The source and the destination, if the packet is plain.
    fn addresses(self) -> Option<(Self::Address, Self::Address)>;
    /// The protocol of the transport.
    fn protocol(self) -> u8;
    /// Bytes behind the header.
    fn payload(self) -> usize;
    /// The header of an answer with so many bytes behind it.
    fn answered(self, protocol: u8, payload: usize) -> [u32; N];
    /// What a transport's checksum covers besides itself.
    fn pseudo_header(self, protocol: u8, payload: usize) -> u64;
    /// The first word of an ICMP error without its checksum.
    const UNREACHABLE: u32;
    /// The protocol of that error.
    const ICMP: u8;
    /// Whether the error's checksum covers the addresses.
    const COVERS_ADDRESSES: bool;
}

const fn word(high: u16, low: u16) -> u32 {
    ((high as u32) << 16 | low as u32).to_be()
}

impl Header<IPV4> for [u32; IPV4] {
    type Address = V4;

    // Type 3, code 3 (RFC 792).
    const UNREACHABLE: u32 = word(0x0303, 0);
    const ICMP: u8 = number::ICMP;
    const COVERS_ADDRESSES: bool = false;

    #[inline(always)]
    fn words(self) -> Self {
        self
    }

    #[inline(always)]
    fn addresses(self) -> Option<(V4, V4)> {
        let first = u32::from_be(self[0]);
        let is_plain = first >> 24 == 0x45 && u32::from_be(self[1]) as u16 & FRAGMENT == 0;
        is_plain.then_some((self[3], self[4]))
    }

    #[inline(always)]
    fn protocol(self) -> u8 {
        self[2].to_ne_bytes()[1]
    }

    #[inline(always)]
    fn payload(self) -> usize {
        ((u32::from_be(self[0]) & 0xffff) as usize).wrapping_sub(4 * IPV4)
    }

    #[inline(always)]
    fn answered(self, protocol: u8, payload: usize) -> [u32; IPV4] {
        let [_, _, _, source, destination] = self;
        let mut header = [
            word(0x4500, (4 * IPV4 + payload) as u16),
            word(0, DO_NOT_FRAGMENT),
            word(u16::from_be_bytes([HOPS, protocol]), 0),
            destination,
            source,
        ];
        header[2] |= checksum(sum(&header)) << SECOND_HALF;
        header
    }

    #[inline(always)]
    fn pseudo_header(self, protocol: u8, payload: usize) -> u64 {
        sum(&[self[3], self[4], word(u16::from(protocol), payload as u16)])
    }
}

impl Header<IPV6> for [u32; IPV6] {
    type Address = V6;

    // Type 1, code 4 (RFC 4443, 3.1).
    const UNREACHABLE: u32 = word(0x0104, 0);
    const ICMP: u8 = number::ICMPV6;
    const COVERS_ADDRESSES: bool = true;

    #[inline(always)]
    fn words(self) -> Self {
        self
    }

    #[inline(always)]
    fn addresses(self) -> Option<(V6, V6)> {
        let [first, _, s0, s1, s2, s3, d0, d1, d2, d3] = self;
        (u32::from_be(first) >> 28 == 6).then_some(([s0, s1, s2, s3], [d0, d1, d2, d3]))
    }

    #[inline(always)]
    fn protocol(self) -> u8 {
        self[1].to_ne_bytes()[2]
    }

    #[inline(always)]
    fn payload(self) -> usize {
        (u32::from_be(self[1]) >> 16) as usize
    }

    #[inline(always)]
    fn answered(self, protocol: u8, payload: usize) -> [u32; IPV6] {
        let [_, _, s0, s1, s2, s3, d0, d1, d2, d3] = self;
        let second = word(payload as u16, u16::from_be_bytes([protocol, HOPS]));
        [word(0x6000, 0), second, d0, d1, d2, d3, s0, s1, s2, s3]
    }

    #[inline(always)]
    fn pseudo_header(self, protocol: u8, payload: usize) -> u64 {
        sum(&self[2..]) + sum(&[word(0, payload as u16), word(0, u16::from(protocol))])
    }
}

/// An answer from its IP header on, with room for the longest.
pub type Answer = [[u32; PIECE]; PIECES];

/// Write the reset for a TCP segment (RFC 9293, 3.10.7.1), whose header starts with these words; returns the number of its pieces, 0 for a segment
/// that resets, which gets none.
#[inline(always)]
pub fn reset<const N: usize, H: Header<N>>(ip: H, segment: [u32; 4], answer: &mut Answer) -> usize {
    let [ports, sequence, acknowledged, rest] = segment;
    let [offset, flags, _, _] = rest.to_ne_bytes();
    if flags & RST != 0 {
        return 0;
    }
    let (sequence, acknowledgment, flags) = if flags & ACK != 0 {
        (acknowledged, 0, RST)
    } else {
        let data = ip.payload().wrapping_sub(usize::from(offset >> 4) * 4) as u32;
        let length = data.wrapping_add(u32::from(flags & SYN != 0)).wrapping_add(u32::from(flags & FIN != 0));
        (0, u32::from_be(sequence).wrapping_add(length).to_be(), RST | ACK)
    };
    // The header's length in words, then the flags.
    let control = word(u16::from_be_bytes([(TCP as u8) << 4, flags]), 0);
    let mut tcp = [ports.rotate_left(16), sequence, acknowledgment, control, 0];
    tcp[4] = checksum(sum(&tcp) + ip.pseudo_header(number::TCP, 4 * TCP)) << FIRST_HALF;
    let answer = answer.as_flattened_mut();
    answer[..N].copy_from_slice(&ip.answered(number::TCP, 4 * TCP));
    answer[N..N + TCP].copy_from_slice(&tcp);
    (N + TCP).div_ceil(PIECE)
}

/// Write the ICMP error for a datagram that starts with these words; returns the number of its pieces. It quotes the datagram.
#[inline(always)]
pub fn unreachable<const N: usize, H: Header<N>>(ip: H, datagram: [u32; UDP], answer: &mut Answer) -> usize {
    let words = ICMP + N + UDP;
    let covered = if H::COVERS_ADDRESSES { ip.pseudo_header(H::ICMP, 4 * words) } else { 0 };
    let quoted = sum(&ip.words()) + sum(&datagram);
    let answer = answer.as_flattened_mut();
    answer[..N].copy_from_slice(&ip.answered(H::ICMP, 4 * words));
    answer[N] = H::UNREACHABLE | checksum(covered + sum(&[H::UNREACHABLE]) + quoted) << SECOND_HALF;
    answer[N + 1] = 0;
    answer[N + ICMP..2 * N + ICMP].copy_from_slice(&ip.words());
    answer[2 * N + ICMP..N + words].copy_from_slice(&datagram);
    answer[N + words] = 0;
    (N + words).div_ceil(PIECE)
}

/// Where the first half word of a word is, in bits.
const FIRST_HALF: u32 = if cfg!(target_endian = "little") { 0 } else { 16 };
/// Where its second one is.
const SECOND_HALF: u32 = 16 - FIRST_HALF;

/// The sum of the half words. The order of their bytes does not matter (RFC 1071, 2 B).
#[inline(always)]
fn sum(words: &[u32]) -> u64 {
    words.iter().fold(0, |sum, &word| sum + u64::from(word))
}

/// The checksum, in the byte order of the half words.
#[inline(always)]
const fn checksum(sum: u64) -> u32 {
    let sum = (sum >> 32) + (sum & 0xffff_ffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    !(sum as u32) & 0xffff
}

#[cfg(test)]
mod tests {
    use super::*;

    const IPV4_SYN: [u32; IPV4] =
        [word(0x4500, 60), word(1, DO_NOT_FRAGMENT), word(0x4006, 0x1234), word(0xc000, 0x0207), word(0xc000, 0x0201)];
    const IPV6_SYN: [u32; IPV6] =
        [word(0x6000, 0), word(40, 0x06ff), word(0xfe80, 0), 0, 0, word(0, 7), word(0xfe80, 0), 0, 0, word(0, 1)];
    const PORTS: u32 = word(40_000, 23);

    fn segment(flags: u8, header: u8) -> [u32; 4] {
        [PORTS, word(0xffff, 0xffff), word(0x1111, 0x2222), word(u16::from_be_bytes([header << 2, flags]), 0)]
    }

    /// The sum over a packet with a right checksum.
    fn is_right(sum: u64) -> bool {
        checksum(sum) == 0
    }

    fn resets<const N: usize, H: Header<N>>(ip: H, segment: [u32; 4]) -> Option<([u32; N], [u32; TCP])> {
        let mut answer = Answer::default();
        let pieces = reset(ip, segment, &mut answer);
        assert!(pieces == 0 || pieces * PIECE == N + TCP);
        let answer = answer.as_flattened();
        Some((*answer.first_chunk()?, *answer[N..].first_chunk()?)).filter(|_| pieces != 0)
    }

    #[test]
    fn a_syn_is_acknowledged_and_reset() {
        let (ip, tcp) = resets(IPV4_SYN, segment(SYN, 40)).expect("a SYN is reset");
        assert_eq!(ip[0], word(0x4500, 40));
        assert_eq!((ip[3], ip[4]), (IPV4_SYN[4], IPV4_SYN[3]));
        // 60 bytes, less 20 of IP and 40 of TCP, leave no data: the next number is 1 behind 0xffffffff.
        assert_eq!(tcp[..3], [word(23, 40_000), 0, 0]);
        assert_eq!(tcp[3], word(0x5014, 0));
        assert!(is_right(sum(&ip)) && is_right(sum(&tcp) + ip.pseudo_header(number::TCP, 20)));
    }

    #[test]
    fn data_and_fin_count() {
        let (_, tcp) = resets(IPV4_SYN, segment(FIN, 20)).expect("a FIN is reset");
        assert_eq!(tcp[2], word(0, 20), "20 bytes of data and the FIN behind 0xffffffff");
        let (_, tcp) = resets(IPV4_SYN, segment(SYN | FIN, 20)).expect("both are reset");
        assert_eq!(tcp[2], word(0, 21));
    }

    #[test]
    fn an_acknowledgment_is_reset_by_its_number() {
        let (ip, tcp) = resets(IPV6_SYN, segment(ACK, 20)).expect("it is reset");
        assert_eq!(tcp[..4], [word(23, 40_000), word(0x1111, 0x2222), 0, word(0x5004, 0)]);
        assert_eq!(ip[1], word(20, 0x0640));
        assert_eq!((&ip[2..6], &ip[6..]), (&IPV6_SYN[6..], &IPV6_SYN[2..6]));
        assert!(is_right(sum(&tcp) + ip.pseudo_header(number::TCP, 20)));
    }

    #[test]
    fn a_reset_is_never_reset() {
        for flags in [RST, RST | ACK, RST | SYN] {
            assert_eq!(resets(IPV4_SYN, segment(flags, 20)), None, "{flags}");
        }
    }

    #[test]
    fn an_error_quotes_the_datagram() {
        let datagram = [PORTS, word(20, 0xabcd)];
        let mut room = [[u32::MAX; PIECE]; PIECES];
        assert_eq!(unreachable(IPV4_SYN, datagram, &mut room), 3);
        let answer = room.as_flattened();
        assert_eq!(answer[0], word(0x4500, 56));
        assert_eq!((&answer[5].to_ne_bytes()[..2], answer[6]), (&[3, 3][..], 0));
        assert_eq!((&answer[7..12], &answer[12..14]), (&IPV4_SYN[..], &datagram[..]));
        assert!(is_right(sum(&answer[..5])) && is_right(sum(&answer[5..14])) && answer[14] == 0);
        assert_eq!(unreachable(IPV6_SYN, datagram, &mut room), 5);
        let answer = room.as_flattened();
        assert_eq!(answer[1], word(56, 0x3a40));
        assert_eq!(answer[10].to_ne_bytes()[..2], [1, 4]);
        assert_eq!((&answer[12..22], &answer[22..24]), (&IPV6_SYN[..], &datagram[..]));
        assert_eq!(answer[24], 0);
        assert!(is_right(sum(&answer[10..]) + IPV6_SYN.pseudo_header(number::ICMPV6, 56)));
    }

    #[test]
    fn only_plain_packets_have_an_answer() {
        assert_eq!(IPV4_SYN.addresses(), Some((IPV4_SYN[3], IPV4_SYN[4])));
        for (header, other) in [(0, word(0x4600, 60)), (0, word(0x5500, 60)), (1, word(1, 0x2000)), (1, word(1, 1))] {
            let mut ip = IPV4_SYN;
            ip[header] = other;
            assert_eq!(ip.addresses(), None, "{other:#x}");
        }
        assert!(IPV6_SYN.addresses().is_some());
        assert_eq!([word(0x4000, 0), 0, 0, 0, 0, 0, 0, 0, 0, 0].addresses(), None);
    }
}
