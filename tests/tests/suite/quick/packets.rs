//! The packet builders, checked by another parser and by packets that are known from elsewhere.

use etherparse::{NetSlice, SlicedPacket, TcpHeader, TransportSlice, UdpHeader, checksum::Sum16BitWords};
use fw_tests::{
    cases,
    packet::{eth, words},
};

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

#[test]
fn an_ipv4_header_checksum_is_that_of_a_known_packet() {
    // The example of Wikipedia's "Internet checksum" and many lectures: 0xb861.
    let known = hex("4500 0073 0000 4000 4011 b861 c0a8 0001 c0a8 00c7");
    let sum = Sum16BitWords::new().add_slice(&known).ones_complement();
    assert_eq!(sum, 0, "the checksum of a header with its checksum is 0");
    let frame = eth().ipv4().from("192.168.0.1").to("192.168.0.199").udp(1, 2).payload(&[0; 87]).build();
    let ours = &frame[14..34];
    assert_eq!(Sum16BitWords::new().add_slice(ours).ones_complement(), 0);
    // The same header but for identification and "don't fragment".
    assert_eq!((ours[2..4].to_vec(), ours[8], ours[9], &ours[12..]), (vec![0, 0x73], 64, 17, &known[12..]));
}

#[test]
fn another_parser_reads_what_was_composed() {
    let frame = eth().service_vlan(7).vlan(5).ipv4().from("192.0.2.1").to("192.0.2.2").tcp(40_000, 22).syn().build();
    let packet = SlicedPacket::from_ethernet(&frame).expect("a good packet");
    let ids: Vec<_> = packet.vlan_ids().iter().map(|id| id.value()).collect();
    assert_eq!(ids, [7, 5]);
    let (Some(NetSlice::Ipv4(ip)), Some(TransportSlice::Tcp(tcp))) = (&packet.net, &packet.transport) else {
        panic!("{packet:?}");
    };
    assert_eq!(ip.header().source_addr().to_string(), "192.0.2.1");
    assert_eq!((tcp.source_port(), tcp.destination_port(), tcp.syn(), tcp.ack()), (40_000, 22, true, false));
    let header: TcpHeader = tcp.to_header();
    let sum = header.calc_checksum_ipv4(&ip.header().to_header(), tcp.payload()).expect("short");
    assert_eq!(header.checksum, sum);
}

#[test]
fn checksums_over_ipv6_are_right_behind_extension_headers() {
    let frame = eth().ipv6().hop_by_hop().destination_options().udp(40_000, 53).payload(b"abc").build();
    let packet = SlicedPacket::from_ethernet(&frame).expect("a good packet");
    let (Some(NetSlice::Ipv6(ip)), Some(TransportSlice::Udp(udp))) = (&packet.net, &packet.transport) else {
        panic!("{packet:?}");
    };
    let header: UdpHeader = udp.to_header();
    let sum = header.calc_checksum_ipv6(&ip.header().to_header(), udp.payload()).expect("short");
    assert_eq!((header.checksum, header.length), (sum, 11));
    assert_eq!(udp.payload(), b"abc");
}

#[test]
fn an_sctp_checksum_is_crc32c() {
    // "123456789" gives 0xe3069283 (RFC 9260's polynomial; the catalogue's check value). Composed and checked by hand below.
    let frame = eth().ipv4().sctp(5, 6).build();
    let mut packet = frame[34..].to_vec();
    let sum: [u8; 4] = packet[8..12].try_into().expect("four bytes");
    packet[8..12].fill(0);
    assert_eq!(u32::from_le_bytes(sum), crc32c_by_bits(&packet));
    assert_eq!(crc32c_by_bits(b"123456789"), 0xe306_9283);
}

/// Bit by bit, as RFC 9260's appendix A describes it.
fn crc32c_by_bits(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
        }
    }
    !crc
}

#[test]
fn lies_change_only_the_field_they_are_about() {
    let truth = eth().ipv4().udp(1, 2).build();
    let lie = eth().ipv4().total_len(999).udp(1, 2).build();
    let differ: Vec<_> = (0..truth.len()).filter(|&at| truth[at] != lie[at]).collect();
    // Total length, and the header's checksum.
    assert_eq!(differ, [16, 17, 24, 25]);
    assert_eq!(eth().ipv6().payload_len(9).udp(1, 2).build()[18..20], [0, 9]);
}

#[test]
fn only_keeps_the_headers_in_front_honest_and_cut_does_not() {
    let only = eth().ipv4().tcp(1, 2).only(8).build();
    assert_eq!((only.len(), &only[16..18]), (14 + 20 + 8, &[0, 28][..]));
    let cut = eth().ipv4().tcp(1, 2).cut(14 + 20 + 8);
    assert_eq!((cut.len(), &cut[16..18]), (14 + 20 + 8, &[0, 40][..]));
}

#[test]
fn every_frame_of_the_table_can_be_told_in_words() {
    for row in cases::all() {
        let told = words(&row.frame);
        assert!(told.starts_with(&format!("{} bytes", row.frame.len())), "{}: {told}", row.name);
    }
}
